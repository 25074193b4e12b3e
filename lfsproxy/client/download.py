"""One blob's GETs without their I/O: what is asked for next, what an answer means, and when to give up.

``client/fetch.py`` does the I/O by blocking calls, ``client/tx_fetch.py`` on Twisted's reactor. Tries are
counted from the last progress, so that a long download may be interrupted often.
"""

from __future__ import annotations

import urllib3

from lfsproxy.client.results import RecordCoordinates
from lfsproxy.client.retry import Retry
from lfsproxy.client.sources import BlobRequest, TryAgain
from lfsproxy.client.strangers import stranger, why_failed
from lfsproxy.envelope import Envelope
from lfsproxy.errors import BlobMissing, BlobTruncated, ReadInterrupted, StoreRefused, StoreUnavailable

_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_STORE_MISSING = ("NoSuchBucket", "unknown-topic")
"""Codes of a 404 that is not about the blob."""


class Download:
    """Where the download of one blob is. ``source_name`` says for people where it comes from.

    ``position`` is the bytes that came, ``tries`` are the GETs that were sent. ``length_confirmed`` is
    whether the store has said that the blob is as long as its envelope says.
    """

    def __init__(
        self, source_name: str, retry: Retry, envelope: Envelope, record: RecordCoordinates | None
    ) -> None:
        self._source_name = source_name
        self._retry = retry
        self._envelope = envelope
        self._record = record
        self._etag: str | None = None
        self._failures = 0
        self._progressed = retry.clock()
        self.position = 0
        self.tries = 0
        self.length_confirmed = False

    @property
    def name(self) -> str:
        """Bucket and key."""
        return f"{self._envelope.s3_bucket}/{self._envelope.s3_key}"

    def request(self, http: urllib3.PoolManager) -> BlobRequest:
        """The next GET: from the first byte that is missing, of the object that the others are of."""
        self.tries += 1
        return BlobRequest(self._envelope, self._record, self.position, self._etag, http)

    def is_taken(self, status: int, length: int | None, etag: str | None) -> bool:
        """Whether an answer has the bytes that were asked for. ``length`` is its Content-Length.

        Raises BlobTruncated where there are more or fewer than the envelope says.
        """
        if status != (206 if self.position else 200):
            return False
        if length is not None:
            whole = length + self.position
            if whole != self._envelope.content_length:
                raise BlobTruncated(
                    f"the blob {self.name} has {whole} bytes, its envelope says "
                    f"{self._envelope.content_length}"
                )
            self.length_confirmed = True
        self._etag = etag
        return True

    def refusal(self, status: int, code: str) -> Exception:
        """What an answer means that has not the bytes: TryAgain where another try may help."""
        said = f"{status} {code}".strip()
        if status == 404 and code not in _STORE_MISSING:
            return BlobMissing(f"the blob {self.name} is missing")
        if status in _RETRIED:
            return TryAgain(f"the store answers {said}")
        if self.position and status in (200, 412, 416):
            return StoreUnavailable(
                f"the blob {self.name} cannot be read on after {self.position} bytes: {said}"
            )
        other = "" if code else ", which does not answer as S3 does: is that its address?"
        return StoreRefused(
            f"the store refuses to give the blob {self.name}: {said} from {self._source_name}{other}"
        )

    def came(self, size: int) -> None:
        """So many of the next bytes."""
        self._failures = 0
        self._progressed = self._retry.clock()
        self.position += size

    def pause_after(self, error: Exception) -> float:
        """Seconds to wait before the next try. Raises StoreUnavailable after the last one."""
        self._failures += 1
        pause = self._retry.pause_after(self._failures)
        since = self._retry.clock() - self._progressed
        late = bool(self._retry.retry_time) and since + pause > self._retry.retry_time
        if self._failures >= self._retry.tries or late:
            who = stranger(error)
            why = f"it is no HTTP server, {who}" if who else why_failed(error, "LFS_S3_CA or AWS_CA_BUNDLE")
            raise StoreUnavailable(
                f"the blob {self.name} cannot be read from {self._source_name}: {why}"
            ) from error
        return pause

    def cancelled(self) -> ReadInterrupted:
        """What a read raises that its caller has ended."""
        return ReadInterrupted(f"the read of the blob {self.name} was cancelled")

    def broken_off(self, error: BaseException) -> ReadInterrupted:
        """What the hook is told where something else came in between before the first byte."""
        return ReadInterrupted(f"{type(error).__name__} broke off the request for the blob {self.name}")

    def interrupted(self, cause: BaseException | None) -> ReadInterrupted:
        """What every read raises after one that ``cause`` broke off; None: another read from within."""
        what = "another read from within" if cause is None else type(cause).__name__
        error = ReadInterrupted(f"the blob {self.name} cannot be read on: {what} broke off a read")
        error.__cause__ = cause
        return error

"""One blob's bytes by GET, blocking: retried before the first byte, and taken up again where they stopped.

A dropped connection is followed by a ranged GET from the next byte on, tied to the same object by its ETag.
Tries are counted from the last progress, so that a long download may be interrupted often.
"""

from __future__ import annotations

import urllib3

from lfsproxy.client.cancelling import Cancellation
from lfsproxy.client.results import RecordCoordinates
from lfsproxy.client.retry import Retry
from lfsproxy.client.sources import RETRIED_ERRORS, BlobAnswer, BlobRequest, BlobSource, TryAgain
from lfsproxy.client.strangers import stranger, why_failed
from lfsproxy.envelope import Envelope
from lfsproxy.errors import BlobMissing, BlobTruncated, ReadInterrupted, StoreRefused, StoreUnavailable

_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_STORE_MISSING = ("NoSuchBucket", "unknown-topic")
"""Codes of a 404 that is not about the blob."""


class BlobBytes:
    """The bytes of one blob in their order, not verified. The first GET is sent by ``start``."""

    def __init__(
        self,
        source: BlobSource,
        http: urllib3.PoolManager,
        retry: Retry,
        envelope: Envelope,
        record: RecordCoordinates | None,
        cancellation: Cancellation,
    ) -> None:
        self._source = source
        self._http = http
        self._retry = retry
        self._envelope = envelope
        self._record = record
        self._cancellation = cancellation
        self._answer: BlobAnswer | None = None
        self._etag: str | None = None
        self._position = 0
        self._failures = 0
        self._progressed = retry.clock()
        self.tries = 0
        """GETs that were sent."""
        self.length_confirmed = False
        """Whether the store has said that the blob is as long as its envelope says."""

    def start(self) -> None:
        """Send the GET.

        Raises BlobMissing, BlobTruncated, StoreRefused, StoreUnavailable, or ReadInterrupted when cancelled.
        """
        while self._answer is None:
            self._check_cancelled()
            try:
                self._answer = self._opened()
            except RETRIED_ERRORS as error:
                self._pause(error)

    def read(self, size: int) -> bytes:
        """Up to ``size`` next bytes; none at the end of what the store sends. Raises as ``start`` does."""
        while True:
            self._check_cancelled()  # Of a source with sockets of its own, nothing else ends the read.
            self.start()
            assert self._answer is not None
            try:
                data = self._answer.read(size)
            except RETRIED_ERRORS as error:
                self.close()
                self._pause(error)
                continue
            if not data:
                self._check_cancelled()  # The end may be that of a socket that was shut.
            else:
                self._failures = 0
                self._progressed = self._retry.clock()
                self._position += len(data)
            return data

    def close(self) -> None:
        """Let go of the connection."""
        answer, self._answer = self._answer, None
        self._cancellation.watch(None)  # The connection may be another read's soon.
        if answer is not None:
            answer.close()

    def _opened(self) -> BlobAnswer:
        request = BlobRequest(self._envelope, self._record, self._position, self._etag, self._http)
        self.tries += 1
        with self._cancellation.asking():
            answer = self._source.get(request)
        if answer.status == (206 if self._position else 200):
            self._check_length(answer)
            self._etag = answer.headers.get("ETag")
            return answer
        try:
            code = answer.refusal()
        finally:
            answer.close()
        raise self._refusal(answer.status, code)

    def _check_length(self, answer: BlobAnswer) -> None:
        length = answer.headers.get("Content-Length", "")
        wanted = self._envelope.content_length
        if not length.isdecimal():
            return
        if int(length) + self._position != wanted:
            answer.close()
            raise BlobTruncated(
                f"the blob {self.name} has {int(length) + self._position} bytes, its envelope says {wanted}"
            )
        self.length_confirmed = True

    def _check_cancelled(self) -> None:
        if self._cancellation.cancelled:
            raise ReadInterrupted(f"the read of the blob {self.name} was cancelled")

    @property
    def name(self) -> str:
        """Bucket and key."""
        return f"{self._envelope.s3_bucket}/{self._envelope.s3_key}"

    def _refusal(self, status: int, code: str) -> Exception:
        said = f"{status} {code}".strip()
        if status == 404 and code not in _STORE_MISSING:
            return BlobMissing(f"the blob {self.name} is missing")
        if status in _RETRIED:
            return TryAgain(f"the store answers {said}")
        if self._position and status in (200, 412, 416):
            return StoreUnavailable(
                f"the blob {self.name} cannot be read on after {self._position} bytes: {said}"
            )
        other = "" if code else ", which does not answer as S3 does: is that its address?"
        return StoreRefused(
            f"the store refuses to give the blob {self.name}: {said} from {self._source.name}{other}"
        )

    def _pause(self, error: Exception) -> None:
        """Wait before the next try; raise StoreUnavailable after the last, ReadInterrupted if cancelled."""
        self._check_cancelled()
        self._failures += 1
        pause = self._retry.pause_after(self._failures)
        since = self._retry.clock() - self._progressed
        late = bool(self._retry.retry_time) and since + pause > self._retry.retry_time
        if self._failures >= self._retry.tries or late:
            who = stranger(error)
            why = f"it is no HTTP server, {who}" if who else why_failed(error, "LFS_S3_CA or AWS_CA_BUNDLE")
            raise StoreUnavailable(
                f"the blob {self.name} cannot be read from {self._source.name}: {why}"
            ) from error
        (self._retry.sleep or self._cancellation.pause)(pause)

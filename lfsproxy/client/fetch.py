"""One blob's bytes by GET, blocking: retried before the first byte, and taken up again where they stopped.

A dropped connection is followed by a ranged GET from the next byte on, tied to the same object by its ETag.
What is asked for and when to give up is decided in ``Download``.
"""

from __future__ import annotations

import urllib3

from lfsproxy.client.cancelling import Cancellation
from lfsproxy.client.download import Download
from lfsproxy.client.retry import Retry
from lfsproxy.client.sources import RETRIED_ERRORS, BlobAnswer, BlobSource


class BlobBytes:
    """The bytes of one blob in their order, not verified. The first GET is sent by ``start``."""

    def __init__(
        self,
        source: BlobSource,
        http: urllib3.PoolManager,
        retry: Retry,
        download: Download,
        cancellation: Cancellation,
    ) -> None:
        self._source = source
        self._http = http
        self._retry = retry
        self._cancellation = cancellation
        self._answer: BlobAnswer | None = None
        self.download = download

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
                self.download.came(len(data))
            return data

    def close(self) -> None:
        """Let go of the connection."""
        answer, self._answer = self._answer, None
        self._cancellation.watch(None)  # The connection may be another read's soon.
        if answer is not None:
            answer.close()

    def _opened(self) -> BlobAnswer:
        request = self.download.request(self._http)
        with self._cancellation.asking():
            answer = self._source.get(request)
        taken = False
        try:
            length = answer.headers.get("Content-Length", "")
            taken = self.download.is_taken(
                answer.status, int(length) if length.isdecimal() else None, answer.headers.get("ETag")
            )
            if taken:
                return answer
            raise self.download.refusal(answer.status, answer.refusal())
        finally:
            if not taken:
                answer.close()

    def _check_cancelled(self) -> None:
        if self._cancellation.cancelled:
            raise self.download.cancelled()

    def _pause(self, error: Exception) -> None:
        """Wait before the next try; raise StoreUnavailable after the last, ReadInterrupted if cancelled."""
        self._check_cancelled()
        (self._retry.sleep or self._cancellation.pause)(self.download.pause_after(error))

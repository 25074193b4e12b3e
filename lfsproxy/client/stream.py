"""A blob as a file to read from that ends cleanly only when every byte was there and right."""

from __future__ import annotations

import io
from collections.abc import Callable

from lfsproxy.checksums import Buffer
from lfsproxy.client.fetch import BlobBytes
from lfsproxy.client.results import Progress
from lfsproxy.client.verify import Verification, room_for
from lfsproxy.envelope import Envelope
from lfsproxy.errors import LfsError

CHUNK_BYTES = 1024 * 1024


class BlobStream(io.RawIOBase):
    """Reads a blob and verifies length and checksum on the way.

    The last bytes are handed out only after the whole blob was verified: until then, and on every read after
    a failure, BlobTruncated, ChecksumMismatch or StoreUnavailable is raised where the end would be. So
    neither "read until the end" nor "read content_length bytes" can take a wrong blob for a right one.
    ``ended`` is called with the bytes received, whether they were verified, and the error; neither verified
    nor an error means closed before the end. Only its first call says how the read ended. Not for use by
    itself: BlobFile keeps count of what an exception from elsewhere may have lost.
    """

    def __init__(
        self,
        envelope: Envelope,
        source: BlobBytes,
        ended: Callable[[int, bool, LfsError | None], None],
        on_progress: Progress | None = None,
    ) -> None:
        super().__init__()
        self.envelope = envelope
        self._source = source
        self._ended = ended
        self._on_progress = on_progress
        self._verification = Verification(envelope)
        self.error: LfsError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:  # type: ignore[override]  # typeshed's buffer is private
        """Fill ``buffer`` as far as bytes are there; 0 only at the verified end."""
        view = memoryview(buffer).cast("B")
        data = self._take(len(view))
        view[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        """All bytes that are left. Memory: those bytes, once, where the store has confirmed their number."""
        left = self._verification.left
        # All of it at once, where an envelope that says anything has been confirmed.
        held = room_for(left if self._source.download.length_confirmed and left > CHUNK_BYTES else 0)
        while data := self._take(CHUNK_BYTES):
            held.write(data)
        return held.getvalue()

    def _take(self, size: int) -> bytes:
        if self.closed:
            raise ValueError("the blob is closed")
        if self.error is not None:
            raise self.error
        if self._verification.verified or not size:
            return b""
        try:
            return self._next(size)
        except LfsError as error:
            self.fail(error)
            raise

    def _next(self, size: int) -> bytes:
        verification = self._verification
        data = self._source.read(min(size, verification.left)) if verification.left else b""
        verification.add(data)
        if not verification.left:
            verification.end(self._source.read(1))
            self._finish(None)
        if self._on_progress is not None:
            self._on_progress(verification.received)
        return data

    def interrupt(self, cause: BaseException | None = None) -> LfsError:
        """A read was broken off by another exception: from now on reading raises what this returns."""
        if self.error is None:
            error = self._source.download.interrupted(cause)
            self.fail(error)
            return error
        return self.error

    def fail(self, error: LfsError) -> None:
        """From now on reading raises ``error``, and the connection is let go of."""
        self.error = error
        self._finish(error)

    def _finish(self, error: LfsError | None) -> None:
        self._source.close()
        self._ended(self._verification.received, self._verification.verified, error)

    def close(self) -> None:
        """Let go of the connection. Closing before the end was reached is no error, but no success either."""
        if not self.closed:
            self._finish(None)
        super().close()

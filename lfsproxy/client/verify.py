"""Whether the bytes of a blob are those that were published: counted and hashed as they come, without I/O."""

from __future__ import annotations

import io

from lfsproxy.checksums import new_checksum
from lfsproxy.envelope import Envelope
from lfsproxy.errors import BlobTruncated, ChecksumMismatch


class Verification:
    """What has come of a blob. ``verified`` is set by ``end``, after all of it was right."""

    def __init__(self, envelope: Envelope) -> None:
        self._envelope = envelope
        self._checksum = new_checksum(envelope.checksum_algo)
        self.received = 0
        self.verified = False

    @property
    def left(self) -> int:
        """Bytes that are still to come."""
        return self._envelope.content_length - self.received

    def add(self, data: bytes) -> None:
        """The next bytes. Raises BlobTruncated where there are none, though some are still to come."""
        self.received += len(data)
        self._checksum.update(data)
        if not data and self.left:
            raise BlobTruncated(
                f"the blob ends after {self.received} of {self._envelope.content_length} bytes"
            )

    def end(self, beyond: bytes) -> None:
        """All have come; ``beyond`` is what the store sends after them.

        Raises BlobTruncated where that is anything, or ChecksumMismatch.
        """
        if beyond:
            raise BlobTruncated(f"the blob has more than {self._envelope.content_length} bytes")
        actual = self._checksum.hexdigest()
        if actual != self._envelope.checksum:
            raise ChecksumMismatch(self._envelope.checksum_algo, self._envelope.checksum, actual)
        self.verified = True


def room_for(size: int) -> io.BytesIO:
    """An empty file with a buffer of so many bytes: once all are written, ``getvalue`` is that buffer.

    A buffer that grows is copied, and so is one that is longer than what was written.
    """
    held = io.BytesIO()
    if size > 0:
        held.seek(size - 1)
        held.write(b"\0")
        held.seek(0)
    return held

"""What ``open`` gives: a value's bytes to read from, and what the value was."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Self

import attrs

from lfsproxy.envelope import Envelope

CHUNK_BYTES = 1024 * 1024
NO_BYTES = "there are no bytes to read: the value is null, or its blob was skipped (see stream and missing)"


@attrs.frozen
class Blob:
    """A record's value, to be read: ``read`` it, loop over it (chunks of up to 1 MiB), or take ``stream``.

    ``stream`` is a file: of the blob, or of an ordinary value. It is None for a null value, and for a missing
    blob with on_missing="skip". ``envelope`` is None where the value was an ordinary one. ``missing`` is True
    where the blob is not in the store. A context manager: leaving it closes the stream.
    """

    stream: io.BufferedIOBase | None
    envelope: Envelope | None = None
    missing: bool = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to ``size`` next bytes (None or below 0: all). Raises ValueError where ``stream`` is None.

        Raises ChecksumMismatch or BlobTruncated where the end of a wrong blob would be.
        """
        return self._file().read(size)

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.read(CHUNK_BYTES), b"")

    def _file(self) -> io.BufferedIOBase:
        if self.stream is None:
            raise ValueError(NO_BYTES)
        return self.stream

    def close(self) -> None:
        """Let go of the connection; also before the end."""
        if self.stream is not None:
            self.stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

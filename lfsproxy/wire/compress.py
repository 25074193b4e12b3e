"""Streaming compressors, one per codec of record batches, as the clients of that codec can read them.

lz4 frames have independent blocks of 64 KiB (the Java client refuses linked ones), snappy stays in the
framing that it came in, gzip and zstd are at their default levels.
"""

from __future__ import annotations

import zlib
from typing import Protocol

import cramjam
import lz4.frame
import zstandard

from lfsproxy.wire.batch import GZIP, LZ4, SNAPPY, ZSTD
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.decompress import XERIAL_MAGIC
from lfsproxy.wire.primitives import INT32, put_uvarint
from lfsproxy.wire.snappy import FRAGMENT, snappy_fragment

_XERIAL_HEADER = XERIAL_MAGIC + INT32.pack(1) + INT32.pack(1)
_XERIAL_BLOCK = 32 * 1024
"""Bytes of one block before it is compressed, as snappy-java's default."""


class Compressor(Protocol):
    """Shaped like zlib's compression objects."""

    def compress(self, data: Piece, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Lz4:
    def __init__(self) -> None:
        self._stream = lz4.frame.LZ4FrameCompressor(
            block_size=lz4.frame.BLOCKSIZE_MAX64KB, block_linked=False
        )
        self._start: bytes = self._stream.begin()

    def compress(self, data: Piece) -> bytes:
        start, self._start = self._start, b""
        return start + bytes(self._stream.compress(data))

    def flush(self) -> bytes:
        return self._start + bytes(self._stream.flush())


class _Blocks:
    """Gathers blocks of one size, for the two framings of snappy."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held = bytearray()

    def compress(self, data: Piece) -> bytes:
        self._held += data
        whole = len(self._held) - len(self._held) % self._size
        if not whole:
            return b""
        with memoryview(self._held) as held:
            found = b"".join(
                self._block(bytes(held[start : start + self._size])) for start in range(0, whole, self._size)
            )
        del self._held[:whole]
        return found

    def flush(self) -> bytes:
        return self._block(bytes(self._held)) if self._held else b""

    def _block(self, data: bytes) -> bytes:
        raise NotImplementedError


class _XerialSnappy(_Blocks):
    def __init__(self) -> None:
        super().__init__(_XERIAL_BLOCK)
        self._start = _XERIAL_HEADER

    def compress(self, data: Piece) -> bytes:
        start, self._start = self._start, b""
        return start + super().compress(data)

    def flush(self) -> bytes:
        return self._start + super().flush()

    def _block(self, data: bytes) -> bytes:
        block = bytes(memoryview(cramjam.snappy.compress_raw(data)))
        return INT32.pack(len(block)) + block


class RawSnappy(_Blocks):
    """One block of all data. Its ``preamble`` stands before what ``compress`` and ``flush`` return."""

    def __init__(self) -> None:
        super().__init__(FRAGMENT)
        self._length = 0

    def compress(self, data: Piece) -> bytes:
        self._length += len(data)
        return super().compress(data)

    def preamble(self) -> bytes:
        """The uncompressed length, known when everything was compressed."""
        start = bytearray()
        put_uvarint(start, self._length)
        return bytes(start)

    def _block(self, data: bytes) -> bytes:
        return snappy_fragment(data)


def new_compressor(codec: int, xerial: bool) -> Compressor:
    """A compressor for GZIP, SNAPPY, LZ4 or ZSTD. ``xerial``: snappy in the framing of snappy-java."""
    if codec == GZIP:
        return zlib.compressobj(wbits=31)
    if codec == SNAPPY:
        return _XerialSnappy() if xerial else RawSnappy()
    if codec == LZ4:
        return _Lz4()
    if codec == ZSTD:
        return zstandard.ZstdCompressor().compressobj()
    raise ValueError(f"no compressor for codec {codec}")

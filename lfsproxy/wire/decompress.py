"""Streaming decompressors for the four codecs of record batches.

Each takes compressed bytes as they come and hands out pieces of at most 256 KiB (snappy: 1 MiB) when asked
for one, so that data which expands without end costs no more memory than any other. Beside its piece, gzip
holds 32 KiB, lz4 up to 8 MiB (two of its largest blocks), zstd its window (up to 128 MiB, as brokers allow;
8 MiB up to level 19), snappy what its copies refer to (see lfsproxy.wire.snappy).

The layouts: gzip is RFC 1952, zstd RFC 8878, lz4 its frame format
(https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md), snappy either a raw block or blocks in the
framing of snappy-java: magic, version:int32, compatible:int32, then [length:int32 raw block].
"""

from __future__ import annotations

import zlib
from typing import Final

import lz4.frame
import zstandard

from lfsproxy.errors import TooLarge, UndecodableRecords
from lfsproxy.wire.batch import GZIP, LZ4, SNAPPY, ZSTD
from lfsproxy.wire.chunks import Chunks, Piece
from lfsproxy.wire.snappy import READ_SIZE, SnappyBlock

XERIAL_MAGIC: Final = b"\x82SNAPPY\0"
XERIAL_HEADER_SIZE: Final = 16
_SLICE = 64 * 1024
"""Compressed bytes that are given to a library at once: what it leaves is copied."""
ZSTD_MAGIC: Final = 0xFD2FB528
_ZSTD_SKIPPABLE = 0x184D2A50
MAX_WINDOW: Final = 128 * 1024 * 1024
"""Bytes of the largest zstd window, as brokers allow."""
USUAL_WINDOW: Final = 8 * 1024 * 1024
"""Bytes of the largest zstd window up to level 19, and of what lz4 holds."""


class WindowTooLarge(TooLarge):
    """zstd data that wants a larger window than the caller has memory for, yet one that brokers allow."""


class Decompressor:
    """``feed`` compressed bytes, ``read`` pieces until one is empty; ``finish`` when all was fed."""

    def __init__(self) -> None:
        self._source = Chunks()
        self._finished = False

    def feed(self, data: Piece) -> None:
        """Take compressed bytes, kept by reference."""
        self._source.feed(data)

    def finish(self) -> None:
        """No more bytes come."""
        self._finished = True

    def read(self) -> bytes:
        """The next piece; empty where more bytes are needed, or after finish, at the end.

        Raises UndecodableRecords for data that does not decompress, TooLarge for data that needs more memory
        than is allowed.
        """
        raise NotImplementedError

    def _ends_early(self) -> None:
        """Called where more data is needed: raise where none can come."""
        if self._finished:
            raise UndecodableRecords("compressed data ends early")


class _Gzip(Decompressor):
    def __init__(self) -> None:
        super().__init__()
        self._stream = zlib.decompressobj(31)
        self._tail: Piece = b""

    def read(self) -> bytes:
        while True:
            data = self._tail or self._source.take_some(_SLICE)
            if not data:
                if not self._stream.eof:
                    self._ends_early()
                return b""
            if self._stream.eof:
                self._stream = zlib.decompressobj(31)
            try:
                found = self._stream.decompress(data, READ_SIZE)
            except zlib.error as error:
                raise UndecodableRecords(f"gzip data does not decompress: {error}") from None
            self._tail = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            if found:
                return found


class _Lz4(Decompressor):
    def __init__(self) -> None:
        super().__init__()
        self._stream = lz4.frame.LZ4FrameDecompressor()
        self._tail: Piece = b""
        self._pending = False
        self._within = True

    def read(self) -> bytes:
        while True:
            data = b"" if self._pending else self._tail or self._source.take_some(_SLICE)
            if not data and not self._pending:
                if self._within:
                    self._ends_early()
                return b""
            self._tail = b""
            self._within = True
            try:
                found: bytes = self._stream.decompress(data, READ_SIZE)
            except RuntimeError as error:
                raise UndecodableRecords(f"lz4 data does not decompress: {error}") from None
            if self._stream.eof:
                self._tail = self._stream.unused_data or b""
                self._stream = lz4.frame.LZ4FrameDecompressor()
                self._pending = self._within = False
            else:
                self._pending = bool(found)
            if found:
                return found


class _Zstd(Decompressor):
    """Walks the blocks of a frame, and feeds the library one at a time: each makes at most 128 KiB."""

    def __init__(self, max_window: int) -> None:
        super().__init__()
        self._max_window = max_window
        self._stream: zstandard.ZstdDecompressionObj | None = None
        self._left = 0
        self._any = False
        self._skipping = False
        self._last_block = False
        self._checksum = 0

    def read(self) -> bytes:
        while True:
            if self._left:
                data = self._source.take_some(self._left)
                if not data:
                    self._ends_early()
                    return b""
                self._left -= len(data)
                found = b"" if self._skipping else self._decompress(data)
                if found:
                    return found
            elif not (self._begin_frame() if self._stream is None else self._begin_block()):
                return b""

    def _decompress(self, data: Piece) -> bytes:
        assert self._stream is not None
        try:
            return self._stream.decompress(data)
        except zstandard.ZstdError as error:
            raise UndecodableRecords(f"zstd data does not decompress: {error}") from None

    def _begin_frame(self) -> bool:
        """Feed a frame's header, or start to skip a frame without data."""
        self._skipping = False
        source = self._source
        if source.size < 8:
            if source.size or not self._any:
                self._ends_early()
            return False
        start = bytes(source.peek(8) or b"")
        magic = int.from_bytes(start[:4], "little")
        if magic & ~0xF == _ZSTD_SKIPPABLE:
            source.skip(8)
            self._left = int.from_bytes(start[4:], "little")
            self._skipping = True
            return True
        if magic != ZSTD_MAGIC:
            raise UndecodableRecords("zstd data does not begin with its magic")
        descriptor = start[4]
        single = bool(descriptor & 0x20)
        content_bytes = (1 if single else 0, 2, 4, 8)[descriptor >> 6]
        dictionary_bytes = (0, 1, 2, 4)[descriptor & 3]
        header = source.peek(5 + (not single) + dictionary_bytes + content_bytes)
        if header is None:
            self._ends_early()
            return False
        if single:
            window = int.from_bytes(header[-content_bytes:], "little") + (256 if content_bytes == 2 else 0)
        else:
            window = (1 << 10 + (header[5] >> 3)) // 8 * (8 + (header[5] & 7))
        if window > MAX_WINDOW:
            raise TooLarge(f"zstd data wants a window of {window} bytes, brokers allow {MAX_WINDOW}")
        if window > self._max_window:
            raise WindowTooLarge(
                f"zstd data wants a window of {window} bytes, a batch that is too large to be held may have "
                f"{self._max_window}"
            )
        self._stream = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW).decompressobj()
        self._any = True
        self._checksum = 4 if descriptor & 4 else 0
        self._last_block = False
        self._left = len(header)
        return True

    def _begin_block(self) -> bool:
        """Let one block through: its header of three bytes and what it says that follows."""
        if self._last_block:
            self._left, self._checksum = self._checksum, 0
            if not self._left:
                self._stream = None
            return True
        start = self._source.peek(3)
        if start is None:
            self._ends_early()
            return False
        header = int.from_bytes(start, "little")
        kind = header >> 1 & 3
        self._last_block = bool(header & 1)
        self._left = 3 + (1 if kind == 1 else header >> 3)
        return True


class _RawSnappy(Decompressor):
    def __init__(self, max_history: int) -> None:
        super().__init__()
        self._block = SnappyBlock(max_history)

    def read(self) -> bytes:
        while True:
            data = self._source.take_some(self._source.size)
            self._block.feed(data)
            found = self._block.read(last=self._finished and not self._source.size)
            if found or not data:
                return found


class _XerialSnappy(Decompressor):
    def __init__(self, max_history: int) -> None:
        super().__init__()
        self._max_history = max_history
        self._in_header = True
        self._block: SnappyBlock | None = None
        self._left = 0

    def read(self) -> bytes:
        while self._block is not None or self._begin_block():
            assert self._block is not None
            data = self._source.take_some(self._left)
            self._left -= len(data)
            self._block.feed(data)
            found = self._block.read(last=not self._left)
            if found:
                return found
            if not self._left:
                self._block = None
            elif not data:
                self._ends_early()
                return b""
        return b""

    def _begin_block(self) -> bool:
        if self._in_header:
            if self._source.size < XERIAL_HEADER_SIZE:
                self._ends_early()
                return False
            self._source.skip(XERIAL_HEADER_SIZE)
            self._in_header = False
        length = self._source.take(4)
        if length is None:
            if self._source.size:
                self._ends_early()
            return False
        self._left = int.from_bytes(length, "big", signed=True)
        if self._left < 1:
            raise UndecodableRecords(f"a snappy block of {self._left} bytes")
        self._block = SnappyBlock(self._max_history)
        return True


def new_decompressor(
    codec: int, start: Piece, max_history: int, max_window: int = MAX_WINDOW
) -> Decompressor:
    """A decompressor for GZIP, SNAPPY, LZ4 or ZSTD.

    ``start``: the first eight bytes of the compressed data, which tell the two framings of snappy apart; they
    are to be fed as well. ``max_history`` is in bytes, see SnappyBlock; beyond ``max_window`` bytes zstd data
    is a WindowTooLarge when it is read. Raises UndecodableRecords for a codec that is not known.
    """
    if codec == SNAPPY:
        return _XerialSnappy(max_history) if is_xerial(start) else _RawSnappy(max_history)
    if codec == ZSTD:
        return _Zstd(max_window)
    maker = {GZIP: _Gzip, LZ4: _Lz4}.get(codec)
    if maker is None:
        raise UndecodableRecords(f"compression codec {codec} is not known, the last is {ZSTD}")
    return maker()


def is_xerial(start: Piece) -> bool:
    """Whether snappy data that starts so is in the framing of snappy-java."""
    return start[: len(XERIAL_MAGIC)] == XERIAL_MAGIC

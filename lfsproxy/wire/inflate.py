"""Small compressed batches, inflated whole and at once: most producers send such, and to have a thread look
into one takes many times what it takes to inflate it.

What is looked into so is bounded by bytes, of a request in all: MOST_COMPRESSED and MOST_INFLATED. Only
*clear* is a verdict. Whatever is larger, of several frames, broken or otherwise unusual is left to
``scan.is_clear_inside``, to which all that is clear here is clear, too. The layouts are those of
``lfsproxy.wire.decompress``.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Final

import lz4.frame
import zstandard
from stringzilla import find

from lfsproxy.errors import UndecodableRecords
from lfsproxy.wire.batch import (
    COUNT_OFFSET,
    CRC_START,
    GZIP,
    HEADER_SIZE,
    LZ4,
    MAGIC_OFFSET,
    MARK,
    SNAPPY,
    USUAL_RECORDS,
    ZSTD,
)
from lfsproxy.wire.decompress import USUAL_WINDOW, XERIAL_HEADER_SIZE, ZSTD_MAGIC, is_xerial
from lfsproxy.wire.primitives import INT32
from lfsproxy.wire.snappy import small_block

MOST_COMPRESSED: Final = 16 * 1024
"""Bytes of compressed batches: some data takes long to inflate, and makes next to nothing."""
MOST_INFLATED: Final = 64 * 1024
"""Bytes that they may make."""


class Inflater:
    """Inflates for one thread: what zstd needs is made once, which takes ten times as long as to inflate.

    ``max_decompressed`` is LFS_MAX_DECOMPRESSED_SIZE, in bytes.
    """

    def __init__(self, max_decompressed: int) -> None:
        self.most = min(MOST_INFLATED, max_decompressed)
        self._by_codec: dict[int, Callable[[bytes, int], bytes | None]] = {
            GZIP: _gzip,
            SNAPPY: _snappy,
            LZ4: _lz4,
            ZSTD: self._zstd,
        }
        self._zstd_decompressor = zstandard.ZstdDecompressor()

    def inflate(self, codec: int, data: bytes, most: int) -> bytes | None:
        """``data`` inflated, in memory for ``most`` bytes; None where it may be more, or is not simple."""
        inflate = self._by_codec.get(codec)
        if inflate is None or most <= 0:
            return None
        try:
            return inflate(data, most)
        except (UndecodableRecords, zlib.error, RuntimeError, zstandard.ZstdError):
            return None  # The usual way says why.

    def _zstd(self, data: bytes, most: int) -> bytes | None:
        if int.from_bytes(data[:4], "little") != ZSTD_MAGIC:
            return None
        frame = zstandard.get_frame_parameters(data)
        is_sized = frame.content_size != zstandard.CONTENTSIZE_UNKNOWN
        # Of a size of 0 the library believes that nothing follows; it makes room for the size that is told.
        if frame.window_size > USUAL_WINDOW or (is_sized and not 0 < frame.content_size <= most):
            return None
        return self._zstd_decompressor.decompress(data, max_output_size=most, allow_extra_data=False)


class SmallBatches:
    """Looks into compressed batches of one request as long as they are few bytes in all."""

    __slots__ = ("_compressed_left", "_inflated_left", "_inflater")

    def __init__(self, inflater: Inflater) -> None:
        self._inflater = inflater
        self._compressed_left = MOST_COMPRESSED
        self._inflated_left = inflater.most

    def has_room(self, size: int) -> bool:
        """Whether a batch of ``size`` bytes may be looked into."""
        return size <= self._compressed_left and self._inflated_left > 0

    def are_clear(self, batch: bytes, threshold: int = 0) -> bool:
        """Whether a whole batch of format 2 has neither LFS_BLOB nor ``threshold`` bytes or more (0 is no
        threshold) once it is inflated. Only True is a verdict; after anything else no batch is looked into.
        """
        left, self._inflated_left = self._inflated_left, 0
        if not HEADER_SIZE < len(batch) <= self._compressed_left or batch[MAGIC_OFFSET] != 2:
            return False
        if not 0 <= INT32.unpack_from(batch, COUNT_OFFSET)[0] <= USUAL_RECORDS:
            return False
        most = min(left, threshold - 1) if threshold else left
        found = self._inflater.inflate(batch[CRC_START + 1] & 7, batch[HEADER_SIZE:], most)
        if found is None or find(found, MARK) >= 0:
            return False
        self._compressed_left -= len(batch)
        self._inflated_left = left - len(found)
        return True


def _gzip(data: bytes, most: int) -> bytes | None:
    stream = zlib.decompressobj(31)
    found = stream.decompress(data, most)
    return found if stream.eof and not stream.unused_data else None


def _lz4(data: bytes, most: int) -> bytes | None:
    stream = lz4.frame.LZ4FrameDecompressor()
    found: bytes = stream.decompress(data, most)
    return found if stream.eof and not stream.unused_data else None


def _snappy(data: bytes, most: int) -> bytes | None:
    if not is_xerial(data):
        return small_block(data, most)
    blocks = []
    position = XERIAL_HEADER_SIZE
    while position < len(data):
        if len(data) - position < 4:
            return None
        (length,) = INT32.unpack_from(data, position)
        position += 4
        block = data[position : position + length] if length > 0 else b""
        found = small_block(block, most) if len(block) == length else None
        if not found:
            return None
        blocks.append(found)
        most -= len(found)
        position += length
    return b"".join(blocks) or None

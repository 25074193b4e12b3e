"""Raw snappy in a stream: decoded and encoded without ever holding a whole block.

A raw block (https://github.com/google/snappy/blob/main/format_description.txt) is the uncompressed length as
a varint, then elements: literals and copies from earlier output. librdkafka and franz-go compress a whole
batch into one such block, and no library decodes one in parts. Here the elements are only measured; a run of
them is then decoded natively, behind a literal of the earlier output that its copies refer to.
"""

from __future__ import annotations

from typing import Final

import cramjam

from lfsproxy.errors import TooLarge, UndecodableRecords
from lfsproxy.wire.chunks import Chunks, Piece
from lfsproxy.wire.primitives import put_uvarint

FRAGMENT: Final = 64 * 1024
"""Bytes of output that encoders of Google's family compress by themselves: copies stay within them."""
READ_SIZE: Final = 256 * 1024
"""Bytes of the pieces that all decompressors hand out, as those that are read from sockets."""
_ONE_SHOT = 1024 * 1024
"""Bytes of output up to which a block is decoded at once, which is quicker."""
_MAX_LENGTH = 2**32 - 1
_LONG_LITERAL = 60 << 2
"""The first tag of a literal whose length, in 1 to 4 bytes, follows the tag."""
_LITERAL_WITH_4_BYTES = 63 << 2


def _step(tag: int) -> int:
    """Bytes of an element in the compressed data; 0 for the two that need a closer look: literals whose
    length follows the tag, and copies with an offset of four bytes."""
    kind = tag & 3
    if kind == 0:
        return (tag >> 2) + 2 if tag < _LONG_LITERAL else 0
    return (2, 3, 0)[kind - 1]


_STEP = [_step(tag) for tag in range(256)]
_SIZE = [(tag >> 2 & 7) + 4 if tag & 3 == 1 else (tag >> 2) + 1 for tag in range(256)]
"""Bytes of an element in the output."""


class _History:
    """The last ``most`` bytes of output, in a ring: a buffer that is cut at its front would at times take
    twice the memory."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._ring = bytearray()
        self._end = 0

    def add(self, data: bytes) -> None:
        room = self.most - len(self._ring)
        if room:
            self._ring += data[:room]
            self._end = len(self._ring) % self.most
            data = data[room:]
        while data:
            count = min(len(data), self.most - self._end)
            self._ring[self._end : self._end + count] = data[:count]
            self._end = (self._end + count) % self.most
            data = data[count:]

    def take(self, back: int, size: int) -> bytes:
        """``size`` bytes from ``back`` bytes before the end on; both at most what was added and ``most``."""
        start = (self._end or len(self._ring)) - back
        if start >= 0:
            return bytes(self._ring[start : start + size])
        start += self.most
        first = self._ring[start : start + size]
        return bytes(first + self._ring[: size - len(first)])


class SnappyBlock:
    """Decodes one raw block: ``feed`` its bytes, ``read`` its output.

    ``max_history``: how far back, in bytes, copies may refer. Encoders of Google's family stay within 64 KiB,
    that of franz-go may go back to the block's start.
    """

    def __init__(self, max_history: int) -> None:
        self._source = Chunks()
        self._history = _History(max(max_history, FRAGMENT))
        self._literal_left = 0
        self._length: int | None = None
        self._produced = 0

    @property
    def done(self) -> bool:
        """Whether the whole output was read."""
        return self._produced == self._length

    def feed(self, data: Piece) -> None:
        """Take bytes of the block, kept by reference."""
        self._source.feed(data)

    def read(self, last: bool) -> bytes:
        """The next piece of output, at most 1 MiB of it; empty where more bytes are needed, or at the end.

        ``last`` says that all of the block was fed. Raises UndecodableRecords, or TooLarge for a copy that
        refers back further than ``max_history``.
        """
        if self._length is None and not self._read_length(last):
            return b""
        assert self._length is not None
        if self.done:
            if self._source.size:
                raise UndecodableRecords("bytes after the end of a snappy block")
            return b""
        if self._length <= _ONE_SHOT:
            return self._whole(self._length, last)
        found = self._literal() if self._literal_left else self._run(self._length)
        if not found and last:
            raise UndecodableRecords("a snappy block ends early")
        return found

    def _read_length(self, last: bool) -> bool:
        start = bytes(self._source.peek(min(5, self._source.size)) or b"")
        value = 0
        for index, byte in enumerate(start):
            value |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                if value > _MAX_LENGTH:
                    break
                self._source.skip(index + 1)
                self._length = value
                return True
        if len(start) == 5 or last:
            raise UndecodableRecords("a snappy block without its length")
        return False

    def _whole(self, length: int, last: bool) -> bytes:
        """A small block is decoded at once, when all of it is there."""
        if self._source.size > _most_compressed(length):
            raise UndecodableRecords("a snappy block is longer than its output can need")
        if not last:
            return b""
        block = bytearray()
        put_uvarint(block, length)
        block += self._source.take(self._source.size) or b""
        self._produced = length
        return _decoded(block, length)

    def _literal(self) -> bytes:
        data = bytes(self._source.take_some(min(self._literal_left, READ_SIZE)))
        self._literal_left -= len(data)
        return self._output(data)

    def _run(self, length: int) -> bytes:
        """Measure elements until they make a fragment of output, then decode them."""
        data = self._source.peek(min(FRAGMENT, self._source.size)) or b""
        end = len(data)
        position = size = copied = 0
        block = bytearray()
        while position < end and size < FRAGMENT:
            tag = data[position]
            step = _STEP[tag]
            if not step:
                if tag & 3 == 0:
                    break
                step = 5
                offset = int.from_bytes(data[position + 1 : position + 5], "little")
                if offset - size > FRAGMENT and position + step <= end:
                    block += data[copied:position]
                    block += self._as_literal(offset - size, _SIZE[tag])
                    copied = position + step
            if position + step > end:
                break
            position += step
            size += _SIZE[tag]
        if not position:
            return self._long_literal(data, length)
        if self._produced + size > length:
            raise UndecodableRecords("a snappy block is longer than its length says")
        block += data[copied:position]
        reach = min(FRAGMENT, self._produced)
        start = bytearray()
        put_uvarint(start, reach + size)
        if reach:
            start += _literal(self._history.take(reach, reach))
        self._source.skip(position)
        return self._output(_decoded(start + block, reach + size)[reach:])

    def _as_literal(self, back: int, size: int) -> bytes:
        """A copy from far behind, ``back`` bytes before this run, as a literal: so the run needs no more
        earlier output than other runs."""
        if back > self._produced:
            raise UndecodableRecords("a snappy block refers to bytes before its start")
        if back > self._history.most:
            raise TooLarge(
                f"snappy data refers {back} bytes back, further than LFS_MAX_PASSTHROUGH_SIZE allows"
                f" ({self._history.most} bytes); another codec needs no such memory"
            )
        return _literal(self._history.take(back, size))

    def _long_literal(self, data: Piece, length: int) -> bytes:
        """A literal of more than 60 bytes comes next, or there is not enough data for any element."""
        if not data or data[0] & 3 or data[0] < _LONG_LITERAL:
            return b""
        extra = (data[0] >> 2) - 59
        if len(data) <= extra:
            return b""
        size = int.from_bytes(data[1 : 1 + extra], "little") + 1
        if self._produced + size > length:
            raise UndecodableRecords("a snappy block is longer than its length says")
        self._source.skip(1 + extra)
        self._literal_left = size
        return self._literal()

    def _output(self, data: bytes) -> bytes:
        self._produced += len(data)
        self._history.add(data)
        return data


def _literal(data: bytes | bytearray) -> bytes:
    """A literal element, its length in four bytes."""
    return bytes((_LITERAL_WITH_4_BYTES,)) + (len(data) - 1).to_bytes(4, "little") + data


def _most_compressed(length: int) -> int:
    """Bytes of elements that ``length`` bytes of output can need."""
    return 32 + length + length // 6


def small_block(block: bytes, most: int) -> bytes | None:
    """The output of a whole raw block; None where that is empty, or more than ``most`` bytes.

    ``most`` is 2 MiB or less. Raises UndecodableRecords.
    """
    length = 0
    for index, byte in enumerate(block[:3]):
        length |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if not 0 < length <= most or len(block) - index - 1 > _most_compressed(length):
                return None
            return _decoded(block, length)
    return None


def _decoded(block: bytes | bytearray, length: int) -> bytes:
    try:
        found = bytes(memoryview(cramjam.snappy.decompress_raw(block)))
    except cramjam.DecompressionError as error:
        raise UndecodableRecords(f"snappy data does not decompress: {error}") from None
    if len(found) != length:
        raise UndecodableRecords("a snappy block has not the length that it says")
    return found


def snappy_fragment(data: Piece) -> bytes:
    """The elements of up to 64 KiB of output, without the length before them: fragments can be joined."""
    preamble = bytearray()
    put_uvarint(preamble, len(data))
    return bytes(memoryview(cramjam.snappy.compress_raw(data))[len(preamble) :])

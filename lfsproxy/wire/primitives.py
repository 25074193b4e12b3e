"""The primitive types of the Kafka protocol (https://kafka.apache.org/protocol#protocol_types).

``Reader`` takes them from bytes that are held whole, never beyond their end; the functions write them.
Compact lengths are N+1 as an unsigned varint, 0 is null; signed varints of records are zig-zag.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Final

from lfsproxy.errors import FramingError
from lfsproxy.wire.chunks import Piece

INT16: Final = Struct(">h")
INT32: Final = Struct(">i")
INT64: Final = Struct(">q")

Tag = tuple[int, bytes]
"""A tagged field that is kept as it came: its number and its bytes (KIP-482)."""


class Reader:
    """Reads primitives one after the other. Every read raises FramingError where it would run over the end.

    ``flexible`` chooses compact lengths and tagged fields (KIP-482).
    """

    __slots__ = ("_data", "_flexible", "_position")

    def __init__(self, data: Piece, flexible: bool) -> None:
        self._data = memoryview(data)
        self._position = 0
        self._flexible = flexible

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self._position

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return self._position

    def since(self, position: int) -> memoryview:
        """What was read from ``position`` on, as it came."""
        return self._data[position : self._position]

    def raw(self, count: int) -> memoryview:
        """The next ``count`` bytes."""
        if count < 0 or count > self.left:
            raise FramingError(f"a field of {count} bytes where {self.left} are left")
        start = self._position
        self._position += count
        return self._data[start : start + count]

    def int16(self) -> int:
        return int(INT16.unpack(self.raw(2))[0])

    def int32(self) -> int:
        return int(INT32.unpack(self.raw(4))[0])

    def int64(self) -> int:
        return int(INT64.unpack(self.raw(8))[0])

    def uvarint(self) -> int:
        value = shift = 0
        while shift < 35:
            byte = self.raw(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise FramingError("an unsigned varint of more than five bytes")

    def byte_string(self) -> bytes:
        """Bytes that are not null, with their length before them."""
        length = self.uvarint() - 1 if self._flexible else self.int32()
        return bytes(self.raw(length))

    def nullable_string(self) -> str | None:
        length = self.uvarint() - 1 if self._flexible else self.int16()
        return None if length == -1 else text(self.raw(length))

    def string(self) -> str:
        found = self.nullable_string()
        if found is None:
            raise FramingError("null where a string is needed")
        return found

    def count(self, item_size: int) -> int:
        """An array's length; a null array has none. ``item_size``: the fewest bytes that an item takes."""
        length = self.uvarint() - 1 if self._flexible else self.int32()
        if length < -1 or length * item_size > self.left:
            raise FramingError(f"an array of {length} items where {self.left} bytes are left")
        return max(length, 0)

    def tags(self) -> list[Tag]:
        """The tagged fields at the end of a flexible structure; none where it is not flexible."""
        if not self._flexible:
            return []
        count = self.uvarint()
        if count * 2 > self.left:
            raise FramingError(f"{count} tagged fields where {self.left} bytes are left")
        return [(self.uvarint(), bytes(self.raw(self.uvarint()))) for _ in range(count)]

    def end(self) -> None:
        """Raise FramingError unless everything was read."""
        if self.left:
            raise FramingError(f"{self.left} bytes after the end of a message")


def text(data: Piece) -> str:
    """A string as it came. Bytes that are not UTF-8 survive, so that they are written as they were read."""
    return str(data, "utf-8", "surrogateescape")


def put_uvarint(out: bytearray, value: int) -> None:
    """Append an unsigned varint."""
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def put_varint(out: bytearray, value: int) -> None:
    """Append a zig-zag varint or varlong, as records use them."""
    put_uvarint(out, value << 1 if value >= 0 else (-value << 1) - 1)


def put_string(out: bytearray, value: str | bytes | None, flexible: bool) -> None:
    """Append a nullable string."""
    data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    length = -1 if data is None else len(data)
    if flexible:
        put_uvarint(out, length + 1)
    else:
        out += INT16.pack(length)
    out += data or b""


def put_count(out: bytearray, count: int, flexible: bool) -> None:
    """Append an array's length, or the length of bytes."""
    if flexible:
        put_uvarint(out, count + 1)
    else:
        out += INT32.pack(count)


def put_tags(out: bytearray, tags: Iterable[Tag], flexible: bool) -> None:
    """Append tagged fields, in the order of their numbers; nothing where the structure is not flexible."""
    if not flexible:
        return
    ordered: Sequence[Tag] = sorted(tags)
    put_uvarint(out, len(ordered))
    for number, data in ordered:
        put_uvarint(out, number)
        put_uvarint(out, len(data))
        out += data


def varint_size(value: int) -> int:
    """Bytes of a zig-zag varint."""
    return (value if value >= 0 else ~value).bit_length() // 7 + 1

"""What a record is made of: numbers of varying length, and headers.

A record (https://kafka.apache.org/documentation/#record); lengths are zig-zag varints, -1 is null::

    length:varint attributes:int8 timestamp_delta:varlong offset_delta:varint
    key_length:varint key value_length:varint value
    header_count:varint [key_length:varint key value_length:varint value]
"""

from __future__ import annotations

from typing import Final

from lfsproxy.errors import TooLarge
from lfsproxy.wire.chunks import Piece

MAX_HELD: Final = 16 * 1024 * 1024
"""The default of LFS_MAX_PASSTHROUGH_SIZE, in bytes."""
_HEADER_OVERHEAD = 128
"""Bytes of memory that a header takes beside its name and value."""

Header = tuple[bytes, bytes | None]
"""A record header as it is on the wire: name (need not be UTF-8) and value, which may be null."""


def varint(data: Piece, place: int, most: int) -> tuple[int, int]:
    """A zig-zag varint of at most ``most`` bytes, and the place after it.

    Raises IndexError where the data ends within it, ValueError where it is longer.
    """
    byte = data[place]
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), place + 1
    value = 0
    for shift in range(0, 7 * most, 7):
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), place
    raise ValueError(f"a varint of more than {most} bytes")


def parse_headers(data: bytes, max_held: int = MAX_HELD) -> list[Header]:
    """The headers at the end of a record: exactly ``data``.

    Raises IndexError or ValueError where it does not decode, TooLarge for more headers than can be held.
    """
    count, place = varint(data, 0, 5)
    if count < 0 or count * 2 > len(data):
        raise ValueError(f"{count} headers in {len(data)} bytes")
    if count * _HEADER_OVERHEAD > max_held:
        raise TooLarge(f"a record with {count} headers, more than LFS_MAX_PASSTHROUGH_SIZE can hold")
    headers: list[Header] = []
    for _ in range(count):
        size, place = varint(data, place, 5)
        if size < 0 or place + size > len(data):
            raise ValueError(f"a header name of {size} bytes")
        name = data[place : place + size]
        place += size
        size, place = varint(data, place, 5)
        if size < -1 or place + size > len(data):
            raise ValueError(f"a header value of {size} bytes")
        headers.append((name, None if size < 0 else data[place : place + size]))
        place += max(size, 0)
    if place != len(data):
        raise ValueError(f"{len(data) - place} bytes after its last header")
    return headers

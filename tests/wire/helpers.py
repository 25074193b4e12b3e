"""What the tests of the wire share: cutting bytes into chunks, pulling events, and batches of any kind."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Iterable
from typing import TypeVar

import cramjam
import lz4.frame
import zstandard
from aiokafka.codec import snappy_encode
from crc32c import crc32c

Event = TypeVar("Event")


def chunked(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """``data`` cut at the given places (modulo its length)."""
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


def pulled(
    feed: Callable[[bytes], None], next_event: Callable[[], Event | None], chunks: Iterable[bytes]
) -> list[Event]:
    """Feed chunk by chunk and pull all events in between."""
    found = []
    for chunk in chunks:
        feed(chunk)
        while (event := next_event()) is not None:
            found.append(event)
    return found


def varint(value: int) -> bytes:
    """A zig-zag varint, written independently of the code under test."""
    rest = value * 2 if value >= 0 else -value * 2 - 1
    out = b""
    while rest > 127:
        out += bytes([rest % 128 + 128])
        rest //= 128
    return out + bytes([rest])


def batch_of(records: bytes, count: int, *, codec: int = 0, attributes: int = 0, magic: int = 2) -> bytes:
    """A batch around records that may be anything, with the right length and CRC."""
    signed = struct.pack(">hiqqqhii", attributes | codec, count - 1, 1000, 2000, 7, 3, 42, count) + records
    return struct.pack(">qiibI", 9, len(signed) + 9, -1, magic, crc32c(signed)) + signed


Record = tuple[bytes | None, bytes | None, list[tuple[bytes, bytes | None]]]
"""Key, value and headers."""


def raw_record(index: int, record: Record) -> bytes:
    """A record of format 2, written independently of the code under test."""

    def sized(data: bytes | None) -> bytes:
        return varint(-1) if data is None else varint(len(data)) + data

    key, value, headers = record
    body = b"\0" + varint(index) + varint(index) + sized(key) + sized(value) + varint(len(headers))
    body += b"".join(sized(name) + sized(data) for name, data in headers)
    return varint(len(body)) + body


def raw_records(records: Iterable[Record]) -> bytes:
    """Records side by side, as they are in an uncompressed batch."""
    return b"".join(raw_record(index, record) for index, record in enumerate(records))


def compressed(codec: int, data: bytes, *, xerial: bool = False) -> bytes:
    """``data`` in a codec, by the libraries' one-shot functions."""
    if codec == 1:
        return gzip.compress(data)
    if codec == 2:
        return bytes(snappy_encode(data)) if xerial else bytes(cramjam.snappy.compress_raw(data))
    if codec == 3:
        return bytes(lz4.frame.compress(data, block_linked=False))
    if codec == 4:
        return zstandard.ZstdCompressor().compress(data)
    return data


CODECS = ((0, False), (1, False), (2, False), (2, True), (3, False), (4, False))
"""(codec, whether snappy is in the framing of snappy-java)."""

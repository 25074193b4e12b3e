"""Kafka frames as no client would send them, and frames too large to be held: made while they are sent.

Written without the code under test.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Iterator, Sequence

import attrs
import cramjam
import lz4.frame
import zstandard
from crc32c import crc32c

from tests.wire.helpers import Record, raw_record, varint

MIB = 1024 * 1024
PRODUCE = 0
VERSION = 8
CLIENT_ID = b"hostile"
Pieces = Callable[[], Iterator[bytes]]
"""Makes the same bytes each time: once for their length and CRC, once to be sent."""


def head(api_key: int, version: int, correlation_id: int = 1, client_id: bytes = CLIENT_ID) -> bytes:
    """A request's header, version 1, without the frame's length."""
    return struct.pack(">hhih", api_key, version, correlation_id, len(client_id)) + client_id


def frame(body: bytes) -> bytes:
    """``body``, which begins with the header, as a frame."""
    return struct.pack(">i", len(body)) + body


def produce_start(
    topic: str, size: int, *, correlation_id: int = 1, acks: int = -1, partition: int = 0
) -> bytes:
    """A Produce request of version 8 up to the records, ``size`` bytes, of its one partition."""
    name = topic.encode()
    start = head(PRODUCE, VERSION, correlation_id) + struct.pack(">hhii", -1, acks, 30000, 1)
    return start + struct.pack(">h", len(name)) + name + struct.pack(">iii", 1, partition, size)


def produce(
    topic: str, records: bytes, *, correlation_id: int = 1, acks: int = -1, partition: int = 0
) -> bytes:
    """A Produce request with these records."""
    start = produce_start(topic, len(records), correlation_id=correlation_id, acks=acks, partition=partition)
    return frame(start + records)


def produce_partitions(topic: str, batches: Sequence[bytes]) -> bytes:
    """A Produce request with one batch for each partition from 0 on."""
    start = produce_start(topic, 0)[: -len(struct.pack(">iii", 1, 0, 0))]
    parts = [struct.pack(">ii", index, len(each)) + each for index, each in enumerate(batches)]
    return frame(start + struct.pack(">i", len(batches)) + b"".join(parts))


def batch(area: bytes, count: int = 1, codec: int = 0, *, magic: int = 2) -> bytes:
    """A batch of ``count`` records, as its header says, whatever is in ``area``."""
    signed = struct.pack(">hiqqqhii", codec, max(count - 1, 0), 1000, 2000, -1, -1, -1, count) + area
    return struct.pack(">qiibI", 0, len(signed) + 9, -1, magic, crc32c(signed)) + signed


def records(*values: Record) -> bytes:
    """Records side by side."""
    return b"".join(raw_record(index, each) for index, each in enumerate(values))


def lfs(value: bytes | None, mark: bytes = b"", key: bytes | None = None) -> Record:
    """A record to be offloaded."""
    return key, value, [(b"LFS_BLOB", mark)]


@attrs.frozen
class LargeRecord:
    """A record whose value is ``size`` bytes, ``block`` over and over."""

    size: int
    block: bytes = bytes(MIB)
    headers: Sequence[tuple[bytes, bytes]] = ((b"LFS_BLOB", b""),)
    index: int = 0

    @property
    def start(self) -> bytes:
        """The record up to its value."""
        body = b"\0" + varint(self.index) + varint(self.index) + varint(-1) + varint(self.size)
        return varint(len(body) + self.size + len(self.end)) + body

    @property
    def end(self) -> bytes:
        """The record behind its value."""
        sized = [varint(len(each)) + each for header in self.headers for each in header]
        return varint(len(self.headers)) + b"".join(sized)

    def value(self) -> Iterator[bytes]:
        """The value in pieces of the block's size."""
        for start in range(0, self.size, len(self.block)):
            yield self.block[: self.size - start]

    def pieces(self) -> Iterator[bytes]:
        """All of it."""
        yield self.start
        yield from self.value()
        yield self.end


def large_produce(topic: str, area: Pieces, *, count: int = 1, codec: int = 0) -> Iterator[bytes]:
    """A Produce request whose one batch has these records, piece by piece."""
    signed = struct.pack(">hiqqqhii", codec, count - 1, 1000, 2000, -1, -1, -1, count)
    size, crc = len(signed), crc32c(signed)
    for piece in area():
        size += len(piece)
        crc = crc32c(piece, crc)
    start = produce_start(topic, size + 21)
    yield struct.pack(">i", len(start) + size + 21) + start
    yield struct.pack(">qiibI", 0, size + 9, -1, 2, crc) + signed
    yield from area()


# Zeros that take little room: a record whose value of ``size`` bytes is not there before it is decompressed.

BLOCK = 16 * MIB


def gzip_bomb(record: LargeRecord) -> Iterator[bytes]:
    """Members of a gzip stream."""
    yield from _framed(record, lambda data: gzip.compress(data, 6, mtime=0))


def zstd_bomb(record: LargeRecord) -> Iterator[bytes]:
    """Frames of zstd."""
    yield from _framed(record, zstandard.ZstdCompressor().compress)


def lz4_bomb(record: LargeRecord) -> Iterator[bytes]:
    """Frames of lz4 with independent blocks."""
    yield from _framed(record, lambda data: bytes(lz4.frame.compress(data, block_linked=False)))


def _framed(record: LargeRecord, compress: Callable[[bytes], bytes]) -> Iterator[bytes]:
    yield compress(record.start)
    block = compress(bytes(BLOCK))
    for _ in range(record.size // BLOCK):
        yield block
    yield compress(bytes(record.size % BLOCK) + record.end)


def xerial_bomb(record: LargeRecord) -> Iterator[bytes]:
    """Blocks of snappy in the framing of snappy-java."""

    def block(data: bytes) -> bytes:
        found = bytes(memoryview(cramjam.snappy.compress_raw(data)))
        return struct.pack(">i", len(found)) + found

    yield b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1) + block(record.start)
    zeros = block(bytes(32 * 1024)) * 32
    for _ in range(record.size // MIB):
        yield zeros
    yield block(bytes(record.size % MIB) + record.end)


def snappy_bomb(record: LargeRecord) -> Iterator[bytes]:
    """One block of raw snappy: a zero, and copies of it."""

    def literal(data: bytes) -> bytes:
        return b"\xfc" + struct.pack("<i", len(data) - 1) + data

    copies = (record.size - 1) // 64
    start = bytearray()
    left = len(record.start) + record.size + len(record.end)
    while left > 127:
        start.append(left & 127 | 128)
        left >>= 7
    start.append(left)
    yield bytes(start) + literal(record.start + b"\0")
    copy = b"\xfe\x01\x00" * 10_000
    for done in range(0, copies, 10_000):
        yield copy[: 3 * (copies - done)]
    yield literal(bytes(record.size - 1 - 64 * copies) + record.end)


BOMBS: dict[str, tuple[int, Callable[[LargeRecord], Iterator[bytes]]]] = {
    "gzip": (1, gzip_bomb),
    "snappy": (2, snappy_bomb),
    "snappy in snappy-java's framing": (2, xerial_bomb),
    "lz4": (3, lz4_bomb),
    "zstd": (4, zstd_bomb),
}


TINY = b"\x0c\0\0\0\x01\x01\0"
"""The smallest record there is: no key, no value, no header."""


def tiny_records(count: int) -> bytes:
    """``count`` records in zstd, the first to be offloaded, the others TINY: thousands in each byte."""
    block = 1_000_000
    compress = zstandard.ZstdCompressor(level=19).compress
    frame = compress(TINY * block)
    rest = compress(TINY * ((count - 1) % block))
    return compress(records(lfs(b"x"))) + frame * ((count - 1) // block) + rest


def dense_records(count: int) -> bytes:
    """``count`` records in zstd, the first to be offloaded, as small as those of a real producer can be."""
    area = bytearray(records(lfs(b"x")))
    for index in range(1, count):
        body = b"\0\0" + varint(index) + b"\x01\x01\0"
        area += varint(len(body)) + body
    return zstandard.ZstdCompressor().compress(bytes(area))

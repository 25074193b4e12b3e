"""Batches and Produce requests as clients make them, and read back without the code under test."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from typing import Any

import attrs
import cramjam
import lz4.frame
import zstandard
from aiokafka.codec import snappy_decode
from crc32c import crc32c

from lfsproxy.envelope import Envelope, parse_envelope
from lfsproxy.wire.produce import PartitionRecords, ProduceRequest, TopicRecords, encode_produce
from tests.wire.helpers import Record, compressed, raw_record

TOPIC = "demo-topic"
_HEADER = struct.Struct(">qiibIhiqqqhii")


def record(
    value: bytes | None, *headers: tuple[bytes, bytes | None], key: bytes | None = b"key"
) -> tuple[bytes | None, bytes | None, list[tuple[bytes, bytes | None]]]:
    """A record with headers."""
    return key, value, list(headers)


def lfs(
    value: bytes | None,
    *headers: tuple[bytes, bytes | None],
    mark: bytes | None = b"",
    key: bytes | None = b"key",
) -> Record:
    """A record that asks for an offload; ``mark`` is the value of LFS_BLOB."""
    return record(value, (b"LFS_BLOB", mark), *headers, key=key)


def batch(
    *records: Record,
    codec: int = 0,
    xerial: bool = False,
    producer: int = -1,
    epoch: int = -1,
    sequence: int = -1,
    area: bytes | None = None,
    magic: int = 2,
) -> bytes:
    """A batch; ``area``: bytes that stand for its (compressed) records, whatever they are."""
    if area is None:
        raw = b"".join(raw_record(index, each) for index, each in enumerate(records))
        area = compressed(codec, raw, xerial=xerial)
    count = len(records)
    signed = struct.pack(">hiqqqhii", codec, count - 1, 1000, 1000 + count, producer, epoch, sequence, count)
    signed += area
    return struct.pack(">qiibI", 0, len(signed) + 9, -1, magic, crc32c(signed)) + signed


@attrs.frozen
class ReadBatch:
    """A batch as the broker gets it."""

    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    records: Sequence[ReadRecord]

    @property
    def envelopes(self) -> list[Envelope]:
        """The envelopes among its values."""
        found = [parse_envelope(each.value) for each in self.records]
        return [envelope for envelope in found if envelope is not None]


@attrs.frozen
class ReadRecord:
    """A record as the broker gets it."""

    timestamp_delta: int
    offset_delta: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[bytes, bytes | None]]


def read_batch(data: bytes) -> ReadBatch:
    """Read a batch in any codec. Fails where its length, CRC or count is wrong."""
    (
        _,
        length,
        _,
        magic,
        crc,
        attributes,
        last_delta,
        base_time,
        max_time,
        producer,
        epoch,
        sequence,
        count,
    ) = _HEADER.unpack_from(data)
    assert magic == 2 and length + 12 == len(data) and crc32c(data[21:]) == crc
    area = memoryview(_uncompressed(attributes & 7, data[61:]))
    records = []
    position = 0
    while position < len(area):
        size, position = _varint(area, position)
        records.append(_read_record(area[position : position + size]))
        position += size
    assert len(records) == count
    return ReadBatch(attributes, last_delta, base_time, max_time, producer, epoch, sequence, records)


def _read_record(data: memoryview) -> ReadRecord:
    timestamp_delta, position = _varint(data, 1)
    offset_delta, position = _varint(data, position)
    key, position = _bytes(data, position)
    value, position = _bytes(data, position)
    count, position = _varint(data, position)
    headers = []
    for _ in range(count):
        name, position = _bytes(data, position)
        content, position = _bytes(data, position)
        assert name is not None
        headers.append((name, content))
    assert position == len(data)
    return ReadRecord(timestamp_delta, offset_delta, key, value, headers)


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return (value >> 1) ^ -(value & 1), position


def _bytes(data: memoryview, position: int) -> tuple[bytes | None, int]:
    length, position = _varint(data, position)
    if length < 0:
        return None, position
    return bytes(data[position : position + length]), position + length


def _uncompressed(codec: int, data: bytes) -> bytes:
    if codec == 1:
        return gzip.decompress(data)
    if codec == 2:
        if data[:8] == b"\x82SNAPPY\0":
            return bytes(snappy_decode(data))
        return bytes(cramjam.snappy.decompress_raw(data))
    if codec == 3:
        return bytes(lz4.frame.decompress(data))
    if codec == 4:
        return bytes(zstandard.ZstdDecompressor().decompressobj().decompress(data))
    return data


def produce(
    correlation_id: int,
    *batches: bytes | None,
    version: int = 9,
    acks: int = -1,
    topic: str = TOPIC,
    first_partition: int = 0,
    transactional_id: str | None = None,
) -> bytes:
    """A Produce request with one batch for each partition from ``first_partition`` on."""
    partitions = [
        PartitionRecords(first_partition + index, None if each is None else [each])
        for index, each in enumerate(batches)
    ]
    return produce_topics(
        correlation_id,
        [TopicRecords(topic, partitions)],
        version=version,
        acks=acks,
        transactional_id=transactional_id,
    )


def produce_topics(correlation_id: int, topics: Sequence[TopicRecords], **fields: Any) -> bytes:
    """A Produce request of several topics."""
    request = ProduceRequest(
        api_version=fields.get("version", 9),
        correlation_id=correlation_id,
        client_id="a-client",
        transactional_id=fields.get("transactional_id"),
        acks=fields.get("acks", -1),
        timeout_ms=30000,
        topics=topics,
        header_tags=fields.get("header_tags", ()),
        tags=fields.get("tags", ()),
    )
    return b"".join(bytes(piece) for piece in encode_produce(request))


def request(
    api_key: int, version: int, correlation_id: int, body: bytes = b"", client_id: bytes = b"a-client"
) -> bytes:
    """A request of any API; ``body`` is all that follows the client id."""
    head = struct.pack(">hhih", api_key, version, correlation_id, len(client_id)) + client_id + body
    return struct.pack(">i", len(head)) + head

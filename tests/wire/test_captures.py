"""What real clients and a real Kafka said to each other (tests/vectors/wire) is understood byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
from kafka.record.memory_records import MemoryRecords
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.wire.addresses import brokers_named, rewrite
from lfsproxy.wire.answers import ProduceResponse
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.batch import is_clear, parse_batch_header
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.frames import FrameBytes, RequestFrames, RequestStart, ResponseFrames, ResponseStart
from lfsproxy.wire.marks import lfs_headers
from lfsproxy.wire.produce import (
    PartitionRecords,
    PartitionStart,
    ProduceInfo,
    ProduceReader,
    ProduceRequest,
    RecordsBytes,
    TopicRecords,
    encode_produce,
)
from lfsproxy.wire.records import BatchEnd, BatchReader, RecordEnd, RecordStart, ValueBytes
from lfsproxy.wire.rewrite import BatchWriter
from lfsproxy.wire.scan import KeptBytes, OffloadBytes, OffloadEnd, scan_batch, segments, uncompressed
from lfsproxy.wire.versions import cap_versions
from tests.wire.helpers import pulled

VECTORS = Path(__file__).parent.parent / "vectors" / "wire"
PLAIN = b"plain value"
BLOB = b"blob value, " * 20
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
"""As the captures' labels name them, by number."""


@attrs.frozen
class Exchange:
    """One captured request, and its answer where it has one."""

    label: str
    fields: dict[str, Any]

    @property
    def request(self) -> tuple[RequestStart, bytes]:
        frames = RequestFrames()
        events = pulled(frames.feed, frames.next_event, [self.request_frame])
        assert isinstance(events[0], RequestStart)
        return events[0], b"".join(bytes(each.data) for each in events if isinstance(each, FrameBytes))

    @property
    def request_frame(self) -> bytes:
        return bytes.fromhex(self.fields["request"])

    @property
    def response_frame(self) -> bytes:
        return bytes.fromhex(self.fields["response"])

    @property
    def response(self) -> tuple[ResponseStart, bytes]:
        frames = ResponseFrames()
        events = pulled(frames.feed, frames.next_event, [self.response_frame])
        assert isinstance(events[0], ResponseStart)
        return events[0], b"".join(bytes(each.data) for each in events if isinstance(each, FrameBytes))


def exchanges(*apis: str) -> Iterator[Exchange]:
    files = sorted(VECTORS.glob("*.json"))
    assert len(files) >= 9
    for file in files:
        capture = json.loads(file.read_text())
        for fields in capture["exchanges"]:
            if fields["api"] in apis:
                label = f"{capture['client']} {capture['version']} {fields['api']} {fields.get('codec')}"
                yield Exchange(label, fields)


def records_of(body: bytes, start: RequestStart) -> tuple[ProduceInfo, PartitionStart, bytes]:
    """What a captured Produce request has: one partition's records."""
    reader = ProduceReader(start.api_version, len(body))
    events = pulled(reader.feed, reader.next_event, [body])
    info, partition = events[0], events[1]
    assert isinstance(info, ProduceInfo)
    assert isinstance(partition, PartitionStart)
    return info, partition, b"".join(bytes(each.data) for each in events if isinstance(each, RecordsBytes))


def produces() -> Iterator[tuple[Exchange, bytes]]:
    for exchange in exchanges("Produce"):
        start, body = exchange.request
        yield exchange, records_of(body, start)[2]


class ProduceTests(SynchronousTestCase):
    def test_the_label_is_what_the_request_says(self) -> None:
        for exchange in exchanges("Produce"):
            start, body = exchange.request
            info, _, records = records_of(body, start)
            header = parse_batch_header(records)
            found = (start.api_version, info.acks, CODECS[header.codec], header.has_producer_id)
            expected = tuple(exchange.fields[name] for name in ("api_version", "acks", "codec", "idempotent"))
            self.assertEqual(found, expected, exchange.label)

    def test_a_request_is_built_again_byte_for_byte(self) -> None:
        for exchange in exchanges("Produce"):
            start, body = exchange.request
            info, partition, records = records_of(body, start)
            topic = TopicRecords(partition.topic, [PartitionRecords(partition.partition, [records])])
            request = ProduceRequest(
                start.api_version,
                start.correlation_id,
                start.client_id_bytes,
                info.transactional_id,
                info.acks,
                info.timeout_ms,
                [topic],
            )
            self.assertEqual(b"".join(encode_produce(request)), exchange.request_frame, exchange.label)

    def test_records_are_read_in_any_chunking(self) -> None:
        for exchange, records in produces():
            for step in (1, 17, len(records)):
                reader = BatchReader(len(records))
                chunks = [records[n : n + step] for n in range(0, len(records), step)]
                events = pulled(reader.feed, reader.next_event, chunks)
                self.assertEqual(events[-1], BatchEnd(crc_ok=True), exchange.label)
                keys = [event.key for event in events if isinstance(event, RecordStart)]
                values = b"".join(bytes(event.data) for event in events if isinstance(event, ValueBytes))
                marks = [lfs_headers(event.headers) for event in events if isinstance(event, RecordEnd)]
                self.assertEqual((keys, values), ([b"k0", b"k1"], PLAIN + BLOB), exchange.label)
                self.assertIsNone(marks[0], exchange.label)
                assert marks[1] is not None
                self.assertEqual((marks[1].expected, marks[1].content_type), (None, "text/plain"))

    def test_the_marked_record_is_taken_out_and_the_other_keeps_its_bytes(self) -> None:
        for exchange, records in produces():
            scan = scan_batch(records, lambda _, headers: lfs_headers(headers) is not None)
            writer = BatchWriter(scan.header, xerial=scan.xerial)
            value = b""
            for segment in segments(records, scan):
                if isinstance(segment, KeptBytes):
                    writer.keep(segment.data)
                elif isinstance(segment, OffloadBytes):
                    value += segment.data
                elif isinstance(segment, OffloadEnd):
                    plan = segment.plan
                    deltas = (plan.attributes, plan.timestamp_delta, plan.offset_delta)
                    writer.record(*deltas, plan.key, b"envelope", [])
            self.assertEqual(value, BLOB, exchange.label)
            out = b"".join(writer.finish())
            first = next(iter(uncompressed([records], scan.header)))[: scan.offload[0].raw_start]
            self.assertTrue(self.area(out).startswith(bytes(first)), exchange.label)
            theirs = MemoryRecords(out).next_batch()
            self.assertTrue(theirs.validate_crc(), exchange.label)
            self.assertEqual([each.value for each in theirs], [PLAIN, b"envelope"], exchange.label)

    def area(self, batch: bytes) -> bytes:
        pieces: list[Piece] = [batch]
        return b"".join(uncompressed(pieces, parse_batch_header(batch)))

    def test_a_record_written_anew_has_the_client_s_bytes(self) -> None:
        for exchange, records in produces():
            scan = scan_batch(records, lambda *_: True)
            writer = BatchWriter(attrs.evolve(scan.header, attributes=0))
            value = b""
            for segment in segments(records, scan):
                if isinstance(segment, OffloadBytes):
                    value += segment.data
                elif isinstance(segment, OffloadEnd):
                    plan = segment.plan
                    deltas = (plan.attributes, plan.timestamp_delta, plan.offset_delta)
                    writer.record(*deltas, plan.key, value, plan.headers)
                    value = b""
            self.assertEqual(b"".join(writer.finish())[61:], self.area(records), exchange.label)

    def test_only_compression_hides_the_mark(self) -> None:
        for exchange, records in produces():
            self.assertFalse(is_clear(records), exchange.label)

    def test_answers_survive_decoding_and_encoding(self) -> None:
        for exchange in exchanges("Produce"):
            if exchange.fields["acks"] == 0:
                self.assertIsNone(exchange.fields["response"])
                continue
            start, body = exchange.response
            version = exchange.fields["api_version"]
            answer = ProduceResponse.decode(version, body)
            self.assertEqual(answer.encode(version, start.correlation_id), exchange.response_frame)
            self.assertEqual(answer.partitions[0].error_code, 0, exchange.label)


class AnswerTests(SynchronousTestCase):
    def test_addresses_are_found_and_only_they_change(self) -> None:
        for exchange in exchanges("Metadata", "FindCoordinator", "DescribeCluster"):
            start, body = exchange.response
            key, version = exchange.fields["api_key"], exchange.fields["api_version"]
            named = brokers_named(key, version, body)
            self.assertEqual(list(named), [1], exchange.label)
            same = rewrite(key, version, start.correlation_id, body, lambda _, host, port: (host, port))
            self.assertEqual(same, exchange.response_frame, exchange.label)
            host, port = named[1]
            moved = rewrite(key, version, start.correlation_id, body, lambda *_: ("127.0.0.9", 4242))
            old = host.encode() + port.to_bytes(4, "big")
            new = b"127.0.0.9" + (4242).to_bytes(4, "big")
            self.assertEqual(moved, exchange.response_frame.replace(old, new), exchange.label)

    def test_version_answers_are_capped(self) -> None:
        for exchange in exchanges("ApiVersions"):
            start, body = exchange.response
            capped = cap_versions(exchange.fields["api_version"], start.correlation_id, body)
            self.assertEqual(capped.broker_ranges[KafkaApi.PRODUCE], (0, 13), exchange.label)
            again = cap_versions(exchange.fields["api_version"], start.correlation_id, capped.frame[8:])
            self.assertEqual(again.broker_ranges[KafkaApi.PRODUCE], (0, 12), exchange.label)
            self.assertEqual(again.broker_ranges[KafkaApi.FETCH][1], 15, exchange.label)
            self.assertEqual(again.frame, capped.frame, exchange.label)

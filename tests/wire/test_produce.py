"""Produce requests: read in any chunking, written as kafka-python writes them, and back again."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from kafka.protocol.producer import ProduceRequest as TheirRequest
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import FramingError
from lfsproxy.wire.frames import FrameBytes, RequestFrames, RequestStart
from lfsproxy.wire.produce import (
    PartitionEnd,
    PartitionRecords,
    PartitionStart,
    ProduceEnd,
    ProduceEvent,
    ProduceInfo,
    ProduceReader,
    ProduceRequest,
    RecordsBytes,
    TopicRecords,
    encode_produce,
)
from tests.wire.helpers import chunked, pulled

versions = st.integers(0, 12)
names = st.text(max_size=20)
tags = st.dictionaries(st.integers(0, 2**31), st.binary(max_size=20), max_size=2).map(
    lambda found: sorted(found.items())
)


@st.composite
def requests(draw: st.DrawFn, min_version: int = 0, with_tags: bool = True) -> ProduceRequest:
    version = draw(st.integers(min_version, 12))
    tagged = tags if version >= 9 and with_tags else st.just([])
    records = st.none() | st.lists(st.binary(min_size=1, max_size=30), max_size=3)
    partition = st.builds(PartitionRecords, st.integers(0, 2**31 - 1), records, tagged)
    topic = st.builds(TopicRecords, names, st.lists(partition, max_size=3), tagged)
    return ProduceRequest(
        version,
        draw(st.integers(-(2**31), 2**31 - 1)),
        draw(st.none() | names),
        draw(st.none() | names) if version >= 3 else None,
        draw(st.sampled_from([-1, 0, 1])),
        draw(st.integers(0, 2**31 - 1)),
        draw(st.lists(topic, max_size=3)),
        draw(tagged),
        draw(tagged),
    )


def frame(request: ProduceRequest) -> bytes:
    return b"".join(encode_produce(request))


def body_of(data: bytes) -> tuple[RequestStart, bytes]:
    frames = RequestFrames()
    events = pulled(frames.feed, frames.next_event, [data])
    start = events[0]
    assert isinstance(start, RequestStart)
    return start, b"".join(bytes(event.data) for event in events if isinstance(event, FrameBytes))


def read(version: int, body: bytes, cuts: Sequence[int] = (), size: int | None = None) -> list[ProduceEvent]:
    """The events, with the bytes of adjacent RecordsBytes joined."""
    reader = ProduceReader(version, len(body) if size is None else size)
    found: list[ProduceEvent] = []
    events: list[ProduceEvent] = pulled(reader.feed, reader.next_event, chunked(body, cuts))
    for event in events:
        if isinstance(event, RecordsBytes) and found and isinstance(found[-1], RecordsBytes):
            found[-1] = RecordsBytes(bytes(found[-1].data) + bytes(event.data))
        elif isinstance(event, RecordsBytes):
            found.append(RecordsBytes(bytes(event.data)))
        else:
            found.append(event)
    return found


def rebuilt(start: RequestStart, events: Sequence[ProduceEvent]) -> ProduceRequest:
    """A request out of the events, as a proxy that changes nothing would build it.

    The events do not show topics without partitions, so requests with these are not rebuilt the same.
    """
    info, end = events[0], events[-1]
    assert isinstance(info, ProduceInfo)
    assert isinstance(end, ProduceEnd)
    topics: list[TopicRecords] = []
    for event in events:
        if isinstance(event, PartitionStart):
            opened, pieces = event, []
        elif isinstance(event, RecordsBytes):
            pieces.append(event.data)
        elif isinstance(event, PartitionEnd):
            records = None if opened.size < 0 else pieces
            topic_tags = dict(end.topic_tags).get(opened.topic, ())
            partition = PartitionRecords(opened.partition, records, event.tags)
            if topics and topics[-1].topic == opened.topic:
                topics[-1] = TopicRecords(opened.topic, [*topics[-1].partitions, partition], topic_tags)
            else:
                topics.append(TopicRecords(opened.topic, [partition], topic_tags))
    return ProduceRequest(
        start.api_version,
        start.correlation_id,
        start.client_id_bytes,
        info.transactional_id,
        info.acks,
        info.timeout_ms,
        topics,
        info.header_tags,
        end.tags,
    )


def simple(version: int = 9, records: bytes = b"abc") -> ProduceRequest:
    topics = [TopicRecords("t", [PartitionRecords(0, [records])])]
    return ProduceRequest(version, 1, "c", None, -1, 1000, topics)


class ReadingTests(SynchronousTestCase):
    @given(requests(with_tags=False))
    def test_encoding_is_that_of_kafka_python(self, request: ProduceRequest) -> None:
        Topic, Partition = TheirRequest.TopicProduceData, TheirRequest.TopicProduceData.PartitionProduceData
        theirs = TheirRequest(
            version=request.api_version,
            transactional_id=request.transactional_id,
            acks=request.acks,
            timeout_ms=request.timeout_ms,
            topic_data=[
                Topic(
                    version=request.api_version,
                    name=topic.topic,
                    partition_data=[
                        Partition(
                            version=request.api_version,
                            index=partition.partition,
                            records=None if partition.pieces is None else b"".join(partition.pieces),
                        )
                        for partition in topic.partitions
                    ],
                )
                for topic in request.topics
            ],
        )
        theirs.with_header(correlation_id=request.correlation_id, client_id=request.client_id)
        self.assertEqual(frame(request), theirs.encode(header=True, framed=True))

    @given(requests(), st.lists(st.integers(0, 10**6), max_size=10))
    def test_chunking_does_not_matter(self, request: ProduceRequest, cuts: list[int]) -> None:
        start, body = body_of(frame(request))
        self.assertEqual(read(start.api_version, body, cuts), read(start.api_version, body))

    @given(requests())
    def test_what_was_read_encodes_to_the_same_bytes(self, request: ProduceRequest) -> None:
        names = [topic.topic for topic in request.topics]
        if len(set(names)) == len(names) and all(topic.partitions for topic in request.topics):
            data = frame(request)
            start, body = body_of(data)
            self.assertEqual(frame(rebuilt(start, read(start.api_version, body))), data)

    def test_partition_start_says_where_its_records_are(self) -> None:
        for version in (0, 3, 9, 12):
            _, body = body_of(frame(simple(version)))
            start = next(event for event in read(version, body) if isinstance(event, PartitionStart))
            self.assertEqual(body[start.offset : start.offset + start.size], b"abc")

    def test_records_leave_as_the_chunk_that_was_fed(self) -> None:
        _, body = body_of(frame(simple(9, bytes(1000))))
        reader = ProduceReader(9, len(body))
        pulled(reader.feed, reader.next_event, [body[:100]])
        chunk = body[100:200]
        reader.feed(chunk)
        event = reader.next_event()
        assert isinstance(event, RecordsBytes)
        self.assertIs(event.data, chunk)

    def test_a_client_id_that_is_not_utf8_survives(self) -> None:
        data = frame(ProduceRequest(9, 1, b"\xff\xfe", None, 1, 1, []))
        start, body = body_of(data)
        self.assertEqual(frame(rebuilt(start, read(9, body))), data)


class BrokenRequestTests(SynchronousTestCase):
    @given(requests(), st.data())
    def test_mutations_give_events_or_a_framing_error(
        self, request: ProduceRequest, data: st.DataObject
    ) -> None:
        start, body = body_of(frame(request))
        mutable = bytearray(body)
        for _ in range(data.draw(st.integers(1, 3))):
            place = data.draw(st.integers(0, len(mutable) - 1))
            mutable[place] = data.draw(st.integers(0, 255))
        try:
            read(start.api_version, bytes(mutable))
        except FramingError:
            return

    def test_version_13_is_refused(self) -> None:
        self.assertRaises(FramingError, ProduceReader, 13, 100)

    def assert_broken(self, version: int, body: bytes, size: int | None = None) -> None:
        reader = ProduceReader(version, len(body) if size is None else size)
        reader.feed(body)
        with self.assertRaises(FramingError):
            while reader.next_event() is not None:
                pass
        self.assertRaises(FramingError, reader.next_event)

    def test_records_longer_than_the_request_are_refused(self) -> None:
        head = struct.pack(">hhii", -1, 1, 1000, 1) + b"\0\1t" + struct.pack(">iii", 1, 0, 100)
        self.assert_broken(7, head + bytes(99))
        self.assert_broken(7, head[:-4] + struct.pack(">i", -2) + bytes(99))

    def test_counts_larger_than_the_request_are_refused(self) -> None:
        for count in (2**31 - 1, -1, 40):
            self.assert_broken(7, struct.pack(">hhii", -1, 1, 1000, count) + bytes(60))

    def test_bytes_after_the_end_are_refused(self) -> None:
        _, body = body_of(frame(simple()))
        self.assert_broken(9, body + b"\0")

    def test_a_request_that_ends_early_is_refused(self) -> None:
        _, body = body_of(frame(simple()))
        self.assert_broken(9, body[:-1])

    def test_endless_varints_are_refused(self) -> None:
        self.assert_broken(9, b"\x80" * 20)

    def test_tagged_fields_are_bounded(self) -> None:
        self.assert_broken(9, b"\1\0" + b"\x80\x80\x80\x01", size=2**30)

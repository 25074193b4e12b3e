"""Fetch requests and answers: read and written again they are the same, and broken ones are FramingErrors."""

from __future__ import annotations

import json
import struct
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from kafka.protocol.consumer import FetchRequest as TheirRequest
from kafka.protocol.consumer import FetchResponse as TheirAnswer
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import FramingError, TooLarge
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.fetch import (
    FIRST_FLEXIBLE,
    FIRST_WITH_IDS,
    FIRST_WITH_SESSIONS,
    MAX_VERSION,
    MIN_VERSION,
    NO_SESSION,
    FetchPartition,
    FetchRequest,
    FetchTopic,
    ForgottenTopic,
    TopicRef,
    parse_fetch_request,
)
from lfsproxy.wire.fetch_answers import FetchAnswer, FetchedPartition, FetchedTopic, read_fetch_answer
from tests.wire.test_captures import VECTORS, Exchange

VERSIONS = st.integers(MIN_VERSION, MAX_VERSION)
INT16, INT32, INT64 = (st.integers(-(1 << bits), (1 << bits) - 1) for bits in (15, 31, 63))
ISOLATION = st.integers(-128, 127)


def fetches() -> Iterator[Exchange]:
    """What was captured by tests/vectors/wire/capture_fetch.py."""
    files: list[Path] = sorted((VECTORS / "fetch").glob("kafka-*.json"))
    assert len(files) >= 3
    for file in files:
        capture = json.loads(file.read_text())
        for fields in capture["exchanges"]:
            yield Exchange(f"{capture['broker']} {fields['client']} {fields['api_version']}", fields)


def from_version(
    version: int, first: int, values: st.SearchStrategy[Any], otherwise: Any
) -> st.SearchStrategy[Any]:
    """``values`` for fields that came with version ``first``."""
    return values if version >= first else st.just(otherwise)


def tags(version: int, first: int = 0) -> st.SearchStrategy[Any]:
    fields = st.dictionaries(st.integers(first, 300), st.binary(max_size=200), max_size=3)
    return from_version(version, FIRST_FLEXIBLE, fields.map(lambda each: sorted(each.items())), [])


def topic_refs(version: int) -> st.SearchStrategy[TopicRef]:
    return st.binary(min_size=16, max_size=16) if version >= FIRST_WITH_IDS else st.text(max_size=200)


@st.composite
def requests(draw: st.DrawFn, version: int) -> FetchRequest:
    partition = st.builds(
        FetchPartition,
        INT32,
        INT64,
        INT32,
        from_version(version, 9, INT32, -1),
        from_version(version, 12, INT32, -1),
        from_version(version, 5, INT64, -1),
        tags(version),
    )
    names = topic_refs(version)
    topic = st.builds(FetchTopic, names, st.lists(partition, max_size=3), tags(version))
    forgotten = st.builds(ForgottenTopic, names, st.lists(INT32, max_size=3), tags(version))
    sessions = version >= FIRST_WITH_SESSIONS
    return FetchRequest(
        draw(INT32),
        draw(INT32),
        draw(INT32),
        draw(ISOLATION),
        draw(st.lists(topic, max_size=3)),
        draw(INT32) if sessions else NO_SESSION[0],
        draw(INT32) if sessions else NO_SESSION[1],
        draw(st.lists(forgotten, max_size=3)) if sessions else [],
        draw(from_version(version, 11, st.text(max_size=200), "")),
        draw(INT32) if version < 15 else -1,
        draw(tags(version)),
        draw(tags(version)),
    )


def aborted_bytes(version: int, transactions: list[tuple[int, int]]) -> bytes:
    """An array that is not null, written independently of the code under test."""
    flexible = version >= FIRST_FLEXIBLE
    count = bytes([len(transactions) + 1]) if flexible else struct.pack(">i", len(transactions))
    return count + b"".join(struct.pack(">qq", *each) + b"\0" * flexible for each in transactions)


@st.composite
def answers(draw: st.DrawFn, version: int) -> FetchAnswer:
    transactions = st.lists(st.tuples(INT64, INT64), max_size=3)
    partition = st.builds(
        FetchedPartition,
        INT32,
        INT16,
        INT64,
        INT64,
        st.none() | st.binary(max_size=300),
        from_version(version, 5, INT64, -1),
        st.none() | transactions.map(lambda each: aborted_bytes(version, each)),
        from_version(version, 11, INT32, -1),
        tags(version),
    )
    topic = st.builds(FetchedTopic, topic_refs(version), st.lists(partition, max_size=3), tags(version))
    sessions = version >= FIRST_WITH_SESSIONS
    return FetchAnswer(
        draw(INT32),
        draw(INT16) if sessions else 0,
        draw(INT32) if sessions else 0,
        draw(st.lists(topic, max_size=3)),
        draw(tags(version)),
        draw(tags(version)),
    )


def frame_of(answer: FetchAnswer, version: int) -> bytes:
    pieces: list[Piece] = []
    for piece in answer.layout(version, 7):
        assert not isinstance(piece, FetchedPartition)
        pieces.append(piece)
    return b"".join(pieces)


class RequestTests(SynchronousTestCase):
    @given(VERSIONS.flatmap(lambda version: st.tuples(st.just(version), requests(version))))
    def test_what_is_written_is_read(self, case: tuple[int, FetchRequest]) -> None:
        version, request = case
        self.assertEqual(parse_fetch_request(version, request.to_bytes(version)), request)

    @given(VERSIONS.flatmap(lambda version: st.tuples(st.just(version), requests(version))))
    def test_kafka_python_reads_the_same(self, case: tuple[int, FetchRequest]) -> None:
        version, request = case
        request = attrs.evolve(request, tags=[], header_tags=[])
        body = request.to_bytes(version)
        theirs = TheirRequest.decode(body[version >= FIRST_FLEXIBLE :], version=version)
        for theirs_topic, topic in zip(theirs.topics, request.topics, strict=True):
            self.assertEqual(_their_topic(theirs_topic, version), topic.topic)
            for found, partition in zip(theirs_topic.partitions, topic.partitions, strict=True):
                seen = (found.partition, found.fetch_offset, found.partition_max_bytes)
                self.assertEqual(seen, (partition.partition, partition.fetch_offset, partition.max_bytes))
                if version >= 5:
                    self.assertEqual(found.log_start_offset, partition.log_start_offset)
                if version >= 9:
                    self.assertEqual(found.current_leader_epoch, partition.current_leader_epoch)
                if version >= 12:
                    self.assertEqual(found.last_fetched_epoch, partition.last_fetched_epoch)
        if version < 15:
            self.assertEqual(theirs.replica_id, request.replica_id)
        self.assertEqual(
            (theirs.max_wait_ms, theirs.min_bytes, theirs.max_bytes, theirs.isolation_level),
            (request.max_wait_ms, request.min_bytes, request.max_bytes, request.isolation_level),
        )
        if version >= FIRST_WITH_SESSIONS:
            self.assertEqual(
                (theirs.session_id, theirs.session_epoch), (request.session_id, request.session_epoch)
            )
            self.assertEqual(
                [(_their_topic(each, version), each.partitions) for each in theirs.forgotten_topics_data],
                [(each.topic, each.partitions) for each in request.forgotten],
            )
        if version >= 11:
            self.assertEqual(theirs.rack_id, request.rack_id)

    def test_captured_requests_are_written_again_byte_for_byte(self) -> None:
        seen = set()
        for exchange in fetches():
            start, body = exchange.request
            request = parse_fetch_request(start.api_version, body)
            self.assertEqual(request.to_bytes(start.api_version), body, exchange.label)
            self.assertEqual(len(request.topics), 1, exchange.label)
            self.assertGreater(request.max_bytes, 0, exchange.label)
            seen.add(start.api_version)
        self.assertEqual(seen, {4, 5, 7, 9, 11, 12, 13, 15})

    def test_a_request_that_ends_early_or_late_is_broken(self) -> None:
        for exchange in fetches():
            start, body = exchange.request
            for end in range(len(body)):
                self.assertRaises(FramingError, parse_fetch_request, start.api_version, body[:end])
            self.assertRaises(FramingError, parse_fetch_request, start.api_version, body + b"\0")

    def test_counts_that_lie_are_refused_before_anything_is_made(self) -> None:
        fixed = struct.pack(">iiiib", -1, 500, 1, 1, 0)
        for count in (2**31 - 1, 2**20, 4, -2):
            with self.assertRaises(FramingError):
                parse_fetch_request(4, fixed + struct.pack(">i", count) + bytes(9))
        with self.assertRaises(FramingError):
            parse_fetch_request(12, b"\0" + fixed + bytes(8) + b"\xff\xff\xff\xff\x0f" + bytes(9))
        with self.assertRaises(FramingError):
            parse_fetch_request(12, b"\xff" * 200)

    def test_a_name_that_is_not_utf8_survives(self) -> None:
        request = FetchRequest(
            0, 0, 0, 0, [FetchTopic("\udcff", [], [])], forgotten=[], tags=[], header_tags=[]
        )
        self.assertIn(b"\xff", request.to_bytes(4)[-8:])
        self.assertEqual(parse_fetch_request(4, request.to_bytes(4)), request)

    def test_other_versions_are_not_spoken(self) -> None:
        for version in (MIN_VERSION - 1, MAX_VERSION + 1):
            self.assertRaises(FramingError, parse_fetch_request, version, bytes(100))
            self.assertRaises(FramingError, read_fetch_answer, version, bytes(100))


class AnswerTests(SynchronousTestCase):
    @given(VERSIONS.flatmap(lambda version: st.tuples(st.just(version), answers(version))))
    def test_what_is_written_is_read(self, case: tuple[int, FetchAnswer]) -> None:
        version, answer = case
        frame = frame_of(answer, version)
        self.assertEqual(struct.unpack_from(">ii", frame), (len(frame) - 4, 7))
        self.assertEqual(read_fetch_answer(version, frame[8:]), answer)

    @given(VERSIONS.flatmap(lambda version: st.tuples(st.just(version), answers(version))))
    def test_kafka_python_reads_the_same(self, case: tuple[int, FetchAnswer]) -> None:
        version, answer = case
        if version >= FIRST_FLEXIBLE:
            # The tags that it knows would have to be what it knows.
            partitions = [
                [attrs.evolve(each, tags=[]) for each in topic.partitions] for topic in answer.topics
            ]
            topics = [
                attrs.evolve(topic, partitions=each)
                for topic, each in zip(answer.topics, partitions, strict=True)
            ]
            answer = attrs.evolve(answer, topics=topics, tags=[], header_tags=[])
        theirs = TheirAnswer.decode(
            frame_of(answer, version)[8 + (version >= FIRST_FLEXIBLE) :], version=version
        )
        self.assertEqual(theirs.throttle_time_ms, answer.throttle_ms)
        if version >= FIRST_WITH_SESSIONS:
            self.assertEqual((theirs.error_code, theirs.session_id), (answer.error_code, answer.session_id))
        for theirs_topic, topic in zip(theirs.responses, answer.topics, strict=True):
            self.assertEqual(_their_topic(theirs_topic, version), topic.topic)
            for found, partition in zip(theirs_topic.partitions, topic.partitions, strict=True):
                self.assertEqual(
                    (found.partition_index, found.error_code, found.high_watermark, found.records),
                    (
                        partition.partition,
                        partition.error_code,
                        partition.high_watermark,
                        partition.records,
                    ),
                )
                self.assertEqual(found.last_stable_offset, partition.last_stable_offset)
                if version >= 5:
                    self.assertEqual(found.log_start_offset, partition.log_start_offset)
                if version >= 11:
                    self.assertEqual(found.preferred_read_replica, partition.preferred_read_replica)
                transactions = found.aborted_transactions
                if transactions is not None:
                    pairs = [(each.producer_id, each.first_offset) for each in transactions]
                    transactions = aborted_bytes(version, pairs)
                self.assertEqual(transactions, partition.aborted)

    def test_captured_answers_are_written_again_byte_for_byte(self) -> None:
        for exchange in fetches():
            version = exchange.fields["api_version"]
            start, body = exchange.response
            answer = read_fetch_answer(version, body)
            frame = b"".join(map(bytes, _pieces(answer.layout(version, start.correlation_id))))
            self.assertEqual(frame, exchange.response_frame, exchange.label)
            partition = answer.topics[0].partitions[0]
            self.assertEqual(partition.error_code, 0, exchange.label)
            self.assertGreater(len(partition.records or b""), 1000, exchange.label)

    def test_aborted_transactions_and_errors_are_as_the_broker_has_them(self) -> None:
        for exchange in fetches():
            if "by hand" not in exchange.label:
                continue
            version = exchange.fields["api_version"]
            first, second = read_fetch_answer(version, exchange.response[1]).topics[0].partitions
            self.assertEqual(second.error_code, 3, exchange.label)
            assert first.aborted is not None
            self.assertEqual(len(first.aborted), 1 + 17 if version >= FIRST_FLEXIBLE else 4 + 16)

    def test_an_answer_that_ends_early_or_late_is_broken(self) -> None:
        for exchange in list(fetches())[:12]:
            version = exchange.fields["api_version"]
            _, body = exchange.response
            for end in range(0, len(body), 1 + len(body) // 400):
                self.assertRaises(FramingError, read_fetch_answer, version, body[:end])
            self.assertRaises(FramingError, read_fetch_answer, version, body[:-1])
            self.assertRaises(FramingError, read_fetch_answer, version, body + b"\0")

    def test_lengths_and_counts_that_lie_are_refused(self) -> None:
        state = struct.pack(">ihqq", 0, 0, 9, 9)
        for aborted, size in ((2**31 - 1, 0), (-2, 0), (0, 2**31 - 1), (0, -2), (-1, 1)):
            partition = state + struct.pack(">ii", aborted, size)
            body = struct.pack(">iih1si", 0, 1, 1, b"t", 1) + partition
            self.assertRaises(FramingError, read_fetch_answer, 4, body)
        self.assertRaises(FramingError, read_fetch_answer, 12, b"\xff" * 200)

    def test_records_are_slices_of_what_was_read(self) -> None:
        body = frame_of(_answer(b"records"), 4)[8:]
        records = read_fetch_answer(4, body).topics[0].partitions[0].records
        assert isinstance(records, memoryview)
        self.assertIs(records.obj, body)

    def test_planned_records_leave_a_place_and_are_counted(self) -> None:
        for version in range(MIN_VERSION, MAX_VERSION + 1):
            topic = b"t" * 16 if version >= FIRST_WITH_IDS else "t"
            parts = [FetchedPartition(each, 0, 9, 9, b"old", planned=500 * each) for each in range(3)]
            answer = FetchAnswer(topics=[FetchedTopic(topic, parts)])
            layout = answer.layout(version, 7)
            self.assertEqual([each for each in layout if isinstance(each, FetchedPartition)], parts[1:])
            filled = b"".join(
                b"x" * (each.planned or 0) if isinstance(each, FetchedPartition) else bytes(each)
                for each in layout
            )
            expected = [
                attrs.evolve(each, records=b"x" * (each.planned or 0), planned=None) for each in parts
            ]
            self.assertEqual(filled, frame_of(FetchAnswer(topics=[FetchedTopic(topic, expected)]), version))

    def test_a_frame_that_no_length_field_can_count_is_too_large(self) -> None:
        planned = [FetchedPartition(each, 0, 9, 9, None, planned=2**30) for each in range(2)]
        answer = FetchAnswer(topics=[FetchedTopic("t", planned)])
        self.assertRaises(TooLarge, answer.layout, 12, 7)


def _answer(records: bytes) -> FetchAnswer:
    return FetchAnswer(topics=[FetchedTopic("t", [FetchedPartition(0, 0, 9, 9, records)])])


def _pieces(layout: list[Piece | FetchedPartition]) -> Iterator[Piece]:
    for each in layout:
        assert not isinstance(each, FetchedPartition)
        yield each


def _their_topic(topic: Any, version: int) -> TopicRef:
    if version < FIRST_WITH_IDS:
        return str(topic.topic)
    return (topic.topic_id or uuid.UUID(int=0)).bytes

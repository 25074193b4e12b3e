"""The quick look agrees with the reader that takes a request apart, whatever the bytes are."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import FramingError, LfsError
from lfsproxy.wire.answers import PartitionAnswer, ProduceResponse
from lfsproxy.wire.batch import HEADER_SIZE, MARK, is_clear
from lfsproxy.wire.inflate import Inflater, SmallBatches
from lfsproxy.wire.pieces import Pieces
from lfsproxy.wire.plain import Body, plain_answer_size
from lfsproxy.wire.primitives import Tag
from lfsproxy.wire.produce import (
    MAX_PARTITIONS,
    PartitionEnd,
    PartitionRecords,
    PartitionStart,
    ProduceEnd,
    ProduceInfo,
    ProduceReader,
    ProduceRequest,
    RecordsBytes,
    TopicRecords,
    encode_produce,
)
from lfsproxy.wire.scan import is_clear_inside
from tests.wire.helpers import batch_of, compressed

VERSIONS = range(3, 13)
INFLATER = Inflater(2**31 - 1)
PLAIN = batch_of(b"seven..", 1)


def body_of(version: int, topics: Sequence[TopicRecords], **fields: object) -> bytes:
    """A request from behind its client id on."""
    known = {"client_id": None, "transactional_id": None, "acks": -1, "timeout_ms": 30000, **fields}
    request = ProduceRequest(version, 7, topics=topics, **known)  # type: ignore[arg-type]
    return b"".join(map(bytes, encode_produce(request)))[14:]


def one(version: int, records: bytes | None = PLAIN, tags: Sequence[Tag] = (), **fields: object) -> bytes:
    """A request for one partition."""
    pieces = None if records is None else [records]
    topic = TopicRecords("demo-topic", [PartitionRecords(0, pieces, tags)])
    return body_of(version, [topic], **fields)


def quickly(version: int, body: Body, threshold: int, counted: Container[bytes] = ()) -> int | None:
    """What is tested."""
    return plain_answer_size(version, body, threshold, SmallBatches(INFLATER), counted)


def may_pass(records: bytes, threshold: int) -> bool:
    """Whether nothing of a batch is offloaded, for certain."""
    if is_clear(records, threshold):
        return True
    if threshold and len(records) >= threshold:
        return False
    try:
        return MARK not in records and is_clear_inside(records, threshold)
    except LfsError:
        return False


def slowly(version: int, body: bytes, threshold: int) -> int | None:
    """What ``plain_answer_size`` gives, by the reader and the writer that everything else is done with."""
    reader = ProduceReader(version, len(body))
    reader.feed(body)
    answers = []
    records = b""
    if MARK in body:
        return None
    try:
        while (event := reader.next_event()) is not None:
            match event:
                case ProduceInfo(acks=acks, header_tags=tags) if acks == 0 or tags:
                    return None
                case PartitionStart(topic=topic, partition=partition):
                    records = b""
                    answers.append(PartitionAnswer(topic, partition))
                case RecordsBytes(data=data):
                    records += data
                case PartitionEnd(tags=tags):
                    is_batch = len(records) >= HEADER_SIZE and records[16] == 2
                    if tags or not is_batch or not may_pass(records, threshold):
                        return None
                case ProduceEnd(tags=tags, topic_tags=topic_tags) if tags or topic_tags:
                    return None
    except FramingError:
        return None
    if len({(each.topic, each.partition) for each in answers}) < len(answers):
        return None
    return len(ProduceResponse(answers).encode(version, 7)) - 8


def in_pieces(data: st.DataObject, body: bytes) -> Pieces:
    """The same bytes, cut anywhere."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=4)))
    return Pieces([body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)])


RECORDS = st.one_of(
    st.none(),
    st.binary(max_size=80),
    st.builds(
        batch_of,
        st.binary(max_size=40) | st.just(b"a LFS_BLOB b"),
        st.integers(0, 3),
        codec=st.sampled_from([0, 0, 0, 1, 4]),
        magic=st.sampled_from([2, 2, 2, 0, 1]),
    ),
    st.builds(
        lambda data, codec, count: batch_of(compressed(codec, data), count, codec=codec),
        st.binary(min_size=1, max_size=40) | st.just(b"a LFS_BLOB b") | st.just(bytes(900)),
        st.integers(1, 4),
        st.integers(0, 3),
    ),
    st.just(PLAIN),
)
TAGS = st.one_of(st.just(()), st.just(()), st.just(((3, b"tag"),)))
PARTITIONS = st.builds(
    PartitionRecords, st.integers(0, 3), RECORDS.map(lambda each: None if each is None else [each]), TAGS
)
TOPICS = st.builds(TopicRecords, st.text(max_size=200), st.lists(PARTITIONS, max_size=4), TAGS)


class AgreementTests(SynchronousTestCase):
    @given(
        st.sampled_from(VERSIONS),
        st.lists(TOPICS, max_size=3),
        st.sampled_from([-1, 0, 1]),
        st.none() | st.text(max_size=20),
        TAGS,
        TAGS,
        st.sampled_from([0, 70, 1000]),
    )
    def test_with_the_reader_of_requests(
        self,
        version: int,
        topics: list[TopicRecords],
        acks: int,
        transactional_id: str | None,
        header_tags: Sequence[Tag],
        tags: Sequence[Tag],
        threshold: int,
    ) -> None:
        # Of two topics that follow each other encode_produce makes two, also of one name: a broker answers
        # about one, and what it leaves out could be as long as a broker's name.
        body = body_of(
            version,
            topics,
            acks=acks,
            transactional_id=transactional_id,
            header_tags=header_tags if version >= 9 else (),
            tags=tags if version >= 9 else (),
        )
        found = quickly(version, body, threshold)
        expected = slowly(version, body, threshold)
        if not topics or not all(topic.partitions for topic in topics):
            self.assertIsNone(found)
        elif len({topic.topic for topic in topics}) == len(topics):
            self.assertEqual(found, expected)
        else:
            self.assertIsNone(found)

    @given(st.sampled_from(VERSIONS), st.data())
    def test_with_the_reader_of_broken_requests(self, version: int, data: st.DataObject) -> None:
        body = bytearray(one(version) if data.draw(st.booleans()) else one(version, transactional_id="tx"))
        for _ in range(data.draw(st.integers(1, 3))):
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
        body = body[: data.draw(st.integers(0, len(body)) | st.just(len(body)))]
        body += data.draw(st.binary(max_size=3))
        found = quickly(version, bytes(body), 0)
        self.assertEqual(found, quickly(version, in_pieces(data, bytes(body)), 0))
        if found is not None:
            self.assertEqual(found, slowly(version, bytes(body), 0), bytes(body).hex())


class Watched(Pieces):
    """Notes the most bytes that were copied at once."""

    most = 0

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        if isinstance(found, bytes):
            self.most = max(self.most, len(found))
        return found


class PlainTests(SynchronousTestCase):
    def test_however_long_a_name_says_it_is_no_more_is_copied(self) -> None:
        for version, begin in ((8, "ffffffff000003e8000000017fff"), (9, "0000ffff000003e8028080808008")):
            body = Watched([bytes.fromhex(begin), *[bytes(16 * 1024)] * 64])
            self.assertIsNone(quickly(version, body, 0))
            self.assertLess(body.most, 2**15)

    def test_requests_of_real_clients_are_mostly_plain(self) -> None:
        for version in VERSIONS:
            body = one(version)
            self.assertEqual(quickly(version, body, 0), slowly(version, body, 0))
            self.assertIsNotNone(quickly(version, body, 0))

    def test_what_is_not_plain_goes_the_usual_way(self) -> None:
        for version in VERSIONS:
            for body in (
                one(version, None),
                one(version, b""),
                one(version, batch_of(b"LFS_BLOB", 1)),
                one(version, batch_of(b"packed.", 1, codec=2)),
                one(version, batch_of(b"older..", 1, magic=1)),
                one(version, acks=0),
                one(version)[:-1],
                one(version) + b"\0",
                body_of(version, [TopicRecords("t", [PartitionRecords(0, [PLAIN])] * 2)]),
                body_of(version, [TopicRecords("t", [PartitionRecords(each, [PLAIN])]) for each in (0, 1)]),
            ):
                self.assertIsNone(quickly(version, body, 0))
            self.assertIsNone(quickly(version, one(version), len(PLAIN)))
            self.assertIsNotNone(quickly(version, one(version), len(PLAIN) + 1))

    def test_a_topic_whose_records_are_counted(self) -> None:
        for version in VERSIONS:
            self.assertIsNone(quickly(version, one(version), 0, {b"demo-topic"}))
            self.assertIsNone(quickly(version, Pieces([one(version)]), 0, {b"demo-topic"}))
            self.assertIsNotNone(quickly(version, one(version), 0, {b"demo", b"topic"}))

    def test_so_does_one_for_more_partitions_than_a_request_may_have(self) -> None:
        for version in (8, 9):
            for count, is_plain in ((MAX_PARTITIONS, True), (MAX_PARTITIONS + 1, False)):
                body = body_of(
                    version,
                    [
                        TopicRecords(topic, [PartitionRecords(each, [PLAIN]) for each in range(first, last)])
                        for topic, first, last in (("a", 0, 9000), ("b", 9000, count))
                    ],
                )
                self.assertEqual(quickly(version, body, 0) is not None, is_plain)

    def test_the_mark_is_found_across_the_edges_of_pieces(self) -> None:
        body = one(9, batch_of(b"LFS_BLOB", 1))
        place = body.index(MARK)
        for cut in range(place + 1, place + len(MARK)):
            self.assertIsNone(quickly(9, Pieces([body[:cut], body[cut:]]), 0))

    def test_older_and_newer_versions_do_too(self) -> None:
        for version in (0, 2, 13, 20, -1):
            self.assertIsNone(quickly(version, one(9), 0))

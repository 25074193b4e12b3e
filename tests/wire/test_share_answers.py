"""Share groups' answers pass as they are and as long as they are, but for the brokers' endpoints."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import FramingError
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.primitives import Reader
from lfsproxy.wire.share_answers import MOST_ENDPOINTS, ShareAnswer, blotted
from tests.wire.helpers import chunked
from tests.wire.shares import Answer, Endpoint, Partition, around_records

KINDS = [(key, version) for key in (KafkaApi.SHARE_FETCH, KafkaApi.SHARE_ACKNOWLEDGE) for version in (1, 2)]
MIB = 1024 * 1024

tags = st.dictionaries(
    st.integers(0, 2**31 - 1).filter(lambda number: number not in (2**14 - 1, 2**21 - 1, 2**28 - 1)),
    st.binary(max_size=200),
    max_size=2,
).map(lambda found: sorted(found.items()))
texts = st.none() | st.binary(max_size=300)
partitions = st.builds(
    Partition,
    index=st.integers(0, 2**31 - 1),
    error=st.integers(-1, 130),
    message=texts,
    leader=st.tuples(st.integers(-1, 9), st.integers(-1, 9)),
    records=texts,
    acquired=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), max_size=3),
    tags=tags,
)
endpoints = st.builds(
    Endpoint,
    node=st.integers(0, 2**31 - 1),
    host=st.binary(max_size=300),
    port=st.integers(0, 65535),
    rack=texts,
    tags=tags,
)
answers = st.builds(
    Answer,
    topics=st.lists(st.lists(partitions, max_size=2), max_size=2),
    endpoints=st.lists(endpoints, max_size=4),
    tags=tags,
    message=texts,
    header_tags=tags,
)


def passed(key: int, version: int, size: int, pieces: Sequence[Piece] | Iterator[Piece]) -> list[Piece]:
    """What leaves for an answer of so many bytes."""
    answer = ShareAnswer(key, version, size)
    return [leaving for piece in pieces for leaving in answer.feed(piece)]


def ended(data: bytes) -> tuple[int, list[tuple[int, bytes]]]:
    """How many endpoints there are, which must be none, and the tagged fields."""
    reader = Reader(data, flexible=True)
    count = reader.count(1)
    found = reader.tags()
    reader.end()
    return count, found


class PassingTests(SynchronousTestCase):
    @given(answers, st.sampled_from(KINDS), st.lists(st.integers(0), max_size=9))
    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_only_the_endpoints_change_however_the_answer_is_cut(
        self, answer: Answer, kind: tuple[int, int], cuts: list[int]
    ) -> None:
        start, end = answer.start(*kind), answer.end()
        whole = start + end
        left = b"".join(passed(*kind, len(whole), [each for each in chunked(whole, cuts) if each]))
        self.assertEqual((len(left), left[: len(start)]), (len(whole), start))
        count, found = ended(left[len(start) :])
        self.assertEqual(count, 0)
        fillers = [each for each in found if each not in answer.tags]
        self.assertEqual([each for each in found if each not in fillers], answer.tags)
        self.assertEqual(found, sorted(found))
        self.assertEqual(len(fillers), bool(answer.endpoints))
        for number, data in fillers:
            self.assertNotIn(number, dict(answer.tags))
            self.assertEqual(data, bytes(len(data)))

    def test_byte_by_byte(self) -> None:
        partition = Partition(6, 6, b"moved", (2, 9), b"records" * 99, [(0, 9, 1)] * 200, [(0, b"x")])
        answer = Answer([[partition] * 3] * 2, [Endpoint(2, b"broker-2.example", 9092, b"a")], [(1, b"y")])
        for kind in KINDS:
            start, end = answer.start(*kind), answer.end()
            whole = start + end
            left = passed(*kind, len(whole), (whole[each : each + 1] for each in range(len(whole))))
            self.assertEqual(b"".join(left), start + blotted(end), kind)
            self.assertNotIn(b"broker-2", b"".join(left))

    def test_no_endpoints_leave_every_byte_as_it_is(self) -> None:
        # Numbers and lengths that are written longer than they need be stay so, too.
        end = b"\x81\x00" + b"\x81\x80\x00" + b"\x85\x00\x82\x00ab"
        self.assertEqual(blotted(end), end)

    def test_records_leave_as_the_slices_that_came_and_nothing_is_held(self) -> None:
        size = 64 * MIB
        front, after = around_records(2, size)
        end = Answer(endpoints=[Endpoint(1, b"host", 1)]).end()
        piece = bytes(MIB)
        whole = len(front) + size + len(after) + len(end)
        answer = ShareAnswer(KafkaApi.SHARE_FETCH, 2, whole)
        answer.feed(front)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for _ in range(size // MIB):
            (leaving,) = answer.feed(piece)
            self.assertIs(leaving, piece)
        self.assertLess(tracemalloc.get_traced_memory()[1], 64 * 1024)
        self.assertEqual(b"".join(answer.feed(after + end)), after + blotted(end))


class FillingTests(SynchronousTestCase):
    """Whatever the endpoints' length, one tagged field takes it."""

    def test_every_length_can_be_filled(self) -> None:
        # The field's length grows by a byte at 128 and at 16384.
        least = len(Endpoint(1, b"", 1).encoded())
        lengths = [*range(300), *range(16_350, 16_450)]
        for other in ((), [(7, b"other")], [(number, b"") for number in range(127)]):
            for length in lengths:
                end = Answer(endpoints=[Endpoint(1, b"h" * length, 1)], tags=other).end()
                self.assertGreaterEqual(len(end), least + length)
                filled = blotted(end)
                self.assertEqual(len(filled), len(end))
                count, found = ended(filled)
                self.assertEqual((count, found[:-1]), (0, [*other]))

    def test_the_filling_field_has_a_number_that_is_not_taken(self) -> None:
        others = [(2**14 - 1, b"a"), (2**21 - 1, b"b")]
        _, found = ended(blotted(Answer(endpoints=[Endpoint(1, b"host", 9092)], tags=others).end()))
        self.assertEqual([number for number, _ in found], [2**14 - 1, 2**21 - 1, 2**28 - 1])
        taken = [*others, (2**28 - 1, b"c")]
        with self.assertRaisesRegex(FramingError, "no tagged field can stand in"):
            blotted(Answer(endpoints=[Endpoint(1, b"host", 9092)], tags=taken).end())


class BrokenTests(SynchronousTestCase):
    def test_an_answer_that_ends_early_or_late(self) -> None:
        answer = Answer([[Partition()]], [Endpoint(1, b"host", 9092)])
        for kind in KINDS:
            whole = answer.start(*kind) + answer.end()
            for length in range(len(whole)):
                with self.assertRaises(FramingError, msg=length):
                    ShareAnswer(*kind, length).feed(whole[:length])
            with self.assertRaises(FramingError):
                passed(*kind, len(whole) + 1, [whole + b"\0"])

    def test_endpoints_without_an_end_are_refused_before_they_come(self) -> None:
        kind = (KafkaApi.SHARE_FETCH, 1)
        start = Answer().start(*kind)
        size = len(start) + MOST_ENDPOINTS + 1
        with self.assertRaisesRegex(FramingError, "endpoints of more than 1048576 bytes"):
            ShareAnswer(*kind, size).feed(start + b"\xff")
        ShareAnswer(*kind, size - 1).feed(start + b"\xff")

    def test_a_number_without_an_end(self) -> None:
        with self.assertRaisesRegex(FramingError, "more than five bytes"):
            ShareAnswer(KafkaApi.SHARE_FETCH, 1, 100).feed(b"\xff" * 5)

    @given(st.binary(min_size=1, max_size=200), st.sampled_from(KINDS), st.lists(st.integers(0), max_size=4))
    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_any_bytes_leave_as_many_or_are_refused(
        self, data: bytes, kind: tuple[int, int], cuts: list[int]
    ) -> None:
        try:
            left = b"".join(passed(*kind, len(data), [each for each in chunked(data, cuts) if each]))
        except FramingError:
            return
        self.assertEqual(len(left), len(data))

"""What the broker's answers make of a request's batches: a table, without a door, a broker or a reactor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.codes import SURELY_NOT_APPENDED, KafkaCode
from lfsproxy.errors import FramingError, LfsError, TooLarge, UndecodableRecords
from lfsproxy.relay.produce.batches import Batch
from lfsproxy.relay.produce.verdicts import Decided, Fate, Verdicts
from lfsproxy.wire.answers import NodeEndpoint, PartitionAnswer, ProduceResponse
from lfsproxy.wire.produce import PartitionStart

VERSION = 10
ID = 7
PUBLISHED, ABANDONED, UNKNOWN = Fate.PUBLISHED, Fate.ABANDONED, Fate.UNKNOWN


def batch(partition: int, error: LfsError | None = None, bad_record: int | None = None) -> Batch:
    made = Batch(PartitionStart("t", partition, 100, 0))
    made.error, made.bad_record = error, bad_record
    return made


def said(*codes: tuple[int, int], **fields: Any) -> ProduceResponse:
    """A broker's answer: (partition, error code) of each; offset 42 where it is a success."""
    answers = [
        PartitionAnswer("t", partition, code, base_offset=-1 if code else 42) for partition, code in codes
    ]
    return ProduceResponse(answers, **fields)


def body(answer: ProduceResponse) -> bytes:
    """As it comes behind its correlation id."""
    return answer.encode(VERSION, ID)[8:]


def no_moves(endpoints: Sequence[NodeEndpoint]) -> Sequence[NodeEndpoint]:
    return endpoints


def answer_of(verdicts: Verdicts) -> ProduceResponse | None:
    frame = verdicts.take_answer(no_moves)
    if frame is None:
        return None
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    assert int.from_bytes(frame[4:8], "big") == ID
    return ProduceResponse.decode(VERSION, frame[8:])


def codes(answer: ProduceResponse | None) -> list[tuple[int, int]]:
    assert answer is not None
    return [(each.partition, each.error_code) for each in answer.partitions]


def fates(decided: Sequence[Decided]) -> list[tuple[int, Fate]]:
    return [(each.batch.partition, each.fate) for each in decided]


class OneRequestTests(SynchronousTestCase):
    """All batches are submitted at once, as those of a held request."""

    def test_table(self) -> None:
        """Name, partitions that the proxy refuses; then (partition, ...) of what the broker says, what the
        batches become, and what the client is told."""
        refused: dict[int, LfsError] = {1: TooLarge("too large")}
        for name, errors, says, becomes, told in (
            ("a success", {}, [(0, 0)], [(0, PUBLISHED)], [(0, 0)]),
            ("surely not in the log", {}, [(0, 87)], [(0, ABANDONED)], [(0, 87)]),
            ("may be in the log", {}, [(0, 7)], [(0, UNKNOWN)], [(0, 7)]),
            ("a code of a newer broker", {}, [(0, 999)], [(0, UNKNOWN)], [(0, 999)]),
            (
                "each partition has its own",
                {},
                [(0, 0), (1, 87), (2, 7)],
                [(0, PUBLISHED), (1, ABANDONED), (2, UNKNOWN)],
                [(0, 0), (1, 87), (2, 7)],
            ),
            (
                "the broker's order is kept",
                {},
                [(1, 0), (0, 87)],
                [(0, ABANDONED), (1, PUBLISHED)],
                [(1, 0), (0, 87)],
            ),
            (
                "one is refused, and told in its place",
                refused,
                [(2, 0), (0, 0)],
                [(0, PUBLISHED), (2, PUBLISHED)],
                [(0, 0), (1, 10), (2, 0)],
            ),
            ("a partition is not named", {}, [(1, 0)], [(0, UNKNOWN), (1, PUBLISHED)], [(1, 0)]),
        ):
            partitions = sorted({partition for partition, _ in becomes} | set(errors))
            batches = [batch(partition, errors.get(partition)) for partition in partitions]
            kept = [each for each in batches if each.error is None]
            verdicts = Verdicts(VERSION, ID)
            verdicts.submitted(batches, is_sent=True, is_last=True)
            self.assertIsNone(answer_of(verdicts), name)
            decided = verdicts.answered(kept, body(said(*says)))
            self.assertEqual(fates(decided), becomes, name)
            self.assertEqual(codes(answer_of(verdicts)), told, name)

    def test_every_code_by_the_table_of_those_that_follow_no_append(self) -> None:
        for code in range(-1, 130):
            verdicts = Verdicts(VERSION, ID)
            verdicts.submitted([one := batch(0)], is_sent=True, is_last=True)
            (decided,) = verdicts.answered([one], body(said((0, code))))
            fate = ABANDONED if code in SURELY_NOT_APPENDED else UNKNOWN if code else PUBLISHED
            self.assertEqual((decided.fate, decided.code), (fate, code))
            self.assertEqual(decided.base_offset, -1 if code else 42)

    def test_an_answer_of_the_broker_alone_stays_as_it_is(self) -> None:
        verdicts = Verdicts(VERSION, ID)
        verdicts.submitted([one := batch(0)], is_sent=True, is_last=True)
        answer = said((0, 0), throttle_ms=5, tags=[(9, b"new")])
        verdicts.answered([one], body(answer))
        self.assertEqual(answer_of(verdicts), ProduceResponse.decode(VERSION, body(answer)))

    def test_nothing_is_sent_where_all_are_refused(self) -> None:
        verdicts = Verdicts(VERSION, ID)
        batches = [
            batch(0, UndecodableRecords("ends early"), bad_record=3),
            batch(1, TooLarge("too large"), bad_record=4),
            batch(2, UndecodableRecords("no batch")),
        ]
        verdicts.submitted(batches, is_sent=False, is_last=True)
        answer = answer_of(verdicts)
        assert answer is not None
        self.assertEqual(codes(answer), [(0, 87), (1, 10), (2, 87)])
        self.assertEqual(
            [(each.record_errors, each.error_message) for each in answer.partitions],
            [
                ([(3, "ends early")], "record 3: ends early"),
                ([], "record 4: too large"),
                ([], "no batch"),
            ],
        )

    def test_the_answer_is_given_once(self) -> None:
        verdicts = Verdicts(VERSION, ID)
        verdicts.submitted([batch(0, TooLarge("too large"))], is_sent=False, is_last=True)
        self.assertTrue(verdicts.is_due)
        self.assertEqual(codes(answer_of(verdicts)), [(0, 10)])
        self.assertFalse(verdicts.is_due)
        self.assertIsNone(answer_of(verdicts))

    def test_the_client_is_told_its_own_addresses_of_brokers(self) -> None:
        verdicts = Verdicts(VERSION, ID)
        verdicts.submitted([one := batch(0)], is_sent=True, is_last=True)
        ends = [NodeEndpoint(2, "broker", 9092)]
        verdicts.answered([one], body(said((0, 6), node_endpoints=ends)))
        frame = verdicts.take_answer(lambda named: [attrs.evolve(each, host="proxy") for each in named])
        assert frame is not None
        self.assertEqual(
            ProduceResponse.decode(VERSION, frame[8:]).node_endpoints,
            [NodeEndpoint(2, "proxy", 9092, tags=[])],
        )

    def test_an_answer_that_does_not_decode_decides_nothing(self) -> None:
        verdicts = Verdicts(VERSION, ID)
        verdicts.submitted([one := batch(0)], is_sent=True, is_last=True)
        self.assertRaises(FramingError, verdicts.answered, [one], b"\0\xff")
        self.assertFalse(verdicts.is_due)

    def test_why_is_told_in_words(self) -> None:
        self.assertEqual(Decided(batch(0), UNKNOWN, 7).why, "the broker answered 7")
        self.assertEqual(Decided(batch(0), ABANDONED, KafkaCode.INVALID_RECORD).why, "the broker answered 87")
        self.assertIn("does not name its partition", Decided(batch(0), UNKNOWN).why)


class SeveralRequestsTests(SynchronousTestCase):
    """Batches are submitted one at a time, as those of a streamed request."""

    def submit(self, verdicts: Verdicts, one: Batch, *, is_last: bool = False) -> None:
        verdicts.submitted([one], is_sent=one.error is None, is_last=is_last)

    def test_the_answer_waits_for_the_last_submission_and_every_verdict(self) -> None:
        verdicts = Verdicts(VERSION, ID)
        first, second, third = batch(0), batch(1), batch(2)
        self.submit(verdicts, first)
        verdicts.answered([first], body(said((0, 0))))
        self.assertIsNone(answer_of(verdicts))
        self.submit(verdicts, second)
        self.submit(verdicts, third, is_last=True)
        self.assertIsNone(answer_of(verdicts))
        verdicts.answered([second], body(said((1, 7), throttle_ms=9)))
        self.assertIsNone(answer_of(verdicts))
        verdicts.answered([third], body(said((2, 0), throttle_ms=3)))
        answer = answer_of(verdicts)
        assert answer is not None
        self.assertEqual((codes(answer), answer.throttle_ms), ([(0, 0), (1, 7), (2, 0)], 9))

    def test_a_refusal_at_the_end_makes_the_answer_due(self) -> None:
        verdicts = Verdicts(VERSION, ID)
        self.submit(verdicts, first := batch(0))
        verdicts.answered([first], body(said((0, 0))))
        self.submit(verdicts, batch(1, TooLarge("too large")), is_last=True)
        self.assertEqual(codes(answer_of(verdicts)), [(0, 0), (1, 10)])

    def test_a_partition_of_which_a_part_is_refused_is_refused_by_the_first_refusal(self) -> None:
        verdicts = Verdicts(VERSION, ID)
        self.submit(verdicts, first := batch(0))
        self.submit(verdicts, batch(0, UndecodableRecords("first")))
        self.submit(verdicts, batch(0, TooLarge("second")), is_last=True)
        verdicts.answered([first], body(said((0, 0))))
        answer = answer_of(verdicts)
        assert answer is not None
        self.assertEqual(codes(answer), [(0, 87)])
        self.assertEqual(answer.partitions[0].error_message, "first")

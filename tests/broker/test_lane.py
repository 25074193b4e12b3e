"""A partition's lane against a model of a broker: whatever is lost, late or refused, what it says is true."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.broker.batches import NO_PRODUCER, ProducerId, Record, encode_batch, sequence_after
from lfsproxy.broker.lane import BATCH_BYTES, Batch, Entry, Lane, Placed
from lfsproxy.broker.outcome import Next
from lfsproxy.errors import (
    BrokerRefused,
    BrokerTooLarge,
    BrokerUnavailable,
    LfsError,
    OutcomeUnknown,
    UnknownTopic,
)
from lfsproxy.wire.answers import PartitionAnswer
from lfsproxy.wire.batch import crc_of, parse_batch_header
from lfsproxy.wire.lookup import find_record
from tests.relay.records import read_batch

REFUSING = (10, 17, 19, 29, 87)
UNSURE = (-1, 3, 6, 7, 20, 56, 999)
OF_THE_ID = (45, 47, 59)


def record(value: bytes, timestamp: int | None = None) -> Record:
    return Record("demo", 0, b"key", value, [(b"name", b"data"), (b"null", None)], timestamp)


class BrokerModel:
    """A partition's log, and what Kafka remembers of producer ids."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self._last: dict[tuple[int, int], tuple[int, int, int]] = {}

    def append(self, batch: Batch) -> PartitionAnswer:
        """As Kafka: a repeated sequence is answered as before, one that does not follow is refused."""
        data = b"".join(batch.pieces)
        header = parse_batch_header(data)
        values = [each.value or b"" for each in read_batch(data).records]
        offset = len(self.values)
        if header.producer_id >= 0:
            key = header.producer_id, header.producer_epoch
            known = self._last.get(key)
            if known is not None:
                base, count, placed = known
                if header.base_sequence == base and header.count == count:
                    return PartitionAnswer("demo", 0, 0, placed)
                if header.base_sequence != sequence_after(base, count):
                    return PartitionAnswer("demo", 0, 45)
            self._last[key] = header.base_sequence, header.count, offset
        self.values += values
        return PartitionAnswer("demo", 0, 0, offset)


class World:
    """A lane, its broker, and what was said of each record."""

    def __init__(self, idempotent: bool) -> None:
        self.broker = BrokerModel()
        self.said: dict[bytes, Placed | LfsError] = {}
        self.entries: list[Entry] = []
        self.lane = Lane("demo", 0, self.settle)
        self.idempotent = idempotent
        self.ids = 0
        self.late: list[tuple[Batch, PartitionAnswer]] = []
        self.delayed: list[Batch] = []

    def settle(self, entry: Entry, result: Placed | LfsError) -> None:
        assert entry.record.value not in self.said, "told twice"
        self.said[entry.record.value] = result

    def add(self) -> None:
        entry = Entry(record(b"%d" % len(self.entries)), 0.0)
        self.entries.append(entry)
        self.lane.add(entry)

    def leave(self) -> Batch | None:
        if self.lane.needs_producer(self.idempotent):
            self.ids += 1
            self.lane.give_producer(ProducerId(self.ids, 0) if self.idempotent else NO_PRODUCER)
        return self.lane.leave(1000)

    def step(self, what: str, code: int) -> None:
        if what == "add":
            self.add()
            return
        if what == "expire":
            waited = [entry for entry in self.entries if entry.record.value not in self.said]
            if waited:
                self.lane.expire(waited[0])
            return
        if what == "late answers":
            for answered, answer in self.late:
                self.lane.answered(answered, answer)
            self.late = []
            return
        if what == "late requests":
            for delayed in self.delayed:
                self.broker.append(delayed)
            self.delayed = []
            return
        batch = self.leave()
        if batch is None:
            return
        match what:
            case "well":
                self.lane.answered(batch, self.broker.append(batch))
            case "no offset":
                answer = self.broker.append(batch)
                self.lane.answered(batch, PartitionAnswer("demo", 0, answer.error_code))
            case "refused":
                self.lane.answered(batch, PartitionAnswer("demo", 0, code))
            case "appended, then a code":
                answer = self.broker.append(batch)
                self.lane.answered(batch, PartitionAnswer("demo", 0, answer.error_code or code))
            case "request lost":
                self.delayed.append(batch)
                self.lane.lost(batch, "lost")
            case "answer lost":
                self.late.append((batch, self.broker.append(batch)))
                self.lane.lost(batch, "lost")

    def check(self) -> None:
        """What was said is so."""
        for value, result in self.said.items():
            if isinstance(result, Placed):
                assert self.broker.values.count(value) == 1, (value, result, self.broker.values)
                if result.offset >= 0:
                    assert self.broker.values[result.offset] == value, (value, result, self.broker.values)
            elif isinstance(result, BrokerRefused | BrokerUnavailable):
                assert value not in self.broker.values, (value, result)
            else:
                assert isinstance(result, OutcomeUnknown)
                assert self.broker.values.count(value) <= 1


STEPS = st.one_of(
    st.sampled_from(
        [
            ("add", 0),
            ("add", 0),
            ("well", 0),
            ("expire", 0),
            ("late answers", 0),
            ("late requests", 0),
            ("no offset", 0),
        ]
    ),
    st.tuples(st.just("refused"), st.sampled_from([*REFUSING, *UNSURE, *OF_THE_ID])),
    st.tuples(st.just("appended, then a code"), st.sampled_from(UNSURE)),
    st.sampled_from([("request lost", 0), ("answer lost", 0)]),
)


class ModelTests(SynchronousTestCase):
    @given(st.booleans(), st.lists(STEPS, max_size=40))
    @settings(max_examples=400, deadline=None)
    def test_what_is_said_is_true(self, idempotent: bool, steps: list[tuple[str, int]]) -> None:
        world = World(idempotent)
        for what, code in steps:
            world.step(what, code)
            world.check()
        for _ in range(2 * len(world.entries) + 1):
            world.step("well", 0)
        world.check()
        self.assertTrue(world.lane.is_idle)
        self.assertEqual(len(world.said), len(world.entries))
        placed = [
            world.broker.values.index(each.record.value) for each in world.entries if self.placed(world, each)
        ]
        self.assertEqual(placed, sorted(placed))

    def placed(self, world: World, entry: Entry) -> bool:
        return isinstance(world.said[entry.record.value], Placed)


class LaneTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(idempotent=True)
        self.lane = self.world.lane

    def add(self, count: int) -> None:
        for _ in range(count):
            self.world.add()

    def leave(self) -> Batch:
        batch = self.world.leave()
        assert batch is not None
        return batch

    def sequence(self, batch: Batch) -> tuple[int, int]:
        header = parse_batch_header(batch.pieces[0])
        return header.producer_id, header.base_sequence

    def test_what_waits_makes_one_batch(self) -> None:
        self.add(3)
        batch = self.leave()
        self.add(1)
        self.assertEqual(len(batch.entries), 3)
        self.lane.answered(batch, PartitionAnswer("demo", 0, 0, 7))
        self.assertEqual(
            [each.offset for each in self.world.said.values() if isinstance(each, Placed)], [7, 8, 9]
        )
        self.assertEqual(self.sequence(self.leave()), (1, 3))

    def test_a_batch_has_a_size(self) -> None:
        for _ in range(3):
            self.lane.add(Entry(record(bytes(BATCH_BYTES // 2)), 0.0))
        self.assertEqual(len(self.leave().entries), 1)

    def test_a_large_record_is_sent_all_the_same(self) -> None:
        self.lane.add(Entry(record(bytes(2 * BATCH_BYTES)), 0.0))
        self.assertEqual(len(self.leave().entries), 1)

    def test_it_leaves_again_as_it_was(self) -> None:
        self.add(2)
        first = self.leave()
        self.assertIs(self.lane.lost(first, "gone"), Next.AGAIN)
        self.add(1)
        self.assertIs(self.leave(), first)
        self.assertEqual(first.answers, [None, None])

    def test_trouble_with_the_id_brings_a_new_one(self) -> None:
        self.add(2)
        first = self.leave()
        self.assertIs(self.lane.answered(first, PartitionAnswer("demo", 0, 45)), Next.RENEW)
        second = self.leave()
        self.assertEqual((self.sequence(first), self.sequence(second)), ((1, 0), (2, 0)))
        self.assertEqual(len(second.entries), 2)

    def test_after_an_unknown_outcome_there_is_a_new_id(self) -> None:
        self.add(1)
        self.lane.lost(self.leave(), "gone")
        self.assertTrue(self.lane.expire(self.world.entries[0]))
        self.assertIsInstance(self.world.said[b"0"], OutcomeUnknown)
        self.add(1)
        self.assertEqual(self.sequence(self.leave()), (2, 0))

    def test_a_refused_batch_uses_no_sequence(self) -> None:
        self.add(1)
        self.lane.answered(self.leave(), PartitionAnswer("demo", 0, 10))
        self.assertIsInstance(self.world.said[b"0"], BrokerTooLarge)
        self.add(1)
        self.assertEqual(self.sequence(self.leave()), (1, 0))

    def test_one_record_s_fault_is_not_the_others(self) -> None:
        self.add(3)
        self.lane.answered(self.leave(), PartitionAnswer("demo", 0, 87))
        for code in (0, 87, 0):
            batch = self.leave()
            self.assertEqual(len(batch.entries), 1)
            self.lane.answered(batch, PartitionAnswer("demo", 0, code, 5 if not code else -1))
        self.assertEqual([isinstance(each, Placed) for each in self.world.said.values()], [True, False, True])

    def test_what_was_cancelled_in_time_does_not_leave(self) -> None:
        self.add(2)
        self.assertTrue(self.lane.cancel(self.world.entries[0]))
        batch = self.leave()
        self.assertEqual([each.record.value for each in batch.entries], [b"1"])
        self.assertFalse(self.lane.cancel(self.world.entries[1]))

    def test_what_waits_is_told_why_it_was_not_sent(self) -> None:
        self.add(1)
        self.lane.trouble("broker 1 hangs")
        self.assertFalse(self.lane.expire(self.world.entries[0]))
        self.assertIn("nothing was sent: broker 1 hangs", str(self.world.said[b"0"]))

    def test_a_topic_that_is_gone(self) -> None:
        self.add(1)
        self.lane.answered(self.leave(), PartitionAnswer("demo", 0, 3))
        self.add(1)
        self.lane.refuse(UnknownTopic("gone"))
        self.assertEqual([type(each) for each in self.world.said.values()], [OutcomeUnknown, UnknownTopic])


class BatchTests(SynchronousTestCase):
    def test_records_are_as_given(self) -> None:
        records = [record(b"one", 5000), record(b"two", 4000)]
        data = b"".join(encode_batch(records, [5000, 4000], ProducerId(7, 2), 2**31 - 1))
        header = parse_batch_header(data)
        self.assertEqual(header.crc, crc_of([data]))
        self.assertEqual((header.producer_id, header.producer_epoch, header.base_sequence), (7, 2, 2**31 - 1))
        self.assertEqual((header.base_timestamp, header.max_timestamp), (5000, 5000))
        for offset, (value, timestamp) in enumerate([(b"one", 5000), (b"two", 4000)]):
            found = find_record(data, offset)
            assert found is not None
            self.assertEqual((found.value, found.timestamp), (value, timestamp))
            self.assertEqual(found.headers, [(b"name", b"data"), (b"null", None)])

    def test_sequences_begin_again_after_the_highest(self) -> None:
        self.assertEqual(sequence_after(2**31 - 2, 1), 2**31 - 1)
        self.assertEqual(sequence_after(2**31 - 1, 1), 0)
        self.assertEqual(sequence_after(2**31 - 1, 5), 4)

    def test_without_an_id_there_is_no_sequence(self) -> None:
        header = parse_batch_header(encode_batch([record(b"v")], [1], NO_PRODUCER, 5)[0])
        self.assertEqual((header.producer_id, header.producer_epoch, header.base_sequence), (-1, -1, -1))

    @given(
        st.binary(max_size=50),
        st.none() | st.binary(max_size=9),
        st.lists(st.tuples(st.binary(max_size=9), st.none() | st.binary(max_size=9)), max_size=5),
    )
    def test_a_record_takes_no_more_than_it_says(
        self, value: bytes, key: bytes | None, headers: list[tuple[bytes, bytes | None]]
    ) -> None:
        one = Record("t", 0, key, value, headers, None)
        pieces = encode_batch([one], [2**45], NO_PRODUCER, 0)
        self.assertLessEqual(sum(map(len, pieces)), one.size + 61)

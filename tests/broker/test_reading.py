"""Topics that are read whole: each committed record once, whatever brokers do, or an error that says so."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

from kafka.protocol.consumer import FetchResponse
from twisted.internet.defer import Deferred, maybeDeferred

from lfsproxy.broker.reading import PATIENCE_SECONDS, LogReading
from lfsproxy.errors import SignInRefused, UnreadableLog
from lfsproxy.interfaces import FoundTopic, FoundTopics, LogBounds
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.unpack import UnpackedRecord
from lfsproxy.wire.walk import FetchedBatch
from tests.broker.rig import ClientTestCase
from tests.kafka import acts as act
from tests.kafka.brokers import Asked, BrokerSide, Log
from tests.wire.helpers import batch_of, compressed, raw_records

FETCH = KafkaApi.FETCH
TRANSACTIONAL, CONTROL = 0x10, 0x20
PRODUCER = 7
"""The producer id of ``batch_of``."""


def batch(*values: bytes, codec: int = 0, attributes: int = 0) -> bytes:
    """A batch of records with these values, each with a key and a header."""
    records = raw_records([(b"k" + value, value, [(b"h", value)]) for value in values])
    return batch_of(
        compressed(codec, records) if codec else records, len(values), codec=codec, attributes=attributes
    )


class ReadingTestCase(ClientTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.reading = LogReading(self.net, self.client.cluster, maybeDeferred, self.settings)
        self.log = self.brokers.logs["demo", 0]
        self.gaps: list[tuple[int, int]] = []

    def append(self, *batches: bytes) -> None:
        """Write batches, whoever sent them."""
        for data in batches:
            self.log.batches.append(struct.pack(">q", self.log.end) + data[8:])
            self.log.end += struct.unpack_from(">i", data, 57)[0]

    def read(self, first: int = 0, end: int | None = None, **options: Any) -> Deferred[list[UnpackedRecord]]:
        async def all_of(portions: AsyncIterator[Sequence[UnpackedRecord]]) -> list[UnpackedRecord]:
            return [record async for portion in portions for record in portion]

        until = self.log.end if end is None else end
        options = {"most": 1000, **options}
        return self.begin(all_of(self.reading.records("demo", 0, first, until, gap=self.note_gap, **options)))

    def note_gap(self, first: int, next_one: int) -> None:
        self.gaps.append((first, next_one))

    def values(self, *args: Any, **options: Any) -> list[tuple[int, bytes | None]]:
        reading = self.read(*args, **options)
        self.net.pass_seconds(2)
        return [(one.offset, one.value) for one in self.successResultOf(reading)]

    def trouble(self, *args: Any, seconds: float = PATIENCE_SECONDS + 25, **options: Any) -> str:
        reading = self.read(*args, **options)
        self.net.pass_seconds(seconds)
        return str(self.failureResultOf(reading, UnreadableLog).value)


class TopicTests(ReadingTestCase):
    def topics(self, *globs: str) -> FoundTopics:
        found: FoundTopics = self.successResultOf(self.begin(self.reading.topics(globs)))
        return found

    def test_chosen_ones_with_their_ids_and_partitions(self) -> None:
        self.brokers.logs["other", 3] = Log(1)
        self.brokers.topic_ids["demo"] = UUID(int=5)
        self.assertEqual(
            self.topics("*").topics,
            [FoundTopic("demo", str(UUID(int=5)), (0, 1)), FoundTopic("other", "", (3,))],
        )
        self.assertEqual([one.name for one in self.topics("!other").topics], ["demo"])

    def test_kafkas_own_are_left_out_and_hidden_ones_unless_named(self) -> None:
        for name in ("__consumer_offsets", "__ours"):
            self.brokers.logs[name, 0] = Log(1)
        self.brokers.internal.add("__consumer_offsets")
        self.assertEqual([one.name for one in self.topics("*").topics], ["demo"])
        self.assertEqual([one.name for one in self.topics("*", "__*").topics], ["__ours", "demo"])

    def test_a_name_that_is_not_listed_is_asked_for(self) -> None:
        self.brokers.logs["secret", 0] = Log(1)
        self.brokers.topic_codes["secret"] = 29
        found = self.topics("*", "secret", "gone")
        self.assertEqual([one.name for one in found.topics], ["demo"])
        self.assertEqual(found.unknown, ["gone"])
        self.assertEqual(found.refused, {"secret": "Kafka does not authorise the topic secret"})

    def test_one_in_trouble_is_said(self) -> None:
        self.brokers.topic_codes["demo"] = 5
        self.assertEqual(self.topics("*").refused, {"demo": "Kafka answers error 5 for the topic demo"})


class OffsetTests(ReadingTestCase):
    def test_bounds(self) -> None:
        self.append(batch(b"a", b"b"), batch(b"c"))
        self.log.start, self.log.stable = 1, 2
        self.assertEqual(self.successResultOf(self.begin(self.reading.bounds("demo", 0))), LogBounds(1, 2, 3))

    def test_of_a_time(self) -> None:
        self.append(batch(b"a"))
        for time, offset in ((1500, 0), (2001, None), (-5, 0)):
            self.assertEqual(
                self.successResultOf(self.begin(self.reading.offset_at("demo", 0, time))), offset
            )


class RecordTests(ReadingTestCase):
    def test_all_fields(self) -> None:
        self.append(batch(b"a"), batch_of(raw_records([(None, None, [(b"\xff", None)])]), 1))
        first, second = self.successResultOf(self.read())
        self.assertEqual(first, UnpackedRecord(0, first.timestamp, b"ka", 1, b"a", [(b"h", b"a")]))
        self.assertEqual(second, UnpackedRecord(1, second.timestamp, None, None, None, [(b"\xff", None)]))
        self.assertGreaterEqual(first.timestamp, 1000)

    def test_every_codec(self) -> None:
        self.append(*(batch(b"value %d" % codec, b"x", codec=codec) for codec in range(5)))
        self.assertEqual(self.values()[::2], [(2 * codec, b"value %d" % codec) for codec in range(5)])

    def test_only_between_two_offsets(self) -> None:
        self.append(batch(b"a", b"b", b"c"), batch(b"d", b"e"))
        self.assertEqual(self.values(1, 4), [(1, b"b"), (2, b"c"), (3, b"d")])

    def test_a_large_value_is_not_handed_over(self) -> None:
        self.append(batch(b"x" * 1001, b"y" * 1000))
        large, fits = self.successResultOf(self.read())
        self.assertEqual((large.size, large.value, large.key), (1001, None, b"k" + b"x" * 1001))
        self.assertEqual(fits.value, b"y" * 1000)

    def test_aborted_ones_and_kafkas_own_are_left_out_and_others_not(self) -> None:
        marker = batch(b"", attributes=TRANSACTIONAL | CONTROL)
        self.append(batch(b"plain"), batch(b"aborted", attributes=TRANSACTIONAL), marker)
        self.append(batch(b"committed", attributes=TRANSACTIONAL), marker)
        self.log.aborted = [(PRODUCER, 1)]
        self.assertEqual(self.values(), [(0, b"plain"), (3, b"committed")])
        self.assertEqual(self.values(committed=False), [(0, b"plain"), (1, b"aborted"), (3, b"committed")])

    def test_an_open_transaction_is_behind_the_stable_end(self) -> None:
        self.append(batch(b"plain"), batch(b"open", attributes=TRANSACTIONAL))
        self.log.stable = 1
        self.assertEqual(self.values(0, 1), [(0, b"plain")])
        self.assertEqual(self.values(1, 2, committed=False), [(1, b"open")])

    def test_what_compaction_removed_is_no_gap(self) -> None:
        self.append(batch(b"a"), batch(b"b"), batch(b"c"))
        del self.log.batches[1]
        self.assertEqual(self.values(), [(0, b"a"), (2, b"c")])
        self.assertEqual(self.gaps, [])

    def test_many_answers_make_one_reading(self) -> None:
        count = 40
        self.append(*(batch(bytes([index]) * 100_000) for index in range(count)))
        found = self.successResultOf(self.read(most=100_000))
        self.assertEqual([one.offset for one in found], list(range(count)))
        self.assertGreater(self.brokers.count(FETCH), 3)

    def test_a_step_has_the_offset_behind_its_answer(self) -> None:
        self.append(batch(b"a"), batch(b"b"))

        def look(found: Sequence[FetchedBatch]) -> Iterator[int]:
            yield len(found)

        async def steps() -> list[tuple[int, int]]:
            return [one async for one in self.reading.look("demo", 0, 0, 2, look)]

        self.assertEqual(self.successResultOf(self.begin(steps())), [(2, 2)])


class TroubleTests(ReadingTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.append(batch(b"a"), batch(b"b"))

    def test_a_leader_that_moves_or_is_gone_is_followed(self) -> None:
        acts: list[Callable[..., None]] = [
            self.coded(6),
            act.gone,
            act.half_said,
            self.coded(3),
            self.coded(99),
        ]
        for one in acts:
            self.brokers.next(FETCH, one)
            self.assertEqual(self.values(), [(0, b"a"), (1, b"b")])

    def test_brokers_that_are_away_for_half_a_minute(self) -> None:
        self.brokers.down = {9091, 9092}
        reading = self.read()
        self.net.pass_seconds(PATIENCE_SECONDS / 2)
        self.assertNoResult(reading)
        self.brokers.down = set()
        self.net.pass_seconds(5)
        self.assertEqual(len(self.successResultOf(reading)), 2)

    def test_and_for_longer(self) -> None:
        self.brokers.down = {9091, 9092}
        self.assertIn("demo, partition 0, cannot be read to its end: at offset 0: Kafka is", self.trouble())

    def test_a_log_that_moved_on_is_a_gap(self) -> None:
        del self.log.batches[0]
        self.log.start = 1
        self.assertEqual(self.values(), [(1, b"b")])
        self.assertEqual(self.gaps, [(0, 1)])

    def test_all_gone_is_a_gap_up_to_the_end(self) -> None:
        self.log.batches.clear()
        self.log.end = self.log.start = 9
        self.assertEqual(self.values(0, 2), [])
        self.assertEqual(self.gaps, [(0, 2)])

    def test_a_log_that_is_shorter_than_it_was(self) -> None:
        self.assertIn("the log ends at 2", self.trouble(0, 3))
        self.assertIn("records were lost", self.trouble(3, 4))

    def test_what_may_not_be_read(self) -> None:
        self.brokers.next(FETCH, self.coded(29))
        self.assertIn("does not authorise", self.trouble(seconds=0))

    def coded(self, code: int) -> Callable[..., None]:
        """An answer with an error code."""

        def act(side: BrokerSide, asked: Asked) -> None:
            Topic = FetchResponse.FetchableTopicResponse
            partition = Topic.PartitionData(version=asked.version, partition_index=0, error_code=code)
            topic = Topic(version=asked.version, topic="demo", partitions=[partition])
            answer = FetchResponse(version=asked.version, error_code=0, responses=[topic])
            head = struct.pack(">ib", asked.correlation_id, 0)
            side.say(head + bytes(answer.encode(version=asked.version)))

        return act

    def test_a_batch_that_is_broken_or_does_not_decompress(self) -> None:
        good = self.log.batches[1]
        self.log.batches[1] = good[:-1] + bytes([good[-1] ^ 1])
        self.assertIn("another CRC-32C", self.trouble(seconds=0))
        garbage = batch_of(b"no gzip", 1, codec=1)
        self.log.batches[1] = struct.pack(">q", 1) + garbage[8:]
        self.assertIn("at offset 0: ", self.trouble(seconds=0))

    def test_an_old_format(self) -> None:
        self.log.batches[0] = bytes(8) + batch_of(b"", 1, magic=1)[8:]
        self.assertIn("old format 1", self.trouble(seconds=0))

    def test_more_than_may_be_decompressed(self) -> None:
        self.overrides = {"max_decompressed_size": 1000}
        self.setUp()
        self.append(batch(b"x" * 2000, codec=4))
        self.assertIn("LFS_MAX_DECOMPRESSED_SIZE", self.trouble(seconds=0, most=10))

    def test_a_refused_sign_in_is_told_at_once(self) -> None:
        async def refuse(*args: Any) -> Any:
            raise SignInRefused("no")

        self.patch(self.client.cluster, "fetch", refuse)
        self.failureResultOf(self.read(), SignInRefused)

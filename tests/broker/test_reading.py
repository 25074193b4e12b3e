"""Topics that are read whole: each committed record once, whatever brokers do, or an error that says so."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from kafka.protocol.consumer import FetchResponse
from twisted.internet.defer import maybeDeferred

from lfsproxy.broker.reading import PATIENCE_SECONDS, LogReading
from lfsproxy.errors import BrokerUnavailable, SignInRefused, UnreadableLog
from lfsproxy.interfaces import FoundTopic
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.batch import parse_batch_header
from tests.broker.rig import ClientTestCase
from tests.kafka import acts as act
from tests.kafka.brokers import Asked, BrokerSide, Log
from tests.reading_contract import ReadingContract, Reads, batch
from tests.wire.helpers import batch_of

FETCH = KafkaApi.FETCH


class LogTestCase(ClientTestCase, Reads):
    """A scripted broker's log, and what reads it."""

    def setUp(self) -> None:
        super().setUp()
        self.reading = LogReading(self.net, self.client.cluster, maybeDeferred, self.settings)
        self.log = self.brokers.logs["demo", 0]

    def append(self, *batches: bytes) -> None:
        for data in batches:
            self.log.batches.append(struct.pack(">q", self.log.end) + data[8:])
            self.log.end += max(1, struct.unpack_from(">i", data.ljust(61, b"\0"), 57)[0])

    def end(self) -> int:
        return self.log.end

    def settle(self) -> None:
        self.net.pass_seconds(2)

    def wait(self) -> None:
        self.net.pass_seconds(PATIENCE_SECONDS + 25)

    def decided(self, stable: int | None, aborted: Sequence[tuple[int, int]] = ()) -> None:
        self.log.stable, self.log.aborted = stable, list(aborted)

    def remove(self, place: int) -> None:
        del self.log.batches[place]

    def expire(self, first: int) -> None:
        self.log.batches = [one for one in self.log.batches if parse_batch_header(one).base_offset >= first]
        self.log.start = first

    def create(self, topic: str, hidden: bool = False) -> None:
        self.brokers.logs[topic, 0] = Log(1)
        if hidden:
            self.brokers.topic_codes[topic] = 29

    def trouble(self, *args: Any, seconds: float = PATIENCE_SECONDS + 25, **options: Any) -> str:
        reading = self.read(*args, **options)
        self.net.pass_seconds(seconds)
        return str(self.failureResultOf(reading, UnreadableLog).value)


class TopicTests(LogTestCase):
    def test_ids_and_partitions(self) -> None:
        self.brokers.logs["other", 3] = Log(1)
        self.brokers.topic_ids["demo"] = UUID(int=5)
        self.assertEqual(
            self.topics("*").topics,
            [FoundTopic("demo", str(UUID(int=5)), (0, 1)), FoundTopic("other", "", (3,))],
        )

    def test_kafkas_own_are_left_out(self) -> None:
        self.create("__consumer_offsets")
        self.brokers.internal.add("__consumer_offsets")
        self.assertEqual(self.names("*", "__*"), ["demo"])

    def test_why_a_topic_is_refused(self) -> None:
        self.create("secret", hidden=True)
        self.assertEqual(
            self.topics("secret").refused, {"secret": "Kafka does not authorise the topic secret"}
        )
        self.brokers.topic_codes["demo"] = 5
        self.assertEqual(self.topics("*").refused, {"demo": "Kafka answers error 5 for the topic demo"})


class LogReadingContract(LogTestCase, ReadingContract):
    """The contract over a scripted broker."""

    def test_many_answers_make_one_reading(self) -> None:
        count = 40
        self.append(*(batch(bytes([index]) * 100_000) for index in range(count)))
        found = self.successResultOf(self.read(most=100_000))
        self.assertEqual([one.offset for one in found], list(range(count)))
        self.assertGreater(self.brokers.count(FETCH), 3)


class TroubleTests(LogTestCase):
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

    def test_a_large_batch_over_a_slow_link(self) -> None:
        """A minute and a half for its answer, which is asked for once."""
        self.append(batch(bytes(1_000_000)))
        self.brokers.next(FETCH, *(act.slowly(self.net, 100_000, 3) for _ in range(99)))
        reading = self.read(most=1_000_000)
        self.net.pass_seconds(80)
        self.assertNoResult(reading)
        self.net.pass_seconds(20)
        self.assertEqual(len(self.successResultOf(reading)), 3)
        self.assertEqual(self.brokers.count(FETCH), 2)

    def test_answers_that_stop_coming_are_no_progress(self) -> None:
        self.append(batch(bytes(1_000_000)))
        self.brokers.next(FETCH, *(act.slowly(self.net, 10_000, 20) for _ in range(99)))
        self.assertIn("demo, partition 0, cannot be read to its end", self.trouble(most=1_000_000))

    def test_answers_that_break_off_are_no_progress(self) -> None:
        self.append(batch(bytes(1_000_000)))

        def breaks_off(side: BrokerSide, asked: Asked) -> None:
            act.slowly(self.net, 10_000, 0.1)(side, asked)
            self.net.callLater(12, side.hang_up)

        self.brokers.next(FETCH, *(breaks_off for _ in range(99)))
        self.assertIn("demo, partition 0, cannot be read to its end", self.trouble(most=1_000_000))

    def test_an_end_is_told_while_a_batch_comes_slowly(self) -> None:
        self.append(batch(bytes(1_000_000)))
        self.brokers.next(FETCH, None, *(act.slowly(self.net, 100_000, 3) for _ in range(99)))
        reading = self.read(most=1_000_000)
        self.net.pass_seconds(9)
        asking = self.begin(self.reading.bounds("demo", 0))
        self.assertEqual(self.successResultOf(asking).end, 3)
        self.net.pass_seconds(100)
        self.successResultOf(reading)
        self.assertEqual(self.brokers.count(FETCH), 2)

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

    def test_a_log_without_a_known_end_is_no_empty_one(self) -> None:
        self.log.end = -1
        self.failureResultOf(self.begin(self.reading.bounds("demo", 0)), BrokerUnavailable)

    def test_a_refused_sign_in_is_told_at_once(self) -> None:
        async def refuse(*args: Any, **options: Any) -> Any:
            raise SignInRefused("no")

        self.patch(self.client.cluster, "fetch", refuse)
        self.failureResultOf(self.read(), SignInRefused)


del ReadingContract, Reads

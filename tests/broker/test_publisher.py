"""IEnvelopePublisher over scripted brokers: partitions, offsets, records that are looked for; and the log."""

from __future__ import annotations

from typing import Any

from kafka.partitioner import murmur2
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from lfsproxy.broker.scan import SCAN_BYTES, SCAN_RECORDS
from lfsproxy.errors import BadRequest, BrokerUnavailable, NoSuchRecord, UnknownTopic
from lfsproxy.interfaces import IEnvelopePublisher, IRecordLog, Published
from lfsproxy.settings import DEFAULTS
from lfsproxy.wire.apis import KafkaApi
from tests.broker.rig import ClientTestCase
from tests.kafka import acts as act
from tests.kafka.brokers import Log


class PartitionTests(ClientTestCase):
    def choose(
        self, key: bytes | None = None, partition: int | None = None, topic: str = "demo"
    ) -> Deferred[int]:
        return self.begin(self.publisher.choose_partition(topic, key, partition))

    def test_it_is_what_it_is_taken_for(self) -> None:
        verifyObject(IEnvelopePublisher, self.publisher)
        verifyObject(IRecordLog, self.client.log)

    def test_a_partition_that_is_asked_for(self) -> None:
        self.assertEqual(self.successResultOf(self.choose(partition=1)), 1)
        self.assertIn(
            "its last one is 1", str(self.failureResultOf(self.choose(partition=2), BadRequest).value)
        )

    def test_a_partition_that_was_added_is_known_at_once(self) -> None:
        self.successResultOf(self.choose(partition=1))
        self.brokers.logs["demo", 2] = Log(1)
        self.assertEqual(self.successResultOf(self.choose(partition=2)), 2)

    def test_a_key_chooses_as_kafka_s_clients_do(self) -> None:
        for number in range(20):
            key = b"key-%d" % number
            self.assertEqual(self.successResultOf(self.choose(key)), (murmur2(key) & 0x7FFFFFFF) % 2)

    def test_without_a_key_any_that_has_a_leader(self) -> None:
        self.assertEqual({self.successResultOf(self.choose()) for _ in range(50)}, {0, 1})
        self.net.pass_seconds(6)
        self.brokers.logs["demo", 1].leader = -1
        self.assertEqual({self.successResultOf(self.choose()) for _ in range(50)}, {0})

    def test_without_a_key_a_broker_that_hangs_is_left_out(self) -> None:
        self.assertEqual({self.successResultOf(self.choose()) for _ in range(50)}, {0, 1})
        self.published()
        self.brokers.hung = {9091}
        self.net.pass_seconds(2)
        stuck = self.publish()
        self.net.pass_seconds(5)
        self.assertEqual({self.successResultOf(self.choose()) for _ in range(50)}, {1})
        self.brokers.hung = set()
        self.net.pass_seconds(6)
        self.successResultOf(stuck)
        self.assertEqual({self.successResultOf(self.choose()) for _ in range(50)}, {0, 1})

    def test_a_topic_that_there_is_not(self) -> None:
        self.brokers.creates = False
        choosing = self.choose(topic="none")
        self.net.pass_seconds(5)
        self.failureResultOf(choosing, UnknownTopic)


class OffsetTests(ClientTestCase):
    def next_offset(self) -> int:
        found: int = self.successResultOf(self.begin(self.publisher.next_offset("demo", 0)))
        return found

    def test_it_is_asked_for_once_and_then_counted(self) -> None:
        self.assertEqual(self.next_offset(), 0)
        self.published()
        self.published()
        self.assertEqual(self.next_offset(), 2)
        self.assertEqual(self.brokers.count(KafkaApi.LIST_OFFSETS), 1)

    def test_where_it_cannot_be_known_it_is_0(self) -> None:
        self.brokers.down = {9091, 9092}
        asking = self.begin(self.publisher.next_offset("demo", 0))
        self.net.pass_seconds(11)
        self.assertEqual(self.successResultOf(asking), 0)
        self.brokers.down = set()

    def test_the_end_is_asked_for_each_time(self) -> None:
        for number in range(3):
            self.assertEqual(self.successResultOf(self.begin(self.publisher.log_end("demo", 0))), number)
            self.published()


class FindTests(ClientTestCase):
    def find(self, value: bytes, first: int = 0) -> Published | None:
        found: Published | None = self.successResultOf(
            self.begin(self.publisher.find("demo", 0, value, first))
        )
        return found

    def test_a_record_is_found_from_where_it_is_looked_for(self) -> None:
        for value in (b"a", b"b", b"a"):
            self.published(value)
        self.assertEqual(self.find(b"a"), Published("demo", 0, 0, 1000))
        self.assertEqual(self.find(b"a", 1), Published("demo", 0, 2, 1000))
        self.assertIsNone(self.find(b"a", 3))
        self.assertIsNone(self.find(b"c"))

    def test_more_than_one_answer_is_looked_through(self) -> None:
        for number in range(5):
            self.published(b"%d" % number + bytes(SCAN_BYTES // 2))
        self.assertEqual(self.find(b"4" + bytes(SCAN_BYTES // 2)), Published("demo", 0, 4, 1000))
        self.assertGreater(self.brokers.count(KafkaApi.FETCH), 1)

    def test_what_expired_is_passed_over(self) -> None:
        for value in (b"a", b"b", b"c"):
            self.published(value)
        del self.brokers.logs["demo", 0].batches[:2]
        self.assertEqual(self.find(b"c"), Published("demo", 0, 2, 1000))
        self.assertIsNone(self.find(b"a"))

    def test_without_a_place_to_begin_the_last_records_are_looked_through(self) -> None:
        self.published(b"old")
        log = self.brokers.logs["demo", 0]
        log.end = SCAN_RECORDS + 10
        found = self.begin(self.publisher._scan.find("demo", 0, b"old", None))
        self.assertIsNone(self.successResultOf(found))

    def test_few_answers_are_held_however_many_look(self) -> None:
        for value in (b"a", b"b"):
            self.published(value)
        fetch = self.client.cluster.fetch
        held: list[Deferred[None]] = []

        async def held_fetch(*args: Any) -> Any:
            held.append(Deferred())
            await held[-1]
            return await fetch(*args)

        self.patch(self.client.cluster, "fetch", held_fetch)
        looking = [self.begin(self.publisher.find("demo", 0, b"b", 0)) for _ in range(20)]
        self.assertEqual(len(held), DEFAULTS.max_lookups)
        answered = 0
        while held:
            self.assertLessEqual(len(held), DEFAULTS.max_lookups)
            held.pop(0).callback(None)
            answered += 1
            self.net.flow()
        self.assertGreaterEqual(answered, 20)
        for each in looking:
            self.assertEqual(self.successResultOf(each), Published("demo", 0, 1, 1000))

    def test_a_topic_that_is_gone_says_nothing_of_the_record(self) -> None:
        self.brokers.logs.clear()
        self.failureResultOf(self.begin(self.publisher.find("demo", 0, b"a", 0)), BrokerUnavailable)

    def test_kafka_away(self) -> None:
        self.brokers.down = {9091, 9092}
        looking = self.begin(self.publisher.find("demo", 0, b"a", 0))
        self.net.pass_seconds(11)
        self.failureResultOf(looking, BrokerUnavailable)
        self.brokers.down = set()


class ReadTests(ClientTestCase):
    def test_a_record_is_read_where_it_is(self) -> None:
        self.published(b"first")
        self.published(b"second")
        found = self.successResultOf(self.begin(self.client.log.read("demo", 0, 1, 100)))
        self.assertEqual((found.value, found.timestamp, found.offset), (b"second", 1000, 1))
        self.failureResultOf(self.begin(self.client.log.read("demo", 0, 2, 100)), NoSuchRecord)
        self.failureResultOf(self.begin(self.client.log.read("none", 0, 2, 100)), UnknownTopic)

    def test_it_is_read_again_where_the_answer_is_lost(self) -> None:
        self.published(b"first")
        for fault in (act.gone, act.half_said, act.garbage):
            self.brokers.next(KafkaApi.FETCH, fault)
            reading = self.begin(self.client.log.read("demo", 0, 0, 100))
            self.net.pass_seconds(1)
            self.assertEqual(self.successResultOf(reading).value, b"first")


class EndTests(ClientTestCase):
    def test_no_token_is_fetched_any_more(self) -> None:
        stopped: list[str] = []
        self.patch(self.client.upstream.identity, "stop", lambda: stopped.append("identity"))
        stopping = self.begin(self.client.stop())
        self.successResultOf(stopping)
        self.assertEqual(stopped, ["identity"])

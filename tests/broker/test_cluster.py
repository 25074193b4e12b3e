"""Questions to the cluster: whom they are asked, what answers mean, brokers that hang and move."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred

from lfsproxy.broker.cluster import EARLIEST, FRESH_SECONDS, Topic
from lfsproxy.broker.seconds import METADATA_SECONDS, RETRY_SECONDS
from lfsproxy.errors import (
    BadRequest,
    BrokerUnavailable,
    Draining,
    NotAuthorised,
    UnknownTopic,
    UnreadableRecord,
)
from lfsproxy.kafka.connection import SILENCE_SECONDS
from lfsproxy.kafka.race import STAGGER_SECONDS
from lfsproxy.settings import Address
from lfsproxy.wire.apis import KafkaApi
from tests.broker.rig import ClientTestCase
from tests.kafka import acts as act
from tests.kafka.brokers import Asked, BrokerSide

METADATA = KafkaApi.METADATA


class ClusterTestCase(ClientTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cluster = self.client.cluster

    def topic(self, name: str = "demo", create: bool = False) -> Deferred[Topic]:
        return self.begin(self.cluster.topic(name, create))

    def end(self, partition: int = 0) -> Deferred[int]:
        return self.begin(self.cluster.offset("demo", partition))


class TopicTests(ClusterTestCase):
    def test_its_partitions_and_their_leaders(self) -> None:
        self.assertEqual(self.successResultOf(self.topic()), Topic("demo", {0: 1, 1: 2}))

    def test_partitions_without_a_leader_are_not_available(self) -> None:
        self.assertEqual(Topic("demo", {2: 1, 0: 3, 1: -1}).available, [0, 2])

    def test_an_answer_is_used_for_a_while(self) -> None:
        for seconds, asked in ((0, 1), (FRESH_SECONDS - 0.5, 1), (1, 2)):
            self.net.pass_seconds(seconds)
            self.successResultOf(self.topic())
            self.assertEqual(self.brokers.count(METADATA), asked)

    def test_topics_that_are_refused(self) -> None:
        for code, kind in ((3, UnknownTopic), (17, BadRequest), (29, NotAuthorised)):
            self.brokers.topic_codes["demo"] = code
            self.failureResultOf(self.topic(), kind)
        self.brokers.topic_codes["demo"] = 99
        asking = self.topic()
        self.net.pass_seconds(METADATA_SECONDS)
        self.assertIn("99", str(self.failureResultOf(asking, BrokerUnavailable).value))

    def test_only_who_wants_to_creates_it(self) -> None:
        self.failureResultOf(self.topic("new"), UnknownTopic)
        self.assertEqual(self.brokers.created, [])
        self.successResultOf(self.topic("new", create=True))
        self.assertEqual(self.brokers.created, ["new"])

    def test_one_that_is_being_created_is_waited_for(self) -> None:
        self.brokers.topic_codes["new"] = 5
        asking = self.topic("new", create=True)
        self.net.pass_seconds(1)
        self.assertNoResult(asking)
        self.brokers.topic_codes.clear()
        self.net.pass_seconds(1)
        self.assertEqual(self.successResultOf(asking), Topic("new", {0: 1}))

    def test_many_who_ask_at_once_ask_once(self) -> None:
        asking = [self.topic() for _ in range(10)]
        for each in asking:
            self.successResultOf(each)
        self.assertEqual(self.brokers.count(METADATA), 1)

    def test_ten_thousand_topics_are_not_all_remembered(self) -> None:
        for number in range(1100):
            self.successResultOf(self.topic(f"new-{number}", create=True))
        self.assertEqual(len(self.cluster._topics), 1000)


class HungTests(ClusterTestCase):
    overrides = {"kafka_brokers": (Address("10.0.0.8", 9998), Address("10.0.0.1", 9091))}

    def setUp(self) -> None:
        super().setUp()
        self.brokers.hung = {9998}

    def test_an_address_that_hangs_costs_a_moment_once(self) -> None:
        for _ in range(4):
            asking = self.begin(self.cluster.ping())
            self.net.pass_seconds(STAGGER_SECONDS)
            self.successResultOf(asking)
        asked = len([end for end in self.brokers.ends if end.port == 9998])
        for _ in range(10):
            self.successResultOf(self.begin(self.cluster.ping()))
        self.assertEqual(len([end for end in self.brokers.ends if end.port == 9998]), asked)

    def test_a_broker_that_hangs_is_no_other_s_trouble(self) -> None:
        self.brokers.hung = set()
        self.successResultOf(self.topic())
        self.brokers.hung = {9091, 9998}
        self.net.pass_seconds(FRESH_SECONDS)
        first, other = self.end(0), self.end(1)
        self.net.pass_seconds(2 * STAGGER_SECONDS)
        self.assertEqual(self.successResultOf(other), 0)
        self.net.pass_seconds(METADATA_SECONDS)
        self.failureResultOf(first, BrokerUnavailable)
        self.brokers.hung = set()

    def test_its_partition_is_read_from_the_next_leader(self) -> None:
        self.brokers.hung = set()
        self.successResultOf(self.topic())
        self.brokers.hung = {9091, 9998}
        asking = self.end(0)
        self.net.pass_seconds(1)
        self.brokers.logs["demo", 0].leader = 2
        self.net.pass_seconds(SILENCE_SECONDS)
        self.assertEqual(self.successResultOf(asking), 0)
        self.brokers.hung = set()

    def test_a_batch_that_may_come_slowly_gives_no_more_time_to_connect(self) -> None:
        self.brokers.hung = set()
        self.successResultOf(self.topic())

        def breaks_off(side: BrokerSide, asked: Asked) -> None:
            self.brokers.hung = {9091, 9998}
            side.hang_up()

        self.brokers.next(KafkaApi.FETCH, breaks_off)
        fetching = self.begin(self.cluster.fetch("demo", 0, 0, however_slowly=True))
        self.net.pass_seconds(METADATA_SECONDS + RETRY_SECONDS)
        self.failureResultOf(fetching, BrokerUnavailable)
        self.brokers.hung = set()

    def test_all_hang(self) -> None:
        self.brokers.hung = {9091, 9998}
        asking = self.begin(self.cluster.ping())
        self.net.pass_seconds(METADATA_SECONDS)
        self.failureResultOf(asking, BrokerUnavailable)
        self.brokers.hung = set()


class LeaderTests(ClusterTestCase):
    def test_offsets_are_asked_of_the_leader(self) -> None:
        self.published()
        self.assertEqual(self.successResultOf(self.end(0)), 1)
        self.assertEqual(self.successResultOf(self.end(1)), 0)
        self.assertEqual(self.successResultOf(self.begin(self.cluster.offset("demo", 0, EARLIEST))), 0)
        self.assertEqual(self.brokers.count(KafkaApi.LIST_OFFSETS, 9092), 1)

    def test_a_leader_that_moved(self) -> None:
        self.successResultOf(self.end(0))
        self.brokers.logs["demo", 0].leader = 2
        asking = self.end(0)
        self.net.pass_seconds(2 * RETRY_SECONDS)
        self.successResultOf(asking)

    def test_a_broker_that_is_back_serves_at_once(self) -> None:
        self.successResultOf(self.end(0))
        self.brokers.down = {9091}
        for end in self.brokers.open:
            end.hang_up()
        self.net.flow()
        asking = self.end(0)
        self.net.pass_seconds(METADATA_SECONDS + 1)
        self.assertIn("connection refused", str(self.failureResultOf(asking, BrokerUnavailable).value))
        self.brokers.down = set()
        self.successResultOf(self.end(0))

    def test_a_broker_with_a_new_address(self) -> None:
        self.successResultOf(self.end(0))
        self.brokers.down = {9091}
        self.brokers.nodes[1] = Address("10.0.0.1", 9099)
        for end in self.brokers.open:
            end.hang_up()
        self.net.flow()
        asking = self.end(0)
        self.net.pass_seconds(1)
        self.successResultOf(asking)

    def test_a_broker_that_was_added(self) -> None:
        self.successResultOf(self.end(0))
        self.brokers.nodes[3] = Address("10.0.0.3", 9093)
        self.brokers.logs["demo", 0].leader = 3
        asking = self.end(0)
        self.net.pass_seconds(1)
        self.successResultOf(asking)

    def test_a_partition_that_there_is_not(self) -> None:
        self.failureResultOf(self.end(7), UnknownTopic)

    def test_a_topic_that_was_deleted(self) -> None:
        self.successResultOf(self.end(0))
        self.brokers.logs.clear()
        asking = self.end(0)
        self.net.pass_seconds(1)
        self.failureResultOf(asking, UnknownTopic)
        self.assertEqual(self.brokers.created, [])

    def test_every_answer_lost_or_wrong_is_asked_for_again(self) -> None:
        for api in (METADATA, KafkaApi.LIST_OFFSETS, KafkaApi.API_VERSIONS):
            for fault in (act.gone, act.half_said, act.garbage, act.other_question):
                self.net.pass_seconds(FRESH_SECONDS + 50, 5.0)
                self.brokers.next(api, fault)
                asking = self.end(0)
                self.net.pass_seconds(1)
                self.successResultOf(asking)

    def test_a_silent_leader_is_asked_again(self) -> None:
        self.brokers.next(KafkaApi.LIST_OFFSETS, act.silent)
        asking = self.end(0)
        self.net.pass_seconds(SILENCE_SECONDS + 1)
        self.successResultOf(asking)

    def test_who_stops_waiting_leaves_nothing(self) -> None:
        for api in (METADATA, KafkaApi.LIST_OFFSETS, KafkaApi.API_VERSIONS):
            self.net.pass_seconds(FRESH_SECONDS + 50, 5.0)
            self.brokers.next(api, act.silent)
            asking = self.end(0)
            asking.cancel()
            self.failureResultOf(asking, CancelledError)
            self.net.pass_seconds(SILENCE_SECONDS + 1)

    def test_a_batch_that_is_too_large_is_not_asked_for_again(self) -> None:
        self.published()
        self.brokers.next(KafkaApi.FETCH, act.two_gigabytes)
        self.failureResultOf(self.begin(self.cluster.fetch("demo", 0, 0)), UnreadableRecord)
        self.assertEqual(self.brokers.count(KafkaApi.FETCH), 1)

    def test_after_a_stop_nothing_is_asked(self) -> None:
        self.successResultOf(self.begin(self.client.stop()))
        self.failureResultOf(self.end(0), Draining)

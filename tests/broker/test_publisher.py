"""KafkaPublisher against stand-ins: what it answers, and what becomes of the producer."""

from __future__ import annotations

import random
from collections.abc import Coroutine
from typing import Any

from kafka import errors as kafka_errors
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lfsproxy.broker.producer import Record
from lfsproxy.broker.producers import IDLE_SECONDS, MOST_PRODUCERS, Producers
from lfsproxy.broker.publisher import PUBLISH_SECONDS, KafkaPublisher
from lfsproxy.errors import (
    BadRequest,
    BrokerRefused,
    BrokerTooLarge,
    BrokerUnavailable,
    Draining,
    OutcomeUnknown,
    UnknownTopic,
)
from lfsproxy.interfaces import IEnvelopePublisher, Published
from lfsproxy.settings import Settings
from tests.broker.doubles import FakeCluster, FakeProducer, InlineThreads, Metadata, Reactor


class PublisherCase(SynchronousTestCase):
    """A publisher for the topic ``demo`` of one partition."""

    def setUp(self) -> None:
        self.reactor = Reactor()
        self.cluster = FakeCluster()
        self.threads = InlineThreads()
        self.made: list[FakeProducer] = []
        self.opens: BaseException | None = None
        self.refuses: list[BaseException] = []
        self.found: tuple[int, int] | None = None
        self.looked_from: list[int | None] = []
        producers = Producers(self.reactor, Settings(), self.cluster, self.threads, self.make)  # type: ignore[arg-type]  # doubles
        self.publisher = KafkaPublisher(
            self.reactor,
            self.cluster,  # type: ignore[arg-type]  # a double
            producers,
            self.threads,  # type: ignore[arg-type]  # a double
            self.find,
            random.Random(1),
        )

    def make(self, arguments: Any) -> Any:
        refuses = self.refuses.pop(0) if self.refuses else None
        self.made.append(FakeProducer(arguments, opens=self.opens, refuses=refuses))
        return self.made[-1]

    def find(self, record: Record, first: int | None) -> tuple[int, int] | None:
        self.looked_from.append(first)
        return self.found

    def start(self, work: Coroutine[Deferred[Any], Any, Any]) -> Deferred[Any]:
        return Deferred.fromCoroutine(work)

    def publish(self, topic: str = "demo", partition: int = 0, **kwargs: Any) -> Deferred[Any]:
        given = {"key": None, "value": b"envelope", "headers": [], "timestamp": None, **kwargs}
        return self.start(self.publisher.publish(topic, partition, **given))


class PublishTests(PublisherCase):
    def test_provides_the_interface(self) -> None:
        verifyObject(IEnvelopePublisher, self.publisher)

    def test_publishes_a_record_as_given(self) -> None:
        done = self.publish(key=b"k", headers=[(b"n\xc3\xa4me", b"\xff")], timestamp=5)
        self.assertNoResult(done)
        self.assertEqual(
            self.made[0].sent, [Record("demo", 0, b"k", b"envelope", [(b"n\xc3\xa4me", b"\xff")], 5)]
        )
        self.made[0].succeed(Metadata(41, 5))
        self.assertEqual(self.successResultOf(done), Published("demo", 0, 41, 5))

    def test_the_producer_waits_for_all_replicas_with_one_request_in_flight(self) -> None:
        self.publish()
        arguments = self.made[0].arguments
        self.assertEqual(arguments["acks"], "all")
        self.assertEqual(arguments["max_in_flight_requests_per_connection"], 1)
        self.assertIs(arguments["enable_idempotence"], True)
        self.assertNotIn("retries", arguments)

    def test_without_producer_ids_nothing_that_was_sent_is_sent_again(self) -> None:
        self.cluster.idempotent = False
        self.publish()
        self.assertIs(self.made[0].arguments["enable_idempotence"], False)
        self.assertEqual(self.made[0].arguments["retries"], 0)

    def test_a_producer_is_used_again(self) -> None:
        for offset in (1, 2):
            done = self.publish()
            self.made[0].succeed(Metadata(offset, 0))
            self.successResultOf(done)
        self.assertEqual(len(self.made), 1)

    def test_a_producer_that_nobody_uses_is_closed(self) -> None:
        self.publish()
        self.made[0].succeed(Metadata(1, 0))
        self.reactor.advance(IDLE_SECONDS)
        self.assertTrue(self.made[0].closed)
        self.publish()
        self.assertEqual(len(self.made), 2)

    def test_publishes_at_the_same_time_share_no_producer(self) -> None:
        for _ in range(MOST_PRODUCERS + 1):
            last = self.publish()
        self.assertEqual(len(self.made), MOST_PRODUCERS)
        self.made[3].succeed(Metadata(1, 0))
        self.reactor.advance(0)
        self.assertEqual(len(self.made[3].sent), 2)
        self.made[3].succeed(Metadata(2, 0))
        self.assertEqual(self.successResultOf(last).offset, 2)

    def test_many_that_wait_for_a_producer_are_published_in_their_order(self) -> None:
        many = [self.publish(value=b"%d" % number) for number in range(1000)]
        for each in many[100:200]:
            each.cancel()
            self.failureResultOf(each, CancelledError)
        for producer in self.made:
            producer.answers = Metadata(1, 0)
        self.made[0].succeed(Metadata(1, 0))
        self.reactor.advance(0)
        for each in many[MOST_PRODUCERS:100] + many[200:]:
            self.successResultOf(each)
        rest = [*range(MOST_PRODUCERS, 100), *range(200, 1000)]
        self.assertEqual([0, *rest], [int(record.value) for record in self.made[0].sent])

    def test_a_refused_record_closes_its_producer(self) -> None:
        done = self.publish()
        self.made[0].leaves(10)
        self.made[0].fail(kafka_errors.MessageSizeTooLargeError())
        self.failureResultOf(done, BrokerTooLarge)
        self.assertTrue(self.made[0].closed)
        self.publish()
        self.assertEqual(len(self.made), 2)

    def test_a_lost_answer_is_an_unknown_outcome(self) -> None:
        done = self.publish()
        self.made[0].leaves(None)
        self.made[0].fail(kafka_errors.KafkaConnectionError("socket disconnected"))
        self.failureResultOf(done, OutcomeUnknown)

    def test_what_earlier_tries_of_another_record_were_answered_does_not_count(self) -> None:
        first = self.publish()
        self.made[0].leaves(None, 0)
        self.made[0].succeed(Metadata(1, 0))
        self.successResultOf(first)
        second = self.publish()
        self.made[0].leaves(87)
        self.made[0].fail(kafka_errors.InvalidRecordError("no"))
        self.failureResultOf(second, BrokerRefused)

    def test_a_record_that_never_left_may_be_sent_again(self) -> None:
        done = self.publish()
        self.made[0].fail(kafka_errors.KafkaTimeoutError("expired"))
        self.failureResultOf(done, BrokerUnavailable)

    def test_silence_ends_in_time_and_nothing_leaves_after_it(self) -> None:
        done = self.publish()
        self.reactor.advance(PUBLISH_SECONDS)
        self.failureResultOf(done, BrokerUnavailable)
        self.assertTrue(self.made[0].watch.is_shut)
        self.made[0].succeed(Metadata(1, 0))

    def test_silence_after_sending_is_an_unknown_outcome(self) -> None:
        done = self.publish()
        self.made[0].leaves(None)
        self.reactor.advance(PUBLISH_SECONDS)
        self.failureResultOf(done, OutcomeUnknown)

    def test_a_cancelled_publish_leaves_no_producer_behind(self) -> None:
        done = self.publish()
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.assertTrue(self.made[0].closed)
        self.assertTrue(self.made[0].watch.is_shut)

    def test_a_producer_that_does_not_know_the_partition_gives_way_to_a_new_one(self) -> None:
        self.refuses = [ValueError("Unrecognized partition")]
        done = self.publish()
        self.made[1].succeed(Metadata(7, 0))
        self.assertEqual(self.successResultOf(done).offset, 7)

    def test_a_partition_that_no_producer_knows(self) -> None:
        self.refuses = [ValueError("Unrecognized partition"), ValueError("Unrecognized partition")]
        self.failureResultOf(self.publish(), BrokerUnavailable)

    def test_a_topic_that_vanished_during_the_upload(self) -> None:
        self.failureResultOf(self.publish("gone"), UnknownTopic)
        self.assertEqual(self.made, [])

    def test_kafka_away_sends_nothing(self) -> None:
        self.cluster.error = BrokerUnavailable("away")
        self.failureResultOf(self.publish(), BrokerUnavailable)
        self.assertEqual(self.made, [])

    def test_a_producer_that_cannot_be_opened(self) -> None:
        self.opens = kafka_errors.KafkaTimeoutError("Unable to bootstrap")
        for _ in range(MOST_PRODUCERS + 1):
            self.failureResultOf(self.publish(), BrokerUnavailable)

    def test_an_answer_without_an_offset_is_looked_for(self) -> None:
        first = self.publish()
        self.made[0].succeed(Metadata(41, 1))
        self.successResultOf(first)
        self.found = (44, 5)
        done = self.publish()
        self.made[0].succeed(Metadata(-1, -1))
        self.assertEqual(self.successResultOf(done), Published("demo", 0, 44, 5))
        self.assertEqual(self.looked_from, [42])

    def test_an_answer_without_an_offset_that_is_not_found(self) -> None:
        done = self.publish()
        self.made[0].succeed(Metadata(-1, -1))
        self.failureResultOf(done, OutcomeUnknown)

    def test_headers_that_cannot_be_sent(self) -> None:
        self.failureResultOf(self.publish(headers=[(b"\xff", b"")]), BadRequest)
        self.failureResultOf(self.publish(headers=[(b"name", None)]), BadRequest)


class PartitionTests(PublisherCase):
    def choose(self, key: bytes | None, partition: int | None) -> Deferred[Any]:
        return self.start(self.publisher.choose_partition("demo", key, partition))

    def test_a_partition_that_was_asked_for(self) -> None:
        self.cluster.topics["demo"] = {0: 1, 1: 1}
        self.assertEqual(self.successResultOf(self.choose(b"key", 1)), 1)

    def test_a_partition_out_of_range(self) -> None:
        self.failureResultOf(self.choose(None, 1), BadRequest)
        self.failureResultOf(self.choose(None, -1), BadRequest)

    def test_a_key_goes_where_javas_partitioner_puts_it(self) -> None:
        # murmur2 of these as in org.apache.kafka.common.utils.UtilsTest.testMurmur2
        hashes = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
        self.cluster.topics["demo"] = dict.fromkeys(range(7), 1)
        for key, hashed in hashes.items():
            wanted = (hashed & 0x7FFFFFFF) % 7
            self.assertEqual(self.successResultOf(self.choose(key, None)), wanted)

    def test_without_a_key_a_partition_with_a_leader(self) -> None:
        self.cluster.topics["demo"] = {0: -1, 1: 2, 2: -1}
        self.assertEqual(self.successResultOf(self.choose(None, None)), 1)

    def test_an_unknown_topic(self) -> None:
        self.cluster.topics = {}
        self.failureResultOf(self.choose(None, None), UnknownTopic)


class OffsetTests(PublisherCase):
    def next_offset(self) -> Any:
        return self.successResultOf(self.start(self.publisher.next_offset("demo", 0)))

    def test_the_last_answer_tells(self) -> None:
        self.publish()
        self.made[0].succeed(Metadata(41, 1))
        self.assertEqual(self.next_offset(), 42)

    def test_without_one_the_broker_is_asked(self) -> None:
        self.cluster.ends["demo", 0] = 9
        self.assertEqual(self.next_offset(), 9)

    def test_zero_where_it_cannot_be_known(self) -> None:
        self.cluster.error = BrokerUnavailable("away")
        self.assertEqual(self.next_offset(), 0)


class StopTests(PublisherCase):
    def test_waits_for_what_is_being_published(self) -> None:
        done = self.publish()
        stopped = self.start(self.publisher.stop())
        self.assertNoResult(stopped)
        self.made[0].succeed(Metadata(1, 1))
        self.successResultOf(done)
        self.reactor.advance(0)
        self.successResultOf(stopped)
        self.assertTrue(self.made[0].closed and self.cluster.stopped and self.threads.stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_takes_nothing_new(self) -> None:
        self.successResultOf(self.start(self.publisher.stop()))
        self.failureResultOf(self.publish(), Draining)

    def test_check_asks_the_cluster(self) -> None:
        self.successResultOf(self.start(self.publisher.check()))
        self.cluster.error = BrokerUnavailable("away")
        self.failureResultOf(self.start(self.publisher.check()), BrokerUnavailable)

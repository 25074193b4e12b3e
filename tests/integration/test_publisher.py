"""KafkaPublisher against a real Kafka: answers, refusals, topics on demand, a broker that comes and goes."""

from __future__ import annotations

from typing import Any

from kafka import KafkaConsumer, TopicPartition
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from lfsproxy.broker.client import kafka_client
from lfsproxy.broker.publisher import KafkaPublisher
from lfsproxy.broker.seconds import ALIVE_SECONDS
from lfsproxy.errors import (
    BadRequest,
    BrokerInvalid,
    BrokerTooLarge,
    BrokerUnavailable,
    OutcomeUnknown,
    UnknownTopic,
)
from lfsproxy.interfaces import Published
from lfsproxy.settings import Settings, load_settings
from tests.integration.stack import in_thread, own_kafka, stack


def settings_for(bootstrap: str) -> Settings:
    return load_settings({"LFS_KAFKA_BROKERS": bootstrap}, {}).settings


def read_all(bootstrap: str, topic: str, partition: int = 0) -> list[Any]:
    """Every record of a partition. Blocks."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="earliest")
    try:
        place = TopicPartition(topic, partition)
        consumer.assign([place])
        end = consumer.end_offsets([place])[place]
        records: list[Any] = []
        while consumer.position(place) < end:
            records += consumer.poll(timeout_ms=1000).get(place, [])
        return records
    finally:
        consumer.close()


class PublisherCase(TestCase):
    timeout = 180

    def publisher(self, bootstrap: str) -> KafkaPublisher:
        made = kafka_client(reactor, settings_for(bootstrap))
        self.addCleanup(lambda: Deferred.fromCoroutine(made.stop()))
        return made.publisher

    async def publish(self, publisher: KafkaPublisher, topic: str, value: bytes, **given: Any) -> Any:
        arguments = {"partition": 0, "key": None, "headers": [], "timestamp": None, **given}
        return await publisher.publish(topic, value=value, **arguments)

    def pause_for(self, seconds: float) -> Deferred[None]:
        return deferLater(reactor, seconds, lambda: None)


class PublishTests(PublisherCase):
    async def test_a_record_arrives_as_given(self) -> None:
        servers = await stack()
        topic = await servers.new_topic(partitions=2)
        publisher = self.publisher(servers.kafka.bootstrap)
        headers = [(b"lfs-filename", "grüße.png".encode()), (b"lfs-filename", b"")]
        done = await self.publish(
            publisher, topic, b"envelope", partition=1, key=b"\xff", headers=headers, timestamp=1234567890123
        )
        self.assertEqual(
            (done.topic, done.partition, done.offset, done.timestamp), (topic, 1, 0, 1234567890123)
        )
        (record,) = await in_thread(read_all, servers.kafka.bootstrap, topic, 1)
        self.assertEqual((record.key, record.value, record.timestamp), (b"\xff", b"envelope", 1234567890123))
        self.assertEqual([(name.encode(), value) for name, value in record.headers], headers)

    async def test_many_at_once_have_an_offset_each(self) -> None:
        servers = await stack()
        topic = await servers.new_topic()
        publisher = self.publisher(servers.kafka.bootstrap)
        work = [
            Deferred.fromCoroutine(self.publish(publisher, topic, b"%d" % number)) for number in range(100)
        ]
        offsets = {done.offset: number for number, done in enumerate(await gatherResults(work))}
        self.assertEqual(sorted(offsets), list(range(100)))
        for record in await in_thread(read_all, servers.kafka.bootstrap, topic):
            self.assertEqual(int(record.value), offsets[record.offset])

    async def test_the_next_offset_is_known_before_and_after(self) -> None:
        servers = await stack()
        topic = await servers.new_topic()
        publisher, other = self.publisher(servers.kafka.bootstrap), self.publisher(servers.kafka.bootstrap)
        self.assertEqual(await publisher.next_offset(topic, 0), 0)
        await self.publish(publisher, topic, b"one")
        self.assertEqual(await publisher.next_offset(topic, 0), 1)
        self.assertEqual(await other.next_offset(topic, 0), 1)

    async def test_refusals_say_why_and_harm_nobody_else(self) -> None:
        servers = await stack()
        small = await servers.new_topic(config={"max.message.bytes": "200"})
        compacted = await servers.new_topic(config={"cleanup.policy": "compact"})
        topic = await servers.new_topic()
        publisher = self.publisher(servers.kafka.bootstrap)
        others = []
        for number in range(10):
            others.append(Deferred.fromCoroutine(self.publish(publisher, topic, b"%d" % number)))
            refused = Deferred.fromCoroutine(self.publish(publisher, small, b"x" * 300))
            await self.assertFailure(refused, BrokerTooLarge)
            refused = Deferred.fromCoroutine(self.publish(publisher, compacted, b"no key"))
            error = await self.assertFailure(refused, BrokerInvalid)
            self.assertEqual(error.code, 87)
            self.assertIn("without key", str(error))
        self.assertEqual(len({done.offset for done in await gatherResults(others)}), 10)
        self.assertEqual(await in_thread(read_all, servers.kafka.bootstrap, small), [])
        self.assertEqual(await in_thread(read_all, servers.kafka.bootstrap, compacted), [])

    async def test_a_record_is_found_by_its_value(self) -> None:
        servers = await stack()
        topic = await servers.new_topic()
        publisher = self.publisher(servers.kafka.bootstrap)
        for value in (b"one", b"two", b"three"):
            await self.publish(publisher, topic, value, timestamp=1000)
        self.assertEqual(await publisher.find(topic, 0, b"two", 0), Published(topic, 0, 1, 1000))
        self.assertEqual(await publisher.find(topic, 0, b"three", 2), Published(topic, 0, 2, 1000))
        self.assertIsNone(await publisher.find(topic, 0, b"one", 1))


class TopicTests(PublisherCase):
    async def test_topics_on_demand_are_as_the_broker_says(self) -> None:
        kafka = await own_kafka(self, config={"auto.create.topics.enable": "true", "num.partitions": "3"})
        publisher = self.publisher(kafka.bootstrap)
        self.assertEqual(await publisher.next_offset("demand", 0), 0)
        chosen = await publisher.choose_partition("demand", b"key", None)
        self.assertEqual((await self.publish(publisher, "demand", b"x", partition=chosen)).offset, 0)
        refused = Deferred.fromCoroutine(publisher.choose_partition("demand", None, 3))
        await self.assertFailure(refused, BadRequest)

    async def test_an_unknown_topic_where_none_is_created(self) -> None:
        kafka = await own_kafka(self, config={"auto.create.topics.enable": "false"})
        publisher = self.publisher(kafka.bootstrap)
        await self.assertFailure(
            Deferred.fromCoroutine(publisher.choose_partition("none", None, None)), UnknownTopic
        )
        await self.assertFailure(Deferred.fromCoroutine(self.publish(publisher, "none", b"x")), UnknownTopic)


class AwayTests(PublisherCase):
    async def test_kafka_away_from_the_start(self) -> None:
        publisher = self.publisher("127.0.0.1:1")
        for call in (publisher.check(), publisher.choose_partition("demo", None, None)):
            await self.assertFailure(Deferred.fromCoroutine(call), BrokerUnavailable)
        self.assertEqual(await publisher.next_offset("demo", 0), 0)

    async def test_a_broker_killed_and_restarted_loses_nothing_acknowledged(self) -> None:
        kafka = await own_kafka(self)
        await in_thread(kafka.create_topic, "demo")
        publisher = self.publisher(kafka.bootstrap)
        outcomes: dict[int, Any] = {}

        async def one(number: int) -> None:
            try:
                outcomes[number] = (await self.publish(publisher, "demo", b"%d" % number)).offset
            except (BrokerUnavailable, OutcomeUnknown) as error:
                outcomes[number] = error

        async def restart() -> None:
            await self.pause_for(1)
            await in_thread(kafka.kill)
            await self.pause_for(1)
            await in_thread(kafka.start)

        restarting = Deferred.fromCoroutine(restart())
        work, number = [], 0
        while not restarting.called or number < 300:
            work.append(Deferred.fromCoroutine(one(number)))
            number += 1
            await self.pause_for(0.02)
        await gatherResults([*work, restarting])
        self.assertIsInstance((await self.publish(publisher, "demo", b"%d" % number)).offset, int)
        log = {
            int(record.value): record.offset for record in await in_thread(read_all, kafka.bootstrap, "demo")
        }
        for one_number, outcome in outcomes.items():
            if isinstance(outcome, int):
                self.assertEqual(log.get(one_number), outcome)
            elif isinstance(outcome, BrokerUnavailable):
                self.assertNotIn(one_number, log)
        self.assertGreater(sum(isinstance(outcome, int) for outcome in outcomes.values()), 50)

    async def test_a_broker_that_hangs_is_answered_in_time(self) -> None:
        kafka = await own_kafka(self)
        await in_thread(kafka.create_topic, "demo")
        publisher = self.publisher(kafka.bootstrap)
        await self.publish(publisher, "demo", b"before")
        await in_thread(kafka.pause)
        self.addCleanup(in_thread, kafka.resume)
        # Until then it counts as one that answers, and would be sent what it may write when it goes on.
        await self.pause_for(ALIVE_SECONDS)
        started = reactor.seconds()
        await self.assertFailure(
            Deferred.fromCoroutine(self.publish(publisher, "demo", b"during")), BrokerUnavailable
        )
        self.assertLess(reactor.seconds() - started, 15)
        await in_thread(kafka.resume)
        self.assertEqual((await self.publish(publisher, "demo", b"after")).offset, 1)

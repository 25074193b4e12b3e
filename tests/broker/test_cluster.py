"""What the cluster's answers about a topic mean."""

from __future__ import annotations

from typing import Any, cast

import attrs
from kafka import errors as kafka_errors
from kafka.future import Future
from kafka.protocol.metadata import MetadataResponse
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.broker.cluster import Cluster, Topic
from lfsproxy.broker.signing import Identity
from lfsproxy.errors import BadRequest, BrokerUnavailable
from lfsproxy.readiness import KnownTrouble
from lfsproxy.settings import Settings
from tests.broker.doubles import InlineThreads, Reactor


@attrs.define
class Manager:
    """Runs what it is asked at once, and answers every request alike."""

    answer: Any
    bootstrapped: bool = True

    async def send(self, request: Any, node_id: int | None = None) -> Any:
        return self.answer

    def call_soon(self, ask: Any) -> Any:
        try:
            ask().send(None)
        except StopIteration as end:
            return Future().success(end.value)
        except Exception as error:
            return Future().failure(error)
        raise AssertionError("it waits for something")


@attrs.define
class FakeConnections:
    manager: Manager


class TopicTests(SynchronousTestCase):
    def ask(self, is_internal: bool) -> Deferred[Topic]:
        partition = MetadataResponse.MetadataResponseTopic.MetadataResponsePartition(
            partition_index=0, leader_id=1
        )
        topic = MetadataResponse.MetadataResponseTopic(
            name="t", is_internal=is_internal, partitions=[partition]
        )
        manager = Manager(MetadataResponse(topics=[topic]))
        cluster = Cluster(
            Reactor(),
            Settings(),
            InlineThreads().run,
            cast(Identity, None),
            lambda arguments, identity: cast(Any, FakeConnections(manager)),
        )
        return Deferred.fromCoroutine(cluster.topic("t", create=True))

    def test_partitions_and_their_leaders(self) -> None:
        self.assertEqual(self.successResultOf(self.ask(False)).leaders, {0: 1})

    def test_a_topic_of_kafkas_own(self) -> None:
        self.assertIn("Kafka's own", str(self.failureResultOf(self.ask(True), BadRequest).value))


@attrs.define
class Failing(Manager):
    """Fails every question."""

    def call_soon(self, ask: Any) -> Any:
        return Future().failure(self.answer)


class TroubleTests(SynchronousTestCase):
    def ping(self, trouble: KnownTrouble | None) -> str:
        manager = Failing(kafka_errors.KafkaTimeoutError("Unable to bootstrap from ['localhost:9092']"))
        cluster = Cluster(
            Reactor(),
            Settings(),
            InlineThreads().run,
            cast(Identity, None),
            lambda arguments, identity: cast(Any, FakeConnections(manager)),
            trouble,
        )
        return str(self.failureResultOf(Deferred.fromCoroutine(cluster.ping()), BrokerUnavailable).value)

    def test_what_is_known_to_be_wrong_is_told(self) -> None:
        self.assertEqual(
            self.ping(KnownTrouble("kafka:9092 (LFS_KAFKA_BROKERS) is a Kafka controller")),
            "Kafka is unavailable: kafka:9092 (LFS_KAFKA_BROKERS) is a Kafka controller",
        )

    def test_else_what_kafka_python_says_without_its_class_s_name(self) -> None:
        self.assertEqual(
            self.ping(None),
            "Kafka is unavailable: kafka timeout",
        )

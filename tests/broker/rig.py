"""The proxy's own Kafka client over scripted brokers, and what must hold at the end of every test."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.broker.client import kafka_client
from lfsproxy.interfaces import Published
from lfsproxy.settings import Address, Settings
from lfsproxy.wire.apis import KafkaApi
from tests.kafka.brokers import Asked, BrokerNet, Brokers, BrokerSide


class ClientTestCase(SynchronousTestCase):
    """A client. At the end nothing may be left: no connection, no delayed call, nobody who waits."""

    overrides: dict[str, Any] = {}

    def setUp(self) -> None:
        self.brokers = Brokers()
        self.net = BrokerNet(self.brokers)
        self.settings = Settings(**{"kafka_brokers": (Address("10.0.0.1", 9091),), **self.overrides})
        self.client = kafka_client(self.net, self.settings)
        self.publisher = self.client.publisher
        self.begun: list[Deferred[Any]] = []
        self.addCleanup(self.check_nothing_is_left)

    def begin(self, asking: Coroutine[Any, Any, Any]) -> Deferred[Any]:
        """Begin something, and let everything happen that follows at once."""
        begun: Deferred[Any] = Deferred.fromCoroutine(asking)
        self.begun.append(begun)
        self.net.flow()
        return begun

    def publish(
        self, value: bytes = b"value", partition: int = 0, topic: str = "demo"
    ) -> Deferred[Published]:
        """Begin to publish a record."""
        return self.begin(self.publisher.publish(topic, partition, None, value, [], 1000))

    def published(self, value: bytes = b"value", partition: int = 0) -> int:
        """Publish a record; its offset."""
        return self.successResultOf(self.publish(value, partition)).offset

    def check_nothing_is_left(self) -> None:
        self.net.pass_seconds(31, 1.0)
        for each in self.begun:
            self.assertTrue(each.called, "somebody waits for ever")
            each.addErrback(lambda failure: None)
        stopped: Deferred[None] = Deferred.fromCoroutine(self.client.stop())
        self.net.flow()
        self.successResultOf(stopped)
        self.assertEqual([wire for wire in self.net.wires if wire.open], [], "a connection is left open")
        self.assertEqual(self.net.getDelayedCalls(), [], "a delayed call is left")


class Held:
    """Holds the answer to the next batch."""

    def __init__(self, test: ClientTestCase) -> None:
        self.test = test
        self.held: list[tuple[BrokerSide, Asked]] = []
        test.brokers.next(KafkaApi.PRODUCE, lambda side, asked: self.held.append((side, asked)))

    def let_go(self) -> None:
        for side, asked in self.held:
            side.say(side.brokers.answer(asked))
        self.test.net.flow()

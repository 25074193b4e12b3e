"""A client that is gone while the broker's name is looked up, as a load balancer's probe mostly is."""

from __future__ import annotations

from typing import Any, cast

from twisted.logger import LogLevel

from lfsproxy.settings import Address
from tests.relay.rig import RelayTestCase


class _SilentResolver:
    """A resolver that does not answer."""

    asked = 0

    def resolveHostName(self, receiver: Any, *args: Any, **named: Any) -> Any:
        self.asked += 1
        receiver.resolutionBegan(self)
        return self

    def cancel(self) -> None:
        """As the reactor's own, which cannot end its threads."""


class LookUpTests(RelayTestCase):
    overrides = {"kafka_brokers": (Address("a.example", 9092), Address("b.example", 9092))}

    def test_it_is_no_outage_and_no_other_broker_is_tried(self) -> None:
        resolver = _SilentResolver()
        self.net.nameResolver = cast(Any, resolver)
        connections = len(self.net.tcpClients)
        client = self.client()
        self.assertEqual(resolver.asked, 1)
        client.hang_up()
        self.assertEqual((self.lines(), self.metrics.of("kafka_closed")), ([], []))
        self.assertIn("a Kafka client (127.0.0.1:40000) left without a request", self.lines(LogLevel.debug))
        self.assertEqual((resolver.asked, len(self.net.tcpClients)), (1, connections))


class OneBrokerTests(LookUpTests):
    overrides = {"kafka_brokers": (Address("a.example", 9092),)}

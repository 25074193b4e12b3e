"""LFS_KAFKA_MAX_CONNECTIONS and LFS_KAFKA_MAX_CONNECTIONS_PER_IP at the Kafka door."""

from __future__ import annotations

from twisted.internet.address import IPv4Address

from tests.relay.rig import RelayTestCase


class Tests(RelayTestCase):
    overrides = {"kafka_max_connections": 2}

    def asks(self, host: str = "127.0.0.1") -> bool:
        factory = self.net.factory_at(19092)
        return factory.buildProtocol(IPv4Address("TCP", host, 1)) is not None

    def test_one_too_many_is_turned_away_until_another_leaves(self) -> None:
        first = self.client()
        self.client()
        self.assertFalse(self.asks())
        self.assertEqual(self.metrics.of("refused"), [("kafka", "all")])
        first.hang_up()
        self.assertTrue(self.asks())

    def test_the_ports_of_brokers_count_together(self) -> None:
        self.client()
        self.client(19094)
        self.assertFalse(self.asks())


class PerAddressTests(RelayTestCase):
    overrides = {"kafka_max_connections_per_ip": 1}

    def test_another_address_has_its_own(self) -> None:
        self.client()
        factory = self.net.factory_at(19092)
        self.assertIsNone(factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1)))
        self.assertIsNotNone(factory.buildProtocol(IPv4Address("TCP", "127.0.0.2", 1)))
        self.assertEqual(self.metrics.of("refused"), [("kafka", "address")])


class OwedTests(RelayTestCase):
    """Broker connections that are still being made."""

    def test_a_client_whose_broker_is_being_connected_still_takes_a_descriptor(self) -> None:
        admission = self.relay._accepting.admission
        self.net.answers_connects = False
        for _ in range(3):
            self.client()
        self.assertEqual(admission._owed(), 3)
        for client in self.clients:
            client.hang_up()
        self.net.flow()
        self.assertEqual((admission._owed(), admission.connected), (0, 0))

"""An address that takes connections and answers nothing holds up no client that could be served elsewhere."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from lfsproxy.settings import Address
from lfsproxy.wire.apis import KafkaApi
from tests.relay.records import request
from tests.relay.rig import Client, RelayTestCase

HUNG = Address("10.0.0.9", 9999)
GOOD = Address("10.0.0.1", 9092)
QUESTION = request(KafkaApi.FIND_COORDINATOR, 0, 7, b"\0\x05group")


class HungAddressTests(RelayTestCase):
    overrides = {"kafka_brokers": (HUNG, GOOD)}

    def prepare(self) -> None:
        self.cluster.hung = {HUNG.port}

    def served(self, client: Client) -> bool:
        client.send(QUESTION)
        return client.order == [7]

    def test_the_relay_is_ready_all_the_same(self) -> None:
        self.pass_seconds(1)
        self.successResultOf(Deferred.fromCoroutine(self.relay.check()))

    def test_every_client_is_served(self) -> None:
        self.pass_seconds(1)
        for _ in range(10):
            self.assertTrue(self.served(self.client()))
            self.pass_seconds(3)

    def test_a_broker_that_hangs_later_costs_little(self) -> None:
        self.pass_seconds(1)
        self.cluster.hung.add(9093)
        self.pass_seconds(6)
        for _ in range(6):
            client = self.client()
            self.net.advance(0.3)
            self.net.flow()
            self.assertTrue(self.served(client))
        self.assertTrue(self.relay.bootstrap.is_suspect(Address("10.0.0.2", 9093)))
        self.cluster.hung = set()

    def test_when_all_hang_the_client_is_turned_away_in_the_end(self) -> None:
        self.pass_seconds(1)
        self.cluster.hung |= {9092, 9093}
        self.pass_seconds(6)
        client = self.client()
        self.pass_seconds(12)
        self.assertFalse(client.is_open)
        self.assertEqual(len([line for line in self.lines() if "turned away" in line]), 1)
        self.cluster.hung = set()
        self.pass_seconds(1)
        self.assertTrue(self.served(self.client()))

    def test_a_client_that_leaves_meanwhile_leaves_nothing(self) -> None:
        self.pass_seconds(1)
        self.cluster.hung |= {9092, 9093}
        self.pass_seconds(6)
        self.client().hang_up()

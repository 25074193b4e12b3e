"""TLS of the Kafka port before a session begins: nothing is done before the handshake is finished."""

from __future__ import annotations

from pathlib import Path

from lfsproxy.wire.apis import KafkaApi
from tests.certificates import Authority
from tests.relay.records import request
from tests.relay.rig import Client, RelayTestCase


class HandshakeTests(RelayTestCase):
    def setUp(self) -> None:
        own = Authority(Path(self.mktemp())).issue("localhost")
        self.overrides = {
            "kafka_listener_tls_cert": str(own.certificate),
            "kafka_listener_tls_key": str(own.key),
        }
        super().setUp()
        self.before = len(self.cluster.connections)

    def assert_no_session(self, client: Client) -> None:
        """The client is gone, and no broker has heard of it."""
        self.assertFalse(client.is_open)
        self.assertEqual(len(self.cluster.connections), self.before)
        self.assertEqual(self.metrics.of("kafka_connection"), [])

    def test_a_client_that_says_nothing_is_closed_after_a_while(self) -> None:
        client = self.client()
        self.pass_seconds(9)
        self.assertTrue(client.is_open)
        self.pass_seconds(2)
        self.assert_no_session(client)
        self.assertEqual(self.metrics.of("kafka_closed"), [("handshake",)])

    def test_a_client_that_goes_away_is_no_trouble(self) -> None:
        client = self.client()
        client.hang_up()
        self.assert_no_session(client)
        self.assertEqual((self.lines(), self.metrics.of("kafka_closed")), ([], []))

    def test_a_client_without_tls_is_told_in_the_log(self) -> None:
        client = self.client()
        client.send(request(KafkaApi.API_VERSIONS, 0, 1))
        self.assert_no_session(client)
        self.assertRegex(self.lines()[-1], r"a Kafka client \(127.0.0.1:40000\) is turned away: TLS: ")
        self.assertEqual(self.metrics.of("kafka_closed"), [("tls",)])

    def test_a_drain_does_not_wait_for_it(self) -> None:
        client = self.client()
        draining = self.relay.drain()
        self.net.flow()
        self.successResultOf(draining)
        self.assert_no_session(client)

    def test_nor_does_a_stop(self) -> None:
        client = self.client()
        self.successResultOf(self.stop())
        self.assert_no_session(client)

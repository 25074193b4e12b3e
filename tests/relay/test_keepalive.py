"""A broker hears something while a Produce request takes its time, and only then."""

from __future__ import annotations

from lfsproxy.relay.keepalive import PROBE, SECONDS
from lfsproxy.wire.apis import KafkaApi
from tests.relay.records import batch, lfs, produce, record, request
from tests.relay.rig import KIB, Client, RelayTestCase


class KeepAliveTests(RelayTestCase):
    def connect(self) -> Client:
        """A client, and in ``server`` the broker's end of its connection: the proxy makes more of its own."""
        client = self.client()
        self.server = self.broker
        return client

    @property
    def asked(self) -> list[int]:
        """The APIs that the broker was asked for over the client's connection."""
        return [each.api_key for each in self.server.requests]

    def test_an_upload_that_takes_long_keeps_the_connection_from_being_idle(self) -> None:
        self.store.hold("seal")
        client = self.connect()
        client.send(produce(1, batch(lfs(b"blob"))))
        self.pass_seconds(3 * SECONDS)
        self.assertEqual(self.asked, [KafkaApi.API_VERSIONS] * 3)
        self.assertEqual({each.frame for each in self.server.requests}, {PROBE})
        self.assertEqual(client.order, [])
        self.let_go("seal")
        self.assertEqual((self.asked[3:], client.order, client.code(1)), ([KafkaApi.PRODUCE], [1], 0))
        self.assert_published(b"blob")

    def test_so_does_one_that_the_client_sends_slowly(self) -> None:
        frame = produce(1, batch(lfs(bytes(600 * KIB))))
        client = self.connect()
        for start in range(0, len(frame), 100 * KIB):
            client.send(frame[start : start + 100 * KIB])
            self.pass_seconds(SECONDS / 2)
        self.assertEqual((self.asked.count(KafkaApi.API_VERSIONS), client.order), (3, [1]))
        self.assert_published(bytes(600 * KIB))

    def test_afterwards_the_broker_may_close_an_idle_connection(self) -> None:
        client = self.connect()
        client.send(produce(1, batch(lfs(b"blob"))), produce(2, batch(record(b"plain"))))
        self.pass_seconds(5 * SECONDS)
        self.assertEqual(self.asked, [KafkaApi.PRODUCE, KafkaApi.PRODUCE])

    def test_a_broker_that_has_not_answered_is_not_asked_for_more(self) -> None:
        self.store.hold("seal")
        client = self.connect()
        self.cluster.held = True
        client.send(request(KafkaApi.FETCH, 12, 1), produce(2, batch(lfs(b"blob"))))
        self.pass_seconds(5 * SECONDS)
        self.assertEqual(self.asked, [KafkaApi.FETCH])
        self.server.answer()
        self.cluster.held = False
        self.net.flow()
        self.pass_seconds(SECONDS)
        self.assertEqual(self.asked, [KafkaApi.FETCH, KafkaApi.API_VERSIONS])
        self.assertEqual(client.order, [1])

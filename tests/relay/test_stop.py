"""The end of the relay: a drain lets what was begun finish, a stop ends the rest at once."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from lfsproxy.wire.apis import KafkaApi
from tests.relay.records import batch, lfs, produce, record, request
from tests.relay.rig import KIB, Client, RelayTestCase


class DrainTests(RelayTestCase):
    def drain(self) -> Deferred[Any]:
        drained = self.relay.drain()
        self.net.flow()
        return drained

    def test_idle_clients_are_closed_at_once(self) -> None:
        clients = [self.client(), self.client()]
        clients[0].send(request(KafkaApi.FETCH, 12, 1))
        self.successResultOf(self.drain())
        self.assertEqual([client.is_open for client in clients], [False, False])
        self.assertEqual(self.metrics.of("kafka_closed"), [])

    def test_without_clients_it_is_done_at_once(self) -> None:
        self.successResultOf(self.drain())

    def test_uploads_in_flight_finish_and_are_answered(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(produce(1, batch(lfs(b"one"))), produce(2, batch(lfs(b"two"))))
        drained = self.drain()
        self.assertNoResult(drained)
        self.let_go("seal")
        self.successResultOf(drained)
        self.assertEqual((client.order, client.is_open), ([1, 2], False))
        self.assert_published(b"one", b"two")

    def test_requests_at_the_broker_are_answered(self) -> None:
        self.cluster.held = True
        client = self.client()
        client.send(request(KafkaApi.FETCH, 12, 1), produce(2, batch(lfs(b"blob"))))
        drained = self.drain()
        self.answer()
        self.assertNoResult(drained)
        self.answer()
        self.successResultOf(drained)
        self.assertEqual((client.order, client.is_open), ([1, 2], False))

    def test_a_request_that_was_begun_is_read_to_its_end(self) -> None:
        for frame in (
            produce(1, batch(lfs(bytes(300 * KIB)))),
            request(KafkaApi.JOIN_GROUP, 9, 1, bytes(300 * KIB)),
        ):
            client = self.client()
            client.send(frame[: 100 * KIB])
            drained = self.drain()
            self.assertNoResult(drained)
            client.send(frame[100 * KIB :])
            self.successResultOf(drained)
            self.assertEqual((client.order, client.is_open), ([1], False))

    def test_no_new_request_is_read(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(produce(1, batch(lfs(b"one"))))
        self.drain()
        client.send(produce(2, batch(record(b"two"))))
        self.let_go("seal")
        self.assertEqual((client.order, client.is_open), ([1], False))
        self.assertEqual([each.correlation_id for each in self.cluster.produced], [1])

    def test_a_client_that_goes_away_meanwhile_is_not_waited_for(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(produce(1, batch(lfs(b"blob"))))
        drained = self.drain()
        client.hang_up()
        self.successResultOf(drained)
        self.assertEqual(self.store.open_uploads, 0)

    def test_a_broker_that_goes_away_meanwhile_is_not_waited_for(self) -> None:
        self.cluster.held = True
        client = self.client()
        client.send(produce(1, batch(lfs(b"blob"))))
        drained = self.drain()
        self.broker.hang_up()
        self.net.flow()
        self.successResultOf(drained)
        self.assertFalse(client.is_open)

    def test_a_client_that_is_being_connected_is_closed(self) -> None:
        self.net.answers_connects = False
        client = self.client()
        drained = self.drain()
        host, port, factory, *_ = self.net.tcpClients[-1]
        self.net.connect_late(host, port, factory, self.net.connectors[-1])
        self.net.flow()
        self.successResultOf(drained)
        self.assertFalse(client.is_open)

    def test_acks_0_finishes_too(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(produce(1, batch(lfs(b"blob")), acks=0))
        drained = self.drain()
        self.assertNoResult(drained)
        self.let_go("seal")
        self.successResultOf(drained)
        self.assertFalse(client.is_open)
        self.assert_published(b"blob")


class StopTests(RelayTestCase):
    def assert_stopped(self, *clients: Client) -> None:
        self.successResultOf(self.stop())
        self.assertEqual([client.is_open for client in clients], [False] * len(clients))
        self.assertEqual(len(self.relay.sessions), 0)

    def test_a_client_that_does_not_read(self) -> None:
        client = self.client()
        client.wire.peer_reads = False
        client.send(
            request(KafkaApi.FETCH, 12, 1, bytes(500 * KIB)), request(KafkaApi.FETCH, 12, 2, bytes(500 * KIB))
        )
        self.assert_stopped(client)

    def test_a_client_within_a_request(self) -> None:
        client = self.client()
        client.send(produce(1, batch(lfs(bytes(300 * KIB))))[:-1])
        self.assert_stopped(client)

    def test_a_client_that_waits_for_memory(self) -> None:
        self.store.hold("seal")
        clients = [self.client() for _ in range(10)]
        for client in clients:
            client.send(produce(1, batch(lfs(bytes(400 * KIB)))))
        self.assertGreater(self.budget.waiting, 0)
        self.assert_stopped(*clients)
        self.assertEqual(self.blobs, [])

    def test_uploads_are_cut_and_removed(self) -> None:
        self.store.hold("commit")
        client = self.client()
        client.send(produce(1, batch(lfs(b"one"))), produce(2, batch(record(b"plain"))))
        self.assert_stopped(client)
        self.assertEqual((self.store.open_uploads, self.blobs), (0, []))
        self.assertEqual(self.cluster.produced, [])

    def test_a_broker_that_does_not_answer_leaves_the_outcome_unknown(self) -> None:
        self.cluster.held = True
        client = self.client()
        client.send(produce(1, batch(lfs(b"blob"))))
        self.assert_stopped(client)
        self.assertEqual(self.metrics.of("orphan"), [("unknown_outcome",)])
        self.assertEqual(self.blobs, [b"blob"])
        self.broker.pending.clear()

    def test_a_broker_that_does_not_read(self) -> None:
        client = self.client()
        self.know_topic()
        self.broker.wire.peer_reads = False
        client.send(produce(1, batch(lfs(b"x"), record(bytes(250 * KIB))), batch(record(bytes(250 * KIB)))))
        client.send(produce(2, batch(lfs(b"later"))))
        self.assert_stopped(client)
        self.assertEqual(self.blobs, [b"x"])
        self.assertEqual(self.metrics.of("orphan"), [("unknown_outcome",)])

    def test_a_client_that_is_being_connected(self) -> None:
        self.net.answers_connects = False
        self.assert_stopped(self.client())

    def test_a_client_that_went_away_and_is_being_settled(self) -> None:
        self.cluster.held = True
        client = self.client()
        client.send(produce(1, batch(lfs(b"blob"))))
        client.hang_up()
        self.assert_stopped(client)
        self.assertEqual(self.metrics.of("orphan"), [("unknown_outcome",)])
        self.broker.pending.clear()

    def test_it_waits_for_blobs_that_are_being_removed(self) -> None:
        self.store.hold("delete")
        self.cluster.fail_next(87)
        client = self.client()
        client.send(produce(1, batch(lfs(b"blob"))))
        stopped = self.stop()
        self.assertNoResult(stopped)
        self.let_go("delete")
        self.successResultOf(stopped)
        self.assertEqual(self.blobs, [])

    def test_it_does_not_wait_for_that_for_ever(self) -> None:
        self.store.hold("delete")
        self.cluster.fail_next(87)
        self.client().send(produce(1, batch(lfs(b"blob"))))
        stopped = self.stop()
        self.pass_seconds(10)
        self.successResultOf(stopped)

    def test_while_the_brokers_are_being_asked(self) -> None:
        self.cluster.silent = True
        self.pass_seconds(31)
        self.assert_stopped()

    def test_after_a_drain(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(produce(1, batch(lfs(b"blob"))))
        drained = self.relay.drain()
        self.assert_stopped(client)
        self.successResultOf(drained)
        self.assertEqual(self.cluster.produced, [])

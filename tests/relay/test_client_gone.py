"""A client that goes away loses its place, its uploads and its unforwarded requests, wherever they are."""

from __future__ import annotations

from lfsproxy.wire.apis import KafkaApi
from tests.relay.records import batch, lfs, produce, record, request
from tests.relay.rig import KIB, MEMORY, RelayTestCase

LARGE = 250 * KIB


class ClientGoneTests(RelayTestCase):
    def assert_gone(self) -> None:
        """Nothing is left of the client, and the broker's connection is closed."""
        self.assertEqual((self.store.open_uploads, self.blobs), (0, []))
        self.assertEqual((self.budget.used, self.budget.waiting), (0, 0))
        self.assertFalse(self.broker.is_open)
        self.assertEqual(len(self.relay.sessions), 0)

    def test_before_its_first_request(self) -> None:
        self.client().hang_up()
        self.assert_gone()
        self.assertEqual(self.lines(), [])

    def test_within_a_request(self) -> None:
        client = self.client()
        client.send(produce(1, batch(lfs(bytes(LARGE))))[:-1])
        self.assertGreater(self.budget.used, 0)
        client.hang_up()
        self.assert_gone()

    def test_in_the_middle_of_an_upload(self) -> None:
        for call in ("write", "seal", "commit"):
            self.store.hold(call)
            client = self.client()
            client.send(produce(1, batch(lfs(bytes(LARGE)))))
            self.assertEqual(self.store.held(call), 1)
            client.hang_up()
            self.assertEqual(self.cluster.produced, [])
            self.let_go(call)
            self.assert_gone()
        self.assertEqual({each[2] for each in self.metrics.of("upload")}, {"cancelled"})

    def test_a_stored_blob_that_waits_for_its_turn_is_deleted(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(produce(1, batch(lfs(b"first"))), produce(2, batch(lfs(b"second"))))
        self.store.let_go_one("seal", 1)
        self.net.flow()
        self.assertEqual(self.blobs, [b"second"])
        client.hang_up()
        self.let_go("seal")
        self.assertEqual(self.cluster.produced, [])
        self.assert_gone()

    def test_nothing_behind_an_unforwarded_batch_is_forwarded(self) -> None:
        # A broker that knows nothing of the producer would take the second batch for its first.
        self.store.hold("seal")
        client = self.client()
        client.send(
            produce(1, batch(lfs(b"first"), producer=7, epoch=0, sequence=0)),
            produce(2, batch(record(b"plain"), producer=7, epoch=0, sequence=1)),
            request(KafkaApi.FETCH, 12, 3),
        )
        client.hang_up()
        self.let_go("seal")
        self.assertEqual(self.broker.requests, [])
        self.assert_gone()

    def test_what_is_noticed_only_just_before_forwarding_holds_back_the_rest_too(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(
            produce(1, batch(lfs(b"first"), producer=7, epoch=0, sequence=0)),
            produce(2, batch(record(b"plain"), producer=7, epoch=0, sequence=1)),
        )
        client.wire.paused = True
        client.hang_up()
        self.let_go("seal")
        self.assertEqual(self.broker.requests, [])
        client.wire.paused = False
        self.net.flow()
        self.assert_gone()

    def test_while_it_waits_for_memory(self) -> None:
        self.store.hold("seal")
        holders = [self.client() for _ in range(7)]
        for holder in holders:
            holder.send(produce(1, batch(lfs(bytes(LARGE)))))
        self.assertGreater(self.budget.used + 400 * KIB, MEMORY)
        waiter, next_one = self.client(), self.client()
        waiter.send(produce(2, batch(lfs(bytes(400 * KIB)))))
        next_one.send(produce(3, batch(lfs(bytes(LARGE)))))
        self.assertEqual(self.budget.waiting, 2)
        waiter.hang_up()
        self.pass_seconds(1)
        self.assertEqual((self.budget.waiting, self.store.held("seal")), (0, 8))
        self.let_go("seal")
        self.assertEqual(next_one.order, [3])
        self.assertEqual(len(self.blobs), 8)

    def test_while_it_is_paused_it_is_noticed_within_a_second(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(
            produce(1, batch(lfs(bytes(LARGE)))), request(KafkaApi.JOIN_GROUP, 9, 2, bytes(3000 * KIB))
        )
        self.assertTrue(client.wire.paused)
        client.hang_up()
        self.assertTrue(client.is_open)
        self.pass_seconds(1)
        self.let_go("seal")
        self.assertEqual(self.broker.requests, [])
        self.assert_gone()

    def test_while_the_line_is_full(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(*[produce(each, batch(lfs(b"x"))) for each in range(20)])
        client.hang_up()
        self.let_go("seal")
        self.assertEqual(self.broker.requests, [])
        self.assert_gone()

    def test_within_a_relayed_frame(self) -> None:
        client = self.client()
        client.send(request(KafkaApi.JOIN_GROUP, 9, 2, bytes(300 * KIB))[:-1])
        client.hang_up()
        self.assert_gone()

    def test_while_the_broker_is_being_connected_to(self) -> None:
        self.net.answers_connects = False
        client = self.client()
        client.hang_up()
        self.assertEqual((client.is_open, len(self.relay.sessions)), (False, 0))
        self.assertEqual(self.lines(), [])


class MixedAcksTests(RelayTestCase):
    """Whether a request goes on without its client is told by its own acks, not by another's."""

    def test_a_request_without_an_answer_does_not_publish_later_ones_of_a_client_that_left(self) -> None:
        client = self.client()
        client.send(produce(1, batch(lfs(b"unanswered")), acks=0))
        self.assert_published(b"unanswered")
        self.store.hold("seal")
        client.send(produce(2, batch(lfs(b"answered"))))
        client.hang_up()
        self.let_go("seal")
        self.assert_published(b"unanswered")
        self.assertEqual(self.blobs, [b"unanswered"])
        self.assertEqual(len(self.relay.sessions), 0)

    def test_it_is_looked_for_once_more_just_before_forwarding(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(produce(1, acks=0), produce(2, batch(lfs(b"answered"))))
        client.wire.paused = True
        client.hang_up()
        self.let_go("seal")
        self.assertEqual(self.blobs, [])
        self.assertEqual([each.info.acks for each in self.broker.requests], [0])
        client.wire.paused = False
        self.net.flow()

    def test_it_is_noticed_within_a_second_while_the_client_is_paused(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(
            produce(1, acks=0),
            produce(2, batch(lfs(b"answered"))),
            request(KafkaApi.JOIN_GROUP, 9, 3, bytes(3000 * KIB)),
        )
        client.hang_up()
        self.assertTrue(client.is_open)
        self.pass_seconds(1)
        self.assertEqual(self.store.open_uploads, 0)
        self.let_go("seal")
        self.assertEqual((len(self.broker.requests), self.blobs), (1, []))

    def test_one_without_an_answer_goes_on_where_a_later_one_is_given_up(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(
            produce(1, batch(lfs(b"unanswered")), acks=0),
            produce(2, batch(lfs(b"answered"))),
            produce(3, batch(lfs(b"behind")), acks=0),
        )
        client.hang_up()
        self.assertEqual(self.store.open_uploads, 2)
        self.let_go("seal")
        self.assert_published(b"unanswered")
        self.assertEqual(self.blobs, [b"unanswered"])

    def test_nothing_behind_a_relayed_request_that_is_given_up_is_forwarded(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(
            produce(1, batch(lfs(b"unanswered")), acks=0),
            request(KafkaApi.FETCH, 12, 2),
            produce(3, batch(lfs(b"behind")), acks=0),
        )
        client.hang_up()
        self.let_go("seal")
        self.assertEqual([each.correlation_id for each in self.broker.requests], [1])
        self.assertEqual(self.blobs, [b"unanswered"])

    def test_one_that_waits_for_memory_is_not_published_once_it_turns_out_to_want_an_answer(self) -> None:
        for acks in (0, -1):
            published = len(self.cluster.records())
            lease = self.budget.try_acquire(MEMORY * 3 // 4)
            leases = [self.budget.try_acquire(KIB * 64) for _ in range(8)]
            client = self.client()
            client.send(produce(1, acks=0), produce(2, batch(record(bytes(100 * KIB))), acks=acks))
            self.assertEqual(self.budget.waiting, 1)
            client.hang_up()
            for each in [lease, *leases]:
                assert each is not None
                each.release()
            self.net.flow()
            self.assertEqual(len(self.cluster.records()), published + (acks == 0))
            self.assertEqual(len(self.relay.sessions), 0)


class AfterForwardingTests(RelayTestCase):
    """What was forwarded may still be answered, and the answer decides about the blob."""

    def setUp(self) -> None:
        super().setUp()
        self.cluster.held = True

    def test_an_acknowledgement_keeps_the_blob(self) -> None:
        client = self.client()
        client.send(produce(1, batch(lfs(b"blob"))))
        client.hang_up()
        self.assertTrue(self.broker.is_open)
        self.answer()
        self.assertEqual(self.blobs, [b"blob"])
        self.assertEqual([each[2] for each in self.metrics.of("upload")], ["ok"])
        self.assertFalse(self.broker.is_open)

    def test_a_refusal_deletes_it(self) -> None:
        self.cluster.fail_next(87)
        client = self.client()
        client.send(produce(1, batch(lfs(b"blob"))))
        client.hang_up()
        self.answer()
        self.assertEqual(self.blobs, [])
        self.assertFalse(self.broker.is_open)

    def test_a_broker_that_does_not_answer_for_a_minute_leaves_it_unknown(self) -> None:
        client = self.client()
        client.send(produce(1, batch(lfs(b"blob"))))
        client.hang_up()
        self.pass_seconds(59)
        self.assertEqual(self.metrics.of("orphan"), [])
        self.pass_seconds(1)
        self.assertEqual(self.metrics.of("orphan"), [("unknown_outcome",)])
        self.assertEqual(self.blobs, [b"blob"])
        self.assertFalse(self.broker.is_open)

    def test_other_requests_are_not_waited_for(self) -> None:
        client = self.client()
        client.send(request(KafkaApi.FETCH, 12, 1))
        client.hang_up()
        self.assertFalse(self.broker.is_open)

    def test_the_first_batch_of_a_large_request_is_decided_by_its_answer(self) -> None:
        frame = produce(1, batch(lfs(bytes(400 * KIB))), batch(lfs(bytes(400 * KIB))))
        client = self.client()
        client.send(frame[: 600 * KIB])
        (request,) = self.cluster.produced
        self.assertEqual([partition for _, partition, _ in request.batches()], [0])
        client.hang_up()
        self.assertEqual(self.store.open_uploads, 0)
        self.answer()
        self.assertEqual([len(blob) for blob in self.blobs], [400 * KIB])
        self.assertEqual(sorted(str(each[2]) for each in self.metrics.of("upload")), ["cancelled", "ok"])
        self.assertFalse(self.broker.is_open)

    def test_a_request_is_written_to_its_end(self) -> None:
        client = self.client()
        self.know_topic()
        self.broker.wire.peer_reads = False
        client.send(
            produce(1, batch(lfs(b"blob"), record(bytes(200 * KIB))), batch(record(bytes(200 * KIB))))
        )
        client.hang_up()
        self.broker.wire.peer_reads = True
        self.net.flow()
        self.assertEqual(len(self.broker.requests), 1)
        self.answer()
        self.assert_published(b"blob")
        self.assertFalse(self.broker.is_open)

"""Uploads of a connection overlap; its requests reach the broker, and its answers the client, in order."""

from __future__ import annotations

from lfsproxy.errors import StoreUnavailable
from lfsproxy.wire.apis import KafkaApi
from tests.relay.records import batch, lfs, produce, record, request
from tests.relay.rig import KIB, RelayTestCase

BAD = batch(lfs(b"bad", mark=b"no checksum"))


class OrderTests(RelayTestCase):
    def sent(self) -> list[int]:
        """The correlation ids of what the broker got, in order."""
        return [each.correlation_id for each in self.broker.requests]

    def test_uploads_of_pipelined_requests_overlap(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(*[produce(each, batch(lfs(b"%d" % each))) for each in range(5)])
        self.assertEqual(self.store.held("seal"), 5)
        self.let_go("seal")
        self.assertEqual((self.sent(), client.order), ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4]))

    def test_requests_reach_the_broker_in_order_however_their_uploads_end(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(*[produce(each, batch(lfs(b"%d" % each))) for each in range(5)])
        for place in (3, 1, 2, 0, 0):  # Of those that still wait: the records 3, 1, 4, 0 and 2.
            self.store.let_go_one("seal", place)
            self.net.flow()
            self.assertEqual(self.sent(), sorted(self.sent()))
        self.assertEqual((self.sent(), client.order), ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4]))

    def test_requests_are_forwarded_before_earlier_ones_are_answered(self) -> None:
        self.cluster.held = True
        client = self.client()
        client.send(*[produce(each, batch(lfs(b"x"))) for each in range(5)])
        self.assertEqual((self.sent(), client.order), ([0, 1, 2, 3, 4], []))
        self.answer(5)
        self.assertEqual(client.order, [0, 1, 2, 3, 4])

    def test_the_proxy_s_own_answers_wait_for_the_broker_s(self) -> None:
        self.cluster.held = True
        client = self.client()
        self.know_topic()
        client.send(
            produce(1, batch(record(b"plain"))),
            produce(2, BAD),
            request(KafkaApi.API_VERSIONS, 9, 3),
            request(KafkaApi.FETCH, 12, 4, b"fetch"),
            produce(5, BAD),
        )
        self.assertEqual((self.sent(), client.order), ([1, 4], []))
        self.answer()
        self.assertEqual(client.order, [1, 2, 3])
        self.answer()
        self.assertEqual(client.order, [1, 2, 3, 4, 5])

    def test_a_small_request_waits_behind_an_upload_without_stopping_the_reading(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(
            produce(1, batch(lfs(b"a"))), request(KafkaApi.METADATA, 12, 2), produce(3, batch(lfs(b"b")))
        )
        self.assertEqual((self.store.held("seal"), self.sent()), (2, []))
        self.let_go("seal")
        self.assertEqual((self.sent(), client.order), ([1, 2, 3], [1, 2, 3]))

    def test_a_large_relayed_frame_waits_behind_an_upload_unread(self) -> None:
        self.store.hold("seal")
        client = self.client()
        large = request(KafkaApi.JOIN_GROUP, 9, 2, bytes(3000 * KIB))
        client.send(produce(1, batch(lfs(b"a"))), large, request(KafkaApi.FETCH, 12, 3))
        self.assertEqual(self.sent(), [])
        self.assertTrue(client.wire.paused)
        self.assertGreater(client.wire.unread, 2500 * KIB)
        self.let_go("seal")
        self.assertEqual((self.sent(), client.order), ([1, 2, 3], [1, 2, 3]))
        self.assertEqual(self.broker.requests[1].frame, large)

    def test_a_large_frame_is_relayed_as_it_arrives(self) -> None:
        client = self.client()
        frame = request(KafkaApi.JOIN_GROUP, 9, 2, bytes(3000 * KIB))
        client.send(frame[: 1000 * KIB])
        self.assertEqual(self.broker.partial, frame[: 1000 * KIB])
        client.send(frame[1000 * KIB :])
        self.assertEqual(self.broker.requests[-1].frame, frame)

    def test_a_large_answer_is_relayed_as_it_arrives(self) -> None:
        self.cluster.held = True
        client = self.client()
        client.send(request(KafkaApi.FETCH, 12, 7))
        answer = (1000 * KIB + 4).to_bytes(4, "big") + (7).to_bytes(4, "big") + bytes(1000 * KIB)
        self.broker.wire.arrive(answer[: 500 * KIB])
        self.net.flow()
        self.assertEqual(client.data, answer[: 500 * KIB])
        self.broker.wire.arrive(answer[500 * KIB :])
        self.net.flow()
        self.assertEqual(client.data, answer)
        self.broker.pending.clear()

    def test_a_local_answer_does_not_break_into_one_that_streams(self) -> None:
        self.cluster.held = True
        client = self.client()
        self.know_topic()
        client.send(request(KafkaApi.FETCH, 12, 7))
        self.broker.wire.arrive(b"\0\0\0\x08\0\0\0\x07ab")
        client.send(produce(8, BAD))
        self.assertEqual(client.data, b"\0\0\0\x08\0\0\0\x07ab")
        self.broker.wire.arrive(b"cd")
        self.net.flow()
        self.assertEqual(client.order, [7, 8])
        self.broker.pending.clear()

    def test_at_most_16_requests_wait_the_rest_is_not_read(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(*[produce(each, batch(lfs(b"%d" % each))) for each in range(30)])
        self.assertEqual(self.store.held("seal"), 16)
        self.let_go("seal")
        self.assertEqual(client.order, list(range(30)))

    def test_a_failed_upload_lets_the_next_request_through(self) -> None:
        self.store.hold("seal")
        self.store.fail_next("seal", StoreUnavailable("S3 does not answer"))
        client = self.client()
        client.send(produce(1, batch(lfs(b"a"))), request(KafkaApi.FETCH, 12, 2))
        self.let_go("seal")
        self.assertEqual((self.sent(), client.order), ([2], [1, 2]))


class NoAnswerTests(RelayTestCase):
    """acks=0."""

    def test_it_never_leaves_an_answer(self) -> None:
        client = self.client()
        client.send(
            produce(1, batch(record(b"plain")), acks=0),
            produce(2, batch(lfs(b"blob")), acks=0),
            request(KafkaApi.FETCH, 12, 3),
        )
        self.assertEqual(client.order, [3])
        self.assert_published(b"blob")

    def test_answers_behind_it_do_not_wait_for_its_upload(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(produce(1, batch(lfs(b"blob")), acks=0), request(KafkaApi.FETCH, 12, 2))
        self.assertEqual(client.order, [])
        self.let_go("seal")
        self.assertEqual(client.order, [2])

    def test_an_error_closes_the_connection(self) -> None:
        client = self.client()
        client.send(produce(1, batch(lfs(b"bad", mark=b"no checksum")), acks=0))
        self.assertFalse(client.is_open)
        self.assert_nothing_published()
        self.assertEqual(self.metrics.of("kafka_closed"), [("invalid-checksum",)])
        (line,) = self.lines()
        self.assertIn("a-client", line)

    def test_other_partitions_are_published_before_that(self) -> None:
        client = self.client()
        client.send(produce(1, BAD, batch(lfs(b"good")), acks=0))
        self.assertFalse(client.is_open)
        self.assert_published(b"good", partition=1)

    def test_an_empty_one_passes(self) -> None:
        client = self.client()
        client.send(produce(1, acks=0), produce(2, acks=1))
        self.assertEqual(len(self.broker.requests), 2)
        self.assertEqual(client.order, [2])

    def test_what_was_received_is_published_though_the_client_has_gone(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(produce(1, batch(lfs(b"blob")), acks=0), produce(2, batch(record(b"plain")), acks=0))
        client.hang_up()
        self.let_go("seal")
        self.assertEqual([each.correlation_id for each in self.broker.requests], [1, 2])
        self.assert_published(b"blob")

"""A broker that goes away takes its client's connection with it, after what was answered."""

from __future__ import annotations

from lfsproxy.wire.apis import KafkaApi
from tests.relay.records import batch, lfs, produce, record, request
from tests.relay.rig import KIB, RelayTestCase


class BrokerGoneTests(RelayTestCase):
    def test_the_client_is_closed(self) -> None:
        client = self.client()
        self.broker.hang_up()
        self.net.flow()
        self.assertFalse(client.is_open)
        self.assertEqual(self.lines(), [])

    def test_answers_that_came_before_are_delivered(self) -> None:
        self.cluster.held = True
        client = self.client()
        client.wire.peer_reads = False
        client.send(request(KafkaApi.FETCH, 12, 1), request(KafkaApi.FETCH, 12, 2))
        self.broker.answer()
        self.broker.hang_up()
        self.net.flow()
        client.wire.peer_reads = True
        self.net.flow()
        self.assertEqual(client.order, [1])
        self.assertFalse(client.is_open)

    def test_a_client_that_does_not_read_is_cut_after_a_while(self) -> None:
        client = self.client()
        client.wire.peer_reads = False
        client.send(request(KafkaApi.FETCH, 12, 1))
        self.broker.hang_up()
        self.net.flow()
        self.pass_seconds(60)
        self.assertFalse(client.is_open)

    def test_uploads_are_cancelled_and_nothing_is_left(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(produce(1, batch(lfs(b"a"))), produce(2, batch(lfs(b"b"))))
        self.broker.hang_up()
        self.net.flow()
        self.assertFalse(client.is_open)
        self.assertEqual((self.store.open_uploads, self.blobs, self.budget.used), (0, [], 0))

    def test_within_a_request_that_is_relayed(self) -> None:
        client = self.client()
        client.send(request(KafkaApi.JOIN_GROUP, 9, 1, bytes(300 * KIB))[:-1])
        self.broker.hang_up()
        self.net.flow()
        self.assertFalse(client.is_open)

    def test_within_an_answer_that_is_relayed(self) -> None:
        self.cluster.held = True
        client = self.client()
        client.send(request(KafkaApi.FETCH, 12, 1))
        self.broker.wire.arrive(b"\0\0\0\x64\0\0\0\x01part")
        self.broker.hang_up()
        self.net.flow()
        self.assertFalse(client.is_open)
        self.broker.pending.clear()

    def test_while_it_does_not_read(self) -> None:
        client = self.client()
        self.broker.wire.peer_reads = False
        client.send(produce(1, batch(record(bytes(200 * KIB))), batch(record(bytes(200 * KIB)))))
        client.send(produce(2, batch(lfs(b"blob"))))
        self.broker.hang_up()
        self.net.flow()
        self.assertFalse(client.is_open)
        self.assertEqual(self.blobs, [])

    def test_a_broker_that_cannot_be_reached_turns_clients_away(self) -> None:
        self.cluster.reachable = False
        client = self.client()
        self.pass_seconds(2)
        self.assertFalse(client.is_open)
        self.assertEqual(self.metrics.of("kafka_closed"), [("broker_unreachable",)])
        self.assertEqual(len([line for line in self.lines() if "turned away" in line]), 1)


class BrokerFramingTests(RelayTestCase):
    """An answer that cannot be followed closes both connections at once, with one line."""

    def assert_closed(self, answer: bytes, why: str) -> None:
        self.cluster.held = True
        client = self.client()
        self.know_topic()
        client.send(produce(1, batch(lfs(b"blob"))))
        self.broker.wire.arrive(answer)
        self.net.flow()
        self.assertFalse(client.is_open)
        self.assertFalse(self.broker.is_open)
        self.assertEqual(len(self.relay.sessions), 0)
        lines = [line for line in self.lines() if "is closed" in line]
        self.assertEqual(len(lines), 1, lines)
        self.assertRegex(lines[0], why)
        self.assertEqual(self.metrics.of("orphan"), [("unknown_outcome",)])
        self.broker.pending.clear()

    def test_an_answer_to_another_request(self) -> None:
        self.assert_closed(b"\0\0\0\x04\0\0\0\x09", "the broker answered 9 where 1 was next")

    def test_a_length_that_is_none(self) -> None:
        self.assert_closed(b"\xff\xff\xff\xff\0\0\0\x01", "length is -1")

    def test_an_answer_that_does_not_decode(self) -> None:
        self.assert_closed(b"\0\0\0\x06\0\0\0\x01\xff\xff", "a field of|an array of|varint")

    def test_an_answer_that_was_not_asked(self) -> None:
        client = self.client()
        self.broker.wire.arrive(b"\0\0\0\x04\0\0\0\x09")
        self.net.flow()
        self.assertFalse(client.is_open)
        self.assertIn("was not asked", self.lines()[0])

    def test_tls_where_plaintext_was_sent(self) -> None:
        self.assert_closed(b"\x15\x03\x03\0\x02\x02\x0a" + bytes(9), "its port wants SSL")

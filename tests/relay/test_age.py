"""LFS_KAFKA_MAX_CONNECTION_AGE: old connections are closed where their clients do not notice."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.relay.age import HOLD_SECONDS, PATIENCE_SECONDS, Age, Step
from lfsproxy.relay.requests import MOST_WAITING
from lfsproxy.relay.session import LINGER_SECONDS
from lfsproxy.wire.apis import KafkaApi
from tests.relay.records import batch, lfs, produce, record, request
from tests.relay.rig import KIB, Client, RelayTestCase
from tests.relay.sasl import SignInTestCase, authenticate, handshake
from tests.relay.test_hole_rule import bad, good, plain

AGE = 100


def fetch(number: int, body: bytes = b"") -> bytes:
    return request(KafkaApi.FETCH, 12, number, body)


class AgeTests(SynchronousTestCase):
    def test_silence_is_nothing_new_since_the_last_look(self) -> None:
        age = Age(AGE)
        looks = [
            age.look(now, received, lambda: True) for now, received in ((99, 1), (100, 2), (101, 3), (102, 3))
        ]
        self.assertEqual(looks, [Step.STAY, Step.STAY, Step.STAY, Step.CLOSE])

    def test_a_young_one_is_not_looked_into(self) -> None:
        asked: list[int] = []
        age = Age(AGE)
        for now in (98, 99):
            age.look(now, 0, lambda: bool(asked.append(1)))  # type: ignore[func-returns-value]
        self.assertEqual(asked, [])

    def test_one_that_is_never_silent_is_held_now_and_then(self) -> None:
        age = Age(AGE)
        held = [now for now in range(160) if age.look(now, now, lambda: False) is Step.HOLD]
        again = int(HOLD_SECONDS + PATIENCE_SECONDS)
        first = AGE + int(PATIENCE_SECONDS)
        self.assertEqual(held, [first, first + again, first + 2 * again])


class YoungTests(RelayTestCase):
    overrides = {"kafka_max_idle": 0}

    def test_there_is_no_limit_by_default(self) -> None:
        client = self.client()
        self.pass_seconds(1440)
        self.assertTrue(client.is_open)


class OldTests(RelayTestCase):
    overrides = {"kafka_max_connection_age": AGE}

    def assert_moves(self, client: Client) -> None:
        self.assertFalse(client.is_open)
        self.assertIn(("max_connection_age",), self.metrics.of("kafka_closed"))

    def held_client(self) -> Client:
        """One whose broker answers only when it is told to, by ``reply``."""
        client = self.client()
        self.end = self.broker
        self.cluster.held = True
        return client

    def reply(self, count: int = 1) -> None:
        self.end.answer(count)
        self.net.flow()

    def test_an_idle_one_is_closed_when_it_is_old(self) -> None:
        client = self.client()
        client.send(fetch(1))
        self.pass_seconds(AGE - 2)
        self.assertTrue(client.is_open)
        self.pass_seconds(3)
        self.assert_moves(client)
        self.assertEqual((client.order, self.lines()), ([1], []))

    def test_an_upload_is_not_cut(self) -> None:
        client = self.client()
        self.pass_seconds(AGE - 2)
        self.store.hold("seal")
        client.send(produce(1, batch(lfs(b"blob"))))
        self.pass_seconds(60)
        self.assertTrue(client.is_open)
        self.let_go("seal")
        self.pass_seconds(2)
        self.assert_moves(client)
        self.assertEqual(client.code(1), 0)
        self.assert_published(b"blob")

    def test_a_request_that_still_comes_is_not_cut(self) -> None:
        client = self.client()
        self.pass_seconds(AGE - 2)
        frame = produce(1, batch(lfs(bytes(300 * KIB))))
        client.send(frame[: 100 * KIB])
        self.pass_seconds(20)
        self.assertTrue(client.is_open)
        client.send(frame[100 * KIB :])
        self.pass_seconds(20)
        self.assert_moves(client)
        self.assertEqual(client.code(1), 0)

    def test_an_answer_that_takes_minutes_is_waited_for(self) -> None:
        client = self.held_client()
        client.send(request(KafkaApi.JOIN_GROUP, 5, 1))
        self.pass_seconds(AGE + 300)
        self.assertTrue(client.is_open)
        self.reply()
        self.pass_seconds(2)
        self.assert_moves(client)
        self.assertEqual(client.order, [1])

    def test_while_that_is_waited_for_other_requests_are_soon_served(self) -> None:
        client = self.held_client()
        client.send(fetch(1))
        self.pass_seconds(AGE + PATIENCE_SECONDS + 1)
        client.send(fetch(2), fetch(3), fetch(4))
        forwarded = len(self.end.requests)
        self.assertLess(forwarded, 4)
        self.pass_seconds(HOLD_SECONDS)
        self.assertEqual([each.correlation_id for each in self.end.requests], [1, 2, 3, 4])
        self.reply(4)
        self.assertEqual(client.order, [1, 2, 3, 4])

    def poll(self, client: Client, first: int, seconds: int) -> int:
        """As a consumer does: a request each half second, asked behind the last answer. The last one."""
        for number in range(first, first + 2 * seconds):
            if not client.is_open:
                return number - 1
            client.send(fetch(number))
            self.net.advance(0.5)
            self.net.flow()
            self.reply()
        return first + 2 * seconds - 1

    def test_a_consumer_that_always_asks_is_closed_behind_an_answer(self) -> None:
        client = self.held_client()
        last = self.poll(client, 1, AGE + 5)
        self.assertTrue(client.is_open)
        last = self.poll(client, last + 1, 30)
        self.assert_moves(client)
        self.assertEqual(client.order, list(range(1, last + 1)))
        self.assertEqual(len(self.end.requests), last)

    def test_what_had_arrived_is_answered_before_and_what_comes_later_is_not_forwarded(self) -> None:
        client = self.client()
        self.pass_seconds(AGE - 1)
        self.store.hold("seal")
        client.send(produce(1, batch(lfs(b"one"))), produce(2, batch(lfs(b"two"))))
        self.pass_seconds(PATIENCE_SECONDS + 2)
        client.send(produce(3, batch(record(b"three"))), produce(4, batch(record(b"four"))))
        self.let_go("seal")
        self.pass_seconds(1)
        self.assert_moves(client)
        # The reading was waiting when it was held, so that one more request was taken.
        self.assertEqual(client.order, [1, 2, 3])
        self.assertEqual([each.correlation_id for each in self.cluster.produced], [1, 2, 3])

    def test_requests_that_had_arrived_but_were_not_read_are_answered_too(self) -> None:
        client = self.client()
        self.pass_seconds(AGE - 1)
        self.store.hold("seal")
        # More than wait for their turn at a time: the others stay in the buffer.
        many = range(1, 2 * MOST_WAITING)
        client.send(*(produce(number, batch(lfs(b"%d" % number))) for number in many))
        self.pass_seconds(PATIENCE_SECONDS + 2)
        client.send(produce(99, batch(record(b"late"))))
        self.let_go("seal")
        self.pass_seconds(1)
        self.assert_moves(client)
        self.assertEqual(client.order, list(many))
        self.assert_published(*(b"%d" % number for number in many))

    def test_bytes_in_the_socket_are_a_request_that_is_served_first(self) -> None:
        client = self.client()
        client.wire.getHandle()
        sockets = client.wire._sockets
        assert sockets is not None
        sockets[1].send(b"a request that the reactor has not read yet")
        self.pass_seconds(AGE + 5)
        self.assertTrue(client.is_open)
        sockets[0].recv(100)
        self.pass_seconds(1)
        self.assert_moves(client)

    def test_acks_0_is_only_closed_in_silence(self) -> None:
        client = self.client()
        for number in range(2 * AGE):
            client.send(produce(number, batch(record(b"%d" % number)), acks=0))
            self.pass_seconds(1)
        self.assertTrue(client.is_open)
        self.assertEqual(len(self.cluster.produced), 2 * AGE)
        self.pass_seconds(2)
        self.assert_moves(client)

    def test_an_open_hole_keeps_the_connection_until_it_is_filled(self) -> None:
        client = self.client()
        client.send(produce(1, bad(0)), produce(2, plain(1)))
        self.assertEqual([client.code(each) for each in (1, 2)], [87, 45])
        self.pass_seconds(3 * AGE)
        # Over a new connection the broker would have taken this one, and dropped the next as older.
        client.send(produce(3, plain(5, epoch=1)), produce(4, good(0, epoch=1)))
        self.assertEqual([client.code(each) for each in (3, 4)], [45, 0])
        self.assertTrue(client.is_open)
        self.pass_seconds(2)
        self.assert_moves(client)

    def test_a_hole_that_opens_while_it_is_held_keeps_it_too(self) -> None:
        client = self.held_client()
        client.send(fetch(1))
        self.pass_seconds(AGE + PATIENCE_SECONDS + 1)
        client.send(produce(2, bad(0)))
        self.reply()
        self.pass_seconds(3 * AGE)
        self.assertTrue(client.is_open)
        client.send(produce(3, good(0)))
        self.reply()
        self.pass_seconds(30)
        self.assert_moves(client)
        self.assertEqual(client.code(3), 0)

    def test_a_client_that_leaves_while_it_is_held(self) -> None:
        client = self.held_client()
        client.send(fetch(1))
        self.pass_seconds(AGE + PATIENCE_SECONDS + 1)
        client.hang_up()
        self.pass_seconds(HOLD_SECONDS)
        self.assertEqual(self.metrics.of("kafka_closed"), [])

    def test_a_broker_that_leaves_while_it_is_held(self) -> None:
        client = self.held_client()
        client.send(fetch(1))
        self.pass_seconds(AGE + PATIENCE_SECONDS + 1)
        self.end.hang_up()
        self.net.flow()
        self.assertFalse(client.is_open)
        self.assertEqual(self.metrics.of("kafka_closed"), [])

    def test_a_stop_while_it_is_held(self) -> None:
        client = self.held_client()
        client.send(fetch(1))
        self.pass_seconds(AGE + PATIENCE_SECONDS + 1)
        self.successResultOf(self.stop())
        self.assertFalse(client.is_open)
        self.end.pending.clear()


class LingerTests(RelayTestCase):
    """How a client's connection ends: our side first, so that nothing it has not read yet is lost."""

    overrides = {"kafka_max_connection_age": AGE}

    def test_what_comes_behind_the_end_is_dropped_and_resets_nothing(self) -> None:
        client = self.client()
        client.hangs_up_at_the_end = False
        self.pass_seconds(AGE + 1)
        self.assertEqual((client.has_ended, client.is_open), (True, True))
        client.send(produce(1, batch(record(b"late"))))
        self.assertEqual((client.is_open, client.wire.unread, self.cluster.produced), (True, 0, []))
        client.hang_up()
        self.assertFalse(client.is_open)

    def test_a_client_that_does_not_close_its_side_is_closed(self) -> None:
        client = self.client()
        client.hangs_up_at_the_end = False
        self.pass_seconds(AGE + 1)
        self.assertTrue(client.is_open)
        self.pass_seconds(LINGER_SECONDS)
        self.assertFalse(client.is_open)

    def test_a_drain_ends_with_our_side_too(self) -> None:
        client = self.client()
        client.hangs_up_at_the_end = False
        drained = self.relay.drain()
        self.net.flow()
        self.assertEqual((client.has_ended, client.is_open), (True, True))
        self.assertNoResult(drained)
        self.pass_seconds(LINGER_SECONDS)
        self.successResultOf(drained)

    def test_a_paused_connection_is_read_again_to_drop_what_comes(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.hangs_up_at_the_end = False
        client.send(produce(1, batch(lfs(b"one"))))
        self.relay.drain()
        client.send(bytes(900 * KIB))
        self.assertTrue(client.wire.paused)
        self.let_go("seal")
        self.assertEqual((client.order, client.has_ended, client.wire.unread), ([1], True, 0))


class SignInTests(SignInTestCase):
    overrides = {"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_max_connection_age": AGE}

    def test_a_client_within_its_sign_in_is_not_closed(self) -> None:
        client = self.client()
        client.send(handshake(1))
        self.pass_seconds(2 * AGE)
        self.assertTrue(client.is_open)
        client.send(authenticate(2))
        self.pass_seconds(2)
        self.assertFalse(client.is_open)
        self.assertEqual(client.order, [1, 2])

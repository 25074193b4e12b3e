"""Many questions on one connection: their answers in order, late, lost, wrong, too large; its end."""

from __future__ import annotations

import tracemalloc
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import BrokerUnavailable, SignInRefused
from lfsproxy.kafka.connection import IDLE_SECONDS, SILENCE_SECONDS, AnswerLost, AnswerTooLarge, Connection
from lfsproxy.kafka.messages import LIST_OFFSETS, METADATA, metadata_of, offset_of
from lfsproxy.kafka.pool import OPEN_SECONDS, Pool
from lfsproxy.kafka.upstream import Upstream
from lfsproxy.settings import Address, Settings
from lfsproxy.wire.apis import KafkaApi
from tests.kafka import acts as act
from tests.kafka.brokers import Asked, BrokerNet, Brokers, BrokerSide
from tests.relay.broker import Request
from tests.relay.sasl import SaslServer

ADDRESS = Address("10.0.0.1", 9091)
QUESTION = METADATA, metadata_of(None, create=False)


class PoolTestCase(SynchronousTestCase):
    overrides: dict[str, Any] = {}

    def setUp(self) -> None:
        self.brokers = Brokers()
        self.net = BrokerNet(self.brokers)
        self.upstream = Upstream(self.net, Settings(**{"kafka_brokers": (ADDRESS,), **self.overrides}))
        self.pool = Pool(self.net, self.upstream)
        self.addCleanup(self.check_nothing_is_left)

    def get(self, address: Address = ADDRESS) -> Deferred[Connection]:
        getting: Deferred[Connection] = Deferred.fromCoroutine(self.pool.get(address))
        self.net.flow()
        return getting

    def connect(self) -> Connection:
        return self.successResultOf(self.get())

    def check_nothing_is_left(self) -> None:
        stopped: Deferred[None] = Deferred.fromCoroutine(self.pool.stop())
        self.net.flow()
        self.successResultOf(stopped)
        self.assertEqual([wire for wire in self.net.wires if wire.open], [], "a connection is left open")
        self.assertEqual(self.net.getDelayedCalls(), [], "a delayed call is left")


class PasswordFileTests(PoolTestCase):
    overrides = {
        "kafka_security_protocol": "SASL_PLAINTEXT",
        "kafka_sasl_mechanism": "PLAIN",
        "kafka_sasl_username": "proxy",
        "kafka_sasl_password_file": "/nowhere/password",
    }

    def test_a_file_that_goes_while_a_connection_is_made_makes_the_broker_unavailable(self) -> None:
        async def unchecked(address: Any) -> None:
            """It was there when it was looked at."""

        self.patch(self.upstream.identity, "check", unchecked)
        self.assertIn("/nowhere", str(self.failureResultOf(self.get(), BrokerUnavailable).value))


class ConnectionTests(PoolTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.connection = self.connect()
        self.held: list[tuple[BrokerSide, Asked]] = []

    def ask(self, *question: Any, **more: Any) -> Deferred[Any]:
        asking: Deferred[Any] = Deferred.fromCoroutine(self.connection.ask(*(question or QUESTION), **more))
        self.net.flow()
        return asking

    def hold(self, count: int = 1) -> None:
        """Hold the answers to the next questions."""
        for _ in range(count):
            self.brokers.next(KafkaApi.METADATA, lambda side, asked: self.held.append((side, asked)))

    def let_go(self) -> None:
        side, asked = self.held.pop(0)
        side.say(self.brokers.answer(asked))
        self.net.flow()

    def test_answers_go_to_their_questions(self) -> None:
        self.hold()
        first = self.ask()
        self.assertNoResult(first)
        self.let_go()
        self.assertEqual(len(self.successResultOf(first).brokers), 2)
        second = self.ask(LIST_OFFSETS, offset_of("demo", 0, -1))
        self.assertEqual(self.successResultOf(second).topics[0].partitions[0].offset, 0)

    def test_one_that_overtakes_another_ends_it(self) -> None:
        self.hold()
        first, second = self.ask(), self.ask()
        self.failureResultOf(first, AnswerLost)
        self.failureResultOf(second, AnswerLost)

    def test_any_number_may_be_on_their_way(self) -> None:
        self.hold(100)
        asking = [self.ask() for _ in range(100)]
        for each in asking:
            self.assertNoResult(each)
            self.let_go()
            self.successResultOf(each)

    def test_what_ends_it_ends_all_questions(self) -> None:
        for end in (act.gone, act.half_said, act.other_question):
            self.connection = self.connect()
            self.brokers.next(KafkaApi.METADATA, end)
            self.hold()
            first, second = self.ask(), self.ask()
            for each in (first, second):
                self.failureResultOf(each, AnswerLost)
            self.assertFalse(self.connection.is_open)
            self.failureResultOf(self.ask(), AnswerLost)
            self.held.clear()

    def test_an_answer_that_does_not_decode(self) -> None:
        self.brokers.next(KafkaApi.METADATA, act.garbage)
        self.assertIn("does not decode", str(self.failureResultOf(self.ask(), BrokerUnavailable).value))
        self.assertFalse(self.connection.is_open)

    def test_an_answer_that_comes_twice(self) -> None:
        self.brokers.next(KafkaApi.METADATA, act.twice)
        self.successResultOf(self.ask())
        self.assertFalse(self.connection.is_open)

    def test_two_gigabytes_are_not_taken(self) -> None:
        self.brokers.next(KafkaApi.METADATA, act.two_gigabytes)
        self.hold()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        first, second = self.ask(), self.ask()
        self.failureResultOf(first, AnswerTooLarge)
        self.failureResultOf(second, AnswerLost)
        self.assertLess(tracemalloc.get_traced_memory()[1], 1024 * 1024)

    def test_an_asker_says_how_much_it_takes(self) -> None:
        self.failureResultOf(self.ask(*QUESTION, most=20), AnswerTooLarge)

    def test_silence_ends_it(self) -> None:
        self.hold(2)
        first = self.ask()
        self.net.pass_seconds(SILENCE_SECONDS - 0.5)
        second = self.ask()
        self.assertNoResult(first)
        self.net.pass_seconds(0.5)
        self.failureResultOf(first, AnswerLost)
        self.failureResultOf(second, AnswerLost)
        self.assertTrue(self.upstream.bootstrap.is_suspect(ADDRESS))

    def test_an_answer_that_comes_slowly_is_no_silence(self) -> None:
        self.hold()
        asking = self.ask()
        side, asked = self.held.pop()
        data = self.brokers.answer(asked)
        frame = len(data).to_bytes(4, "big") + data
        side.wire.arrive(frame[:8])
        for place in range(8, len(frame)):
            self.assertNoResult(asking)
            side.wire.arrive(frame[place : place + 1])
            self.net.pass_seconds(1, 1.0)
        self.successResultOf(asking)

    def test_an_asker_may_stop_waiting(self) -> None:
        self.hold(2)
        first, second = self.ask(), self.ask()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertNoResult(second)
        self.let_go()
        self.let_go()
        self.successResultOf(second)

    def test_the_answer_that_nobody_waits_for_is_dropped(self) -> None:
        self.hold()
        first = self.ask()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.let_go()
        self.successResultOf(self.ask())

    def test_a_broker_that_wants_quiet_has_it(self) -> None:
        self.connection.throttle(1000)
        asking = self.ask()
        self.net.pass_seconds(0.75)
        self.assertNoResult(asking)
        self.net.pass_seconds(0.5)
        self.successResultOf(asking)

    def test_the_end_comes_to_those_who_are_quiet_too(self) -> None:
        self.connection.throttle(10_000)
        asking = self.ask()
        self.brokers.open[0].hang_up()
        self.net.flow()
        self.failureResultOf(asking, AnswerLost)

    def test_a_retired_one_gives_the_answers_that_it_owes(self) -> None:
        self.hold()
        asking = self.ask()
        self.connection.retire()
        self.failureResultOf(self.ask(), AnswerLost)
        self.assertEqual(len(self.brokers.open), 1)
        self.let_go()
        self.successResultOf(asking)
        self.assertEqual(len(self.brokers.open), 0)

    def test_one_that_nobody_needs_is_closed(self) -> None:
        self.net.pass_seconds(IDLE_SECONDS - 5)
        self.successResultOf(self.ask())
        self.net.pass_seconds(IDLE_SECONDS - 1)
        self.assertTrue(self.connection.is_open)
        self.net.pass_seconds(2)
        self.assertFalse(self.connection.is_open)
        self.assertEqual(self.brokers.open, [])

    def test_an_api_that_the_broker_does_not_speak(self) -> None:
        self.connection.ranges = {**self.connection.ranges, KafkaApi.METADATA: (100, 101)}
        self.assertIn("Metadata", str(self.failureResultOf(self.ask(), BrokerUnavailable).value))
        self.connection.ranges = {}
        self.failureResultOf(self.ask(), BrokerUnavailable)


class PoolTests(PoolTestCase):
    def test_one_connection_is_shared(self) -> None:
        getting = [self.get() for _ in range(5)]
        self.assertEqual(len({self.successResultOf(each) for each in getting}), 1)
        self.assertEqual(len(self.brokers.ends), 1)

    def test_who_asks_meanwhile_waits_for_the_same(self) -> None:
        self.brokers.next(KafkaApi.API_VERSIONS, act.silent)
        getting = [self.get() for _ in range(3)]
        getting[0].cancel()
        self.failureResultOf(getting[0], CancelledError)
        self.net.pass_seconds(SILENCE_SECONDS)
        for each in getting[1:]:
            self.failureResultOf(each, BrokerUnavailable)
        self.assertEqual(len(self.brokers.ends), 1)

    def test_a_lost_one_is_replaced(self) -> None:
        first = self.connect()
        self.brokers.open[0].hang_up()
        self.net.flow()
        self.assertIsNone(self.pool.ready(ADDRESS))
        self.assertIsNot(self.connect(), first)

    def test_nobody_listens(self) -> None:
        self.brokers.down = {9091}
        getting = self.get()
        self.net.pass_seconds(1)
        problem = self.failureResultOf(getting, BrokerUnavailable)
        self.assertIn("connection refused", str(problem.value))

    def test_every_way_to_fail_leaves_nothing(self) -> None:
        for end in (act.gone, act.half_said, act.garbage, act.other_question, act.two_gigabytes):
            self.brokers.next(KafkaApi.API_VERSIONS, end)
            self.failureResultOf(self.get(), BrokerUnavailable)
            self.assertEqual(self.brokers.open, [])
        self.connect()

    def test_a_host_that_drops_everything(self) -> None:
        self.net.answers_connects = False
        getting = self.get()
        self.net.pass_seconds(OPEN_SECONDS)
        self.assertIn("not connected to within", str(self.failureResultOf(getting, BrokerUnavailable).value))
        self.assertTrue(self.upstream.bootstrap.is_suspect(ADDRESS))

    def test_a_stop_while_it_connects(self) -> None:
        self.brokers.next(KafkaApi.API_VERSIONS, act.silent)
        getting = self.get()
        self.check_nothing_is_left()
        self.failureResultOf(getting, CancelledError)
        self.failureResultOf(self.get(), BrokerUnavailable)


def _request_of(asked: Asked) -> Request:
    end = 14 + int.from_bytes(asked.frame[12:14], "big")
    return Request(
        asked.api,
        asked.version,
        asked.correlation_id,
        asked.frame[14:end],
        asked.frame[end:],
        asked.frame,
    )


class SignInTests(PoolTestCase):
    overrides = {
        "kafka_security_protocol": "SASL_PLAINTEXT",
        "kafka_sasl_mechanism": "PLAIN",
        "kafka_sasl_username": "proxy",
        "kafka_sasl_password": "hunter2",
    }

    def setUp(self) -> None:
        super().setUp()
        self.sasl = SaslServer()

        def answer(side: BrokerSide, asked: Asked) -> None:
            side.say(asked.correlation_id.to_bytes(4, "big") + self.sasl(_request_of(asked)))

        for api in (KafkaApi.SASL_HANDSHAKE, KafkaApi.SASL_AUTHENTICATE):
            self.brokers.next(api, *[answer] * 20)

    def test_a_connection_is_signed_in_before_anything_is_asked(self) -> None:
        self.connect()
        self.assertEqual(
            [one.api for one in self.brokers.asked],
            [KafkaApi.SASL_HANDSHAKE, KafkaApi.SASL_AUTHENTICATE, KafkaApi.API_VERSIONS],
        )

    def test_a_refused_sign_in_is_told_and_not_tried_again_at_once(self) -> None:
        self.sasl.password = b"other"
        for _ in range(3):
            problem = self.failureResultOf(self.get(), SignInRefused)
            self.assertIn("refuses the proxy's sign-in by PLAIN as 'proxy'", str(problem.value))
        self.assertEqual(self.brokers.count(KafkaApi.SASL_AUTHENTICATE), 1)

    def test_a_new_connection_takes_over_before_the_sign_in_expires(self) -> None:
        self.sasl.lifetime_ms = 10_000
        first = self.connect()
        self.net.pass_seconds(8)
        self.assertIs(self.connect(), first)
        self.net.pass_seconds(1)
        second = self.connect()
        self.assertIsNot(second, first)
        self.assertEqual(len(self.brokers.open), 1)

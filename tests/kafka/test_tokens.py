"""The token of the sign-in: who waits for it, when it is renewed, and what becomes of every trouble."""

from __future__ import annotations

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import BrokerUnavailable, SettingError, SignInRefused
from lfsproxy.kafka.tokens import FIRST_SECONDS, Tokens
from lfsproxy.wire.oauth import Token, TokenServer
from lfsproxy.wire.sasl import REFUSED_SECONDS

REFUSED = SignInRefused("the client is refused")
GONE = BrokerUnavailable("the server is gone")


@attrs.define(eq=False)
class Client:
    """A token client whose answers the test gives."""

    server: TokenServer = TokenServer("http://sso.example", "c", "")
    asked: list[tuple[str, Deferred[Token]]] = attrs.Factory(list)
    now: str | SettingError = "one"

    def secret(self) -> str:
        if isinstance(self.now, SettingError):
            raise self.now
        return self.now

    async def fetch(self, secret: str) -> Token:
        answer: Deferred[Token] = Deferred()
        self.asked.append((secret, answer))
        return await answer


class TokensCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.client = Client()
        self.tokens = Tokens(self.clock, self.client, lambda: 0.5)

    def current(self) -> Deferred[str]:
        asking = Deferred.fromCoroutine(self.tokens.current())
        self.clock.advance(0)
        return asking

    def ask(self) -> None:
        """Somebody asks, whatever comes of it."""
        self.current().addErrback(lambda _: None)

    def answer(self, answer: Token | Exception) -> None:
        """The last question is answered."""
        waiting = self.client.asked[-1][1]
        if isinstance(answer, Token):
            waiting.callback(answer)
        else:
            waiting.errback(answer)
        self.clock.advance(0)

    def begin(self, lifetime: float = 10) -> None:
        """There is a first token."""
        asking = self.current()
        self.answer(Token("first", lifetime))
        self.assertEqual(self.successResultOf(asking), "first")

    def assert_asked(self, count: int) -> None:
        self.assertEqual(len(self.client.asked), count)


class FirstTests(TokensCase):
    def test_nothing_is_asked_before_somebody_signs_in(self) -> None:
        self.clock.advance(100)
        self.assert_asked(0)

    def test_all_wait_for_one_question(self) -> None:
        waiting = [self.current() for _ in range(100)]
        self.assert_asked(1)
        self.answer(Token("first", 10))
        self.clock.advance(0)
        self.assertEqual({self.successResultOf(each) for each in waiting}, {"first"})

    def test_for_a_while_only(self) -> None:
        waiting = self.current()
        self.clock.advance(FIRST_SECONDS)
        error = self.failureResultOf(waiting, BrokerUnavailable)
        self.assertIn("has not answered within 3 s", str(error.value))
        self.answer(Token("late", 10))
        self.assertEqual(self.successResultOf(self.current()), "late")

    def test_and_are_told_why_there_is_none(self) -> None:
        for error in (REFUSED, GONE):
            self.setUp()
            waiting = self.current()
            self.answer(error)
            for asking in (waiting, self.current()):
                told = self.failureResultOf(asking, type(error)).value
                self.assertEqual((str(told), told is error), (str(error), False))
            self.assert_asked(1)

    def test_a_secret_that_cannot_be_read(self) -> None:
        self.client.now = SettingError("no such file")
        self.assertIn("no such file", str(self.failureResultOf(self.current(), BrokerUnavailable).value))
        self.client.now = "one"
        self.clock.advance(1)
        self.answer(Token("first", 10))
        self.assertEqual(self.successResultOf(self.current()), "first")

    def test_one_who_leaves_takes_nobody_along(self) -> None:
        leaving, staying = self.current(), self.current()
        leaving.cancel()
        self.failureResultOf(leaving, CancelledError)
        self.answer(Token("first", 10))
        self.assertEqual(self.successResultOf(staying), "first")


class RenewalTests(TokensCase):
    def test_it_is_renewed_before_it_expires_and_nobody_waits(self) -> None:
        self.begin(10)
        for name in ("second", "third"):
            before = len(self.client.asked)
            self.clock.advance(8.24)
            self.assert_asked(before)
            self.clock.advance(0.01)
            self.assert_asked(before + 1)
            self.assertNotEqual(self.successResultOf(self.current()), name)
            self.answer(Token(name, 10))
            self.assertEqual(self.successResultOf(self.current()), name)

    def test_its_life_counts_from_the_question(self) -> None:
        asking = self.current()
        self.clock.advance(2)
        self.answer(Token("first", 10))
        self.successResultOf(asking)
        self.clock.advance(6.25)
        self.assert_asked(2)
        self.clock.advance(1.75)
        self.assertNoResult(self.current())

    def test_one_that_is_over_when_it_comes_is_asked_for_again(self) -> None:
        self.ask()
        self.clock.advance(2.5)
        self.answer(Token("short", 2))
        self.assert_asked(2)

    def test_the_secret_is_read_each_time(self) -> None:
        self.begin(10)
        self.client.now = "two"
        self.clock.advance(8.25)
        self.assertEqual([secret for secret, _ in self.client.asked], ["one", "two"])

    def test_one_that_cannot_be_renewed_is_used_to_its_end(self) -> None:
        self.begin(10)
        with capturedLogs() as events:
            self.clock.advance(8.25)
            self.answer(GONE)
            self.assertEqual(self.tokens.notes(), [f"the proxy's token cannot be renewed: {GONE}"])
            self.clock.advance(1)
            self.answer(GONE)
            self.assertEqual(self.successResultOf(self.current()), "first")
            self.clock.advance(0.75)
            self.assertEqual(str(self.failureResultOf(self.current(), BrokerUnavailable).value), str(GONE))
            self.assertEqual(self.tokens.notes(), [])
            self.clock.advance(1.25)
            self.answer(Token("second", 10))
        self.assertEqual(self.successResultOf(self.current()), "second")
        self.assertEqual(self.tokens.notes(), [])
        self.assertEqual(
            [formatEvent(event) for event in events],
            [
                f"the proxy's token cannot be renewed, and is used while it lives: {GONE}",
                "the proxy's token is renewed again",
            ],
        )

    def test_a_server_that_is_gone_is_asked_less_and_less_often(self) -> None:
        self.ask()
        self.answer(GONE)
        waits = []
        for _ in range(7):
            before, begun = len(self.client.asked), self.clock.seconds()
            while len(self.client.asked) == before:
                self.clock.advance(0.5)
            waits.append(self.clock.seconds() - begun)
            self.answer(GONE)
        self.assertEqual(waits, [1, 2, 4, 8, 16, 30, 30])

    def test_a_refused_client_is_not_shown_again_and_again(self) -> None:
        self.begin(10)
        self.clock.advance(8.25)
        self.answer(REFUSED)
        for _ in range(int(REFUSED_SECONDS) - 1):
            self.clock.advance(1)
        self.assert_asked(2)
        self.clock.advance(1)
        self.assert_asked(3)

    def test_a_new_secret_is_tried_at_once(self) -> None:
        self.ask()
        self.answer(REFUSED)
        self.clock.advance(5)
        self.client.now = "two"
        self.clock.advance(1)
        self.assertEqual(self.client.asked[-1][0], "two")

    def test_one_that_a_broker_refuses_is_renewed_but_not_in_a_loop(self) -> None:
        self.begin(3600)
        self.tokens.refused("first")
        self.tokens.refused("another")
        self.assert_asked(1)
        self.clock.advance(REFUSED_SECONDS)
        self.tokens.refused("another")
        self.assert_asked(1)
        self.tokens.refused("first")
        self.tokens.refused("first")
        self.assert_asked(2)

    def test_after_a_long_sleep_of_the_machine(self) -> None:
        self.begin(10)
        self.clock.rightNow += 1000
        waiting = Deferred.fromCoroutine(self.tokens.current())
        self.assert_asked(2)
        self.answer(Token("second", 10))
        self.assertEqual(self.successResultOf(waiting), "second")
        self.assert_asked(2)

    def set_back(self) -> None:
        """Somebody sets the clock back, by an hour."""
        self.clock.rightNow -= 3600

    def test_a_clock_that_was_set_back_makes_no_token_good_for_longer(self) -> None:
        self.begin(10)
        self.set_back()
        waiting = self.current()
        self.assert_asked(2)
        self.answer(Token("second", 10))
        self.assertEqual(self.successResultOf(waiting), "second")
        self.clock.advance(8.25)
        self.assert_asked(3)

    def test_nor_one_that_a_broker_refuses(self) -> None:
        self.begin(3600)
        self.set_back()
        self.tokens.refused("first")
        self.assert_asked(2)

    def test_nor_trouble_last_for_longer(self) -> None:
        for error in (GONE, REFUSED):
            self.setUp()
            self.ask()
            self.answer(error)
            self.set_back()
            self.ask()
            self.assert_asked(2)
            self.answer(Token("first", 10))
            self.assertEqual(self.successResultOf(self.current()), "first")

    def test_what_nobody_thought_of_is_tried_again_too(self) -> None:
        self.ask()
        self.answer(GONE)
        self.clock.advance(1)
        self.answer(ValueError("on purpose"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertIn("on purpose", str(self.failureResultOf(self.current(), BrokerUnavailable).value))
        self.clock.advance(2)
        self.answer(Token("first", 10))
        self.assertEqual(self.successResultOf(self.current()), "first")

    def test_a_clock_that_is_off_is_told_once(self) -> None:
        off = "this machine's clock is 3600 s behind the token server's"
        with capturedLogs() as events:
            self.current()
            self.answer(Token("first", 10, off))
            self.clock.advance(8.25)
            self.answer(Token("second", 10, off))
        self.assertEqual((self.tokens.clock_trouble, self.tokens.notes()), (off, [off]))
        self.assertEqual(len(events), 1)
        self.assertIn(f"sso.example (LFS_KAFKA_OAUTH_TOKEN_URL): {off}", str(formatEvent(events[0])))


class StopTests(TokensCase):
    def test_a_stop_ends_the_question(self) -> None:
        waiting = self.current()
        self.tokens.stop()
        self.clock.advance(0)
        self.failureResultOf(waiting, BrokerUnavailable)
        self.assertTrue(self.client.asked[0][1].called)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_and_leaves_no_timer(self) -> None:
        self.begin(10)
        self.tokens.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.successResultOf(self.current()), "first")

"""The small parts of a session by themselves: works, conditions, and signing in again."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.kafka.identity import Ask
from lfsproxy.relay.forwarding import Forwarding
from lfsproxy.relay.order import Order
from lfsproxy.relay.signin import SignInAgain
from lfsproxy.relay.waiting import Condition
from lfsproxy.relay.works import Works


class WorksTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ended: list[str] = []
        self.left: list[bool] = []
        self.works = Works(self.guard, lambda: self.left.append(self.works.any_left))

    async def guard(self, steps: Coroutine[Any, Any, None]) -> None:
        try:
            await steps
        except CancelledError:
            self.ended.append("cancelled")

    def work(self, is_for_client: bool = True) -> Deferred[None]:
        waits: Deferred[None] = Deferred()

        async def steps() -> None:
            await waits
            self.ended.append("done")

        self.works.spawn(steps(), is_for_client)
        return waits

    def test_one_that_ends_is_told(self) -> None:
        first, second = self.work(), self.work()
        self.assertTrue(self.works.any_left)
        second.callback(None)
        first.callback(None)
        self.assertEqual(
            (self.ended, self.left, self.works.any_left), (["done", "done"], [True, False], False)
        )

    def test_those_for_the_client_are_given_up_without_it(self) -> None:
        self.work()
        stays = self.work(is_for_client=False)
        self.works.cancel_for_client()
        self.assertEqual(self.ended, ["cancelled"])
        stays.callback(None)
        self.assertEqual(self.ended, ["cancelled", "done"])

    def test_all_are_given_up_in_the_end(self) -> None:
        self.work()
        self.work(is_for_client=False)
        self.works.cancel()
        self.assertEqual((self.ended, self.works.any_left), (["cancelled"] * 2, False))


class ConditionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.condition = Condition(self.clock)
        self.is_so = False

    def wait(self, seconds: float | None = None) -> Deferred[None]:
        return Deferred.fromCoroutine(self.condition.until(lambda: self.is_so, seconds))

    def test_what_is_so_is_not_waited_for(self) -> None:
        self.is_so = True
        self.successResultOf(self.wait())

    def test_it_is_looked_at_when_something_has_changed(self) -> None:
        waiting = self.wait()
        self.condition.changed()
        self.clock.advance(0)
        self.assertNoResult(waiting)
        self.is_so = True
        self.condition.changed()
        self.condition.changed()
        self.assertNoResult(waiting)
        self.clock.advance(0)
        self.successResultOf(waiting)
        self.condition.changed()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_it_is_not_waited_for_longer_than_told(self) -> None:
        waiting = self.wait(60.0)
        self.clock.advance(59)
        self.assertNoResult(waiting)
        self.clock.advance(1)
        self.successResultOf(waiting)


class SignInAgainTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.lifetimes: list[float | None] = []
        self.attempts = 0

        async def guard(steps: Coroutine[Any, Any, None]) -> None:
            await steps

        works = Works(guard, lambda: None)
        self.again = SignInAgain(self.clock, Forwarding(self.clock, Order()), works)

    def begin(self, seconds: float | None) -> None:
        async def sign_in(ask: Ask) -> float | None:
            self.attempts += 1
            return self.lifetimes.pop(0)

        def begin_to_sign_in(ask: Ask) -> Awaitable[float | None]:
            return sign_in(ask)

        self.again.begin(begin_to_sign_in, seconds)

    def test_each_time_when_the_last_one_is_about_to_expire(self) -> None:
        self.lifetimes = [20.0, None]
        self.begin(10.0)
        for seconds, attempts in ((9, 0), (1, 1), (19, 1), (1, 2), (1000, 2)):
            self.clock.advance(seconds)
            self.assertEqual(self.attempts, attempts)

    def test_not_where_a_sign_in_lasts(self) -> None:
        self.begin(None)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_not_after_the_session(self) -> None:
        self.begin(10.0)
        self.again.stop()
        self.again.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

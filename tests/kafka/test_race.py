"""Several are tried side by side, one a little after the other: who wins, and what becomes of the rest."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import BrokerUnavailable, SignInRefused
from lfsproxy.kafka.race import STAGGER_SECONDS, Race


class Attempts:
    """Attempts that the test decides. ``begun`` has their targets in order, ``cancelled`` those given up."""

    def __init__(self, targets: str) -> None:
        self.clock = Clock()
        self.begun: list[str] = []
        self.cancelled: list[str] = []
        self.slow: list[str] = []
        self.waiting: dict[str, Deferred[str]] = {}
        self.race: Race[str, str] = Race(self.clock, targets, self.attempt, self.slow.append)

    async def attempt(self, target: str) -> str:
        self.begun.append(target)
        self.waiting[target] = Deferred(lambda _: self.cancelled.append(target))
        return await self.waiting[target]

    def fail(self, target: str, error: Exception | None = None) -> None:
        self.waiting[target].errback(error or BrokerUnavailable(f"no {target}"))

    def succeed(self, target: str) -> None:
        self.waiting[target].callback(target)


class RaceTests(SynchronousTestCase):
    def test_the_next_one_begins_after_a_while(self) -> None:
        attempts = Attempts("abc")
        self.assertEqual(attempts.begun, ["a"])
        attempts.clock.advance(STAGGER_SECONDS)
        attempts.clock.advance(STAGGER_SECONDS)
        self.assertEqual(attempts.begun, ["a", "b", "c"])
        attempts.succeed("b")
        self.assertEqual(self.successResultOf(attempts.race.result), "b")
        self.assertEqual((attempts.cancelled, attempts.slow), (["a", "c"], ["a"]))

    def test_the_next_one_begins_at_once_when_one_fails(self) -> None:
        attempts = Attempts("ab")
        attempts.fail("a")
        self.assertEqual(attempts.begun, ["a", "b"])
        attempts.succeed("b")
        self.assertEqual(self.successResultOf(attempts.race.result), "b")
        self.assertEqual((attempts.cancelled, attempts.slow), ([], []))

    def test_when_all_have_failed_each_says_why(self) -> None:
        attempts = Attempts("ba")
        attempts.fail("b")
        attempts.fail("a")
        problem = self.failureResultOf(attempts.race.result, BrokerUnavailable)
        self.assertEqual(str(problem.value), "no a; no b")

    def test_there_is_nobody_to_ask(self) -> None:
        self.failureResultOf(Attempts("").race.result, BrokerUnavailable)

    def test_a_refused_sign_in_ends_it(self) -> None:
        attempts = Attempts("abc")
        attempts.clock.advance(STAGGER_SECONDS)
        attempts.fail("a", SignInRefused("wrong password"))
        self.failureResultOf(attempts.race.result, SignInRefused)
        self.assertEqual((attempts.begun, attempts.cancelled), (["a", "b"], ["b"]))

    def test_what_is_not_foreseen_ends_it(self) -> None:
        attempts = Attempts("ab")
        attempts.fail("a", ZeroDivisionError())
        self.failureResultOf(attempts.race.result, ZeroDivisionError)

    def test_who_waits_no_more_gives_up_all(self) -> None:
        attempts = Attempts("abc")
        attempts.clock.advance(STAGGER_SECONDS)
        attempts.race.result.addErrback(lambda failure: None)
        attempts.race.result.cancel()
        self.assertEqual(attempts.cancelled, ["a", "b"])

    @given(st.lists(st.sampled_from(["pass", *[f"{end}{who}" for end in "sf" for who in "abc"]]), max_size=8))
    def test_it_ends_once_and_leaves_nothing(self, steps: list[str]) -> None:
        attempts = Attempts("abc")
        ends: list[Any] = []
        attempts.race.result.addBoth(ends.append)
        for step in steps:
            waiting = attempts.waiting.get(step[1:])
            if step == "pass":
                attempts.clock.advance(STAGGER_SECONDS)
            elif waiting is not None and not waiting.called:
                (attempts.succeed if step[0] == "s" else attempts.fail)(step[1:])
        if not ends:
            attempts.race.result.cancel()
        self.assertEqual(len(ends), 1)
        self.assertEqual(attempts.clock.getDelayedCalls(), [])
        self.assertTrue(all(each.called for each in attempts.waiting.values()))

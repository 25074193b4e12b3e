"""Long work, a few steps at a time."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.budget import MemoryBudget
from lfsproxy.claimcheck import ClaimCheck
from lfsproxy.relay.produce.shared import TOLD_AT_ONCE, Shared
from lfsproxy.relay.turns import Turns
from lfsproxy.settings import Settings
from lfsproxy.testing import MemoryBlobStore, MemoryMetrics


class TurnsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.done = ""

    def work(self, name: str, turns: Turns, count: int, seconds: float = 0.0) -> Deferred[None]:
        """Begin so many steps, each of which takes so long."""

        async def steps() -> None:
            for _ in range(count):
                self.done += name
                self.clock.rightNow += seconds
                await turns.step()

        return Deferred.fromCoroutine(steps())

    def test_a_turn_ends_after_its_steps(self) -> None:
        works = [self.work(name, Turns(self.clock, 3), 7) for name in "ab"]
        self.assertEqual(self.done, "aaabbb")
        self.clock.advance(0)
        self.assertEqual(self.done, "aaabbbaaabbbab")
        for work in works:
            self.successResultOf(work)

    def test_a_turn_ends_when_it_has_taken_its_seconds(self) -> None:
        for name in "ab":
            self.work(name, Turns(self.clock, 100, 0.02), 5, seconds=0.015)
        self.assertEqual(self.done, "aabb")
        self.clock.advance(0)
        self.assertEqual(self.done, "aabbaabbab")

    def test_time_spent_waiting_is_not_counted(self) -> None:
        turns = Turns(self.clock, 100, 0.02)
        self.clock.advance(1)
        turns.begin()
        self.work("a", turns, 10, seconds=0.015)
        self.assertEqual(self.done, "aa")


class SharedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        settings, metrics = Settings(), MemoryMetrics()
        claims = ClaimCheck(MemoryBlobStore(), metrics, cast(Any, self.clock))
        self.shared = Shared(
            self.clock, settings, claims, MemoryBudget(self.clock, 1 << 26, 1 << 20, 30.0), metrics
        )

    def test_very_many_are_told_some_at_a_time(self) -> None:
        # Each has its line in the log, and others are not to wait for them all.
        told: list[int] = []
        claims = list(range(1000))
        self.shared.tell(claims, told.append)
        self.assertEqual(told, claims[:TOLD_AT_ONCE])
        self.clock.advance(0)
        self.assertEqual(told, claims)
        self.assertEqual(self.shared.clean_ups, 0)

    def test_a_stop_waits_for_clean_ups(self) -> None:
        gone: Deferred[None] = Deferred()

        async def remove() -> None:
            await gone

        self.shared.clean_up(remove())
        over = Deferred.fromCoroutine(self.shared.cleaned_up(5.0))
        self.assertNoResult(over)
        gone.callback(None)
        self.successResultOf(over)
        self.assertEqual(self.shared.clean_ups, 0)

    def test_a_stop_does_not_wait_for_them_for_ever(self) -> None:
        gone: Deferred[None] = Deferred()

        async def remove() -> None:
            await gone

        self.shared.clean_up(remove())
        over = Deferred.fromCoroutine(self.shared.cleaned_up(5.0))
        self.clock.advance(5.0)
        self.successResultOf(over)
        gone.callback(None)

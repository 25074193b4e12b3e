"""Work that several wait for."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.shared import Shared


class SharedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.running: dict[str, list[Deferred[int]]] = {}
        self.shared = Shared(self.clock, self.work)

    async def work(self, key: str) -> int:
        running: Deferred[int] = Deferred()
        self.running.setdefault(key, []).append(running)
        return await running

    def test_it_is_done_once_for_all(self) -> None:
        waiting = [self.shared.get("a") for _ in range(3)]
        self.assertEqual(len(self.running["a"]), 1)
        self.running["a"][0].callback(7)
        self.clock.advance(0)
        self.assertEqual([self.successResultOf(each) for each in waiting], [7, 7, 7])

    def test_what_is_wanted_afterwards_is_done_anew(self) -> None:
        for result in (1, 2):
            waiting = self.shared.get("a")
            self.running["a"][-1].callback(result)
            self.clock.advance(0)
            self.assertEqual(self.successResultOf(waiting), result)

    def test_each_is_told_of_a_failure(self) -> None:
        waiting = [self.shared.get("a") for _ in range(2)]
        self.running["a"][0].errback(ZeroDivisionError())
        self.clock.advance(0)
        for each in waiting:
            self.failureResultOf(each, ZeroDivisionError)

    def test_one_that_stops_waiting_does_not_end_it(self) -> None:
        first, second = self.shared.get("a"), self.shared.get("a")
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.running["a"][0].callback(7)
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(second), 7)

    def test_a_stop_ends_all(self) -> None:
        waiting = [self.shared.get("a"), self.shared.get("b")]
        self.shared.stop()
        self.clock.advance(0)
        for each in waiting:
            self.failureResultOf(each, CancelledError)

    def test_one_that_comes_when_all_others_have_left_gets_what_still_runs(self) -> None:
        self.failureResultOf(self.left(self.shared), CancelledError)
        late = self.shared.get("a")
        self.running["a"][0].callback(7)
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(late), 7)

    def left(self, shared: Shared[str, int]) -> Deferred[int]:
        """One that has stopped waiting for "a"."""
        waiting = shared.get("a")
        waiting.cancel()
        return waiting


class AbandonedTests(SharedTests):
    """The same where work that nobody waits for is ended."""

    def setUp(self) -> None:
        super().setUp()
        self.shared = Shared(self.clock, self.work, abandons=True)

    def test_one_that_comes_when_all_others_have_left_gets_what_still_runs(self) -> None:
        # Not so here.
        self.failureResultOf(self.left(self.shared), CancelledError)
        self.assertTrue(self.running["a"][0].called)
        late = self.shared.get("a")
        self.running["a"][1].callback(8)
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(late), 8)

    def test_work_that_takes_time_to_end_is_not_joined(self) -> None:
        ending: Deferred[None] = Deferred()

        async def stubborn(key: str) -> int:
            try:
                return await self.work(key)
            finally:
                if len(self.running[key]) == 1:
                    await ending

        shared = Shared(self.clock, stubborn, abandons=True)
        self.failureResultOf(self.left(shared), CancelledError)
        late = shared.get("a")
        ending.callback(None)
        self.clock.advance(0)
        self.assertNoResult(late)
        self.running["a"][1].callback(8)
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(late), 8)

    def test_one_that_leaves_when_the_work_is_done_ends_nothing(self) -> None:
        first, second = self.shared.get("a"), self.shared.get("a")
        self.running["a"][0].callback(7)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(second), 7)

"""However many wait, they are woken in order, one after another, never in the frames of whoever lets go."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.wakeups import AT_ONCE, Condition, Semaphore, Wakeups, all_of, to_its_end

MANY = 5000


class WakeupsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.woken: list[int] = []

    def note(self, number: int) -> Callable[[object], None]:
        return lambda _: self.woken.append(number)


class ConditionTests(WakeupsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.condition = Condition(self.clock)

    def test_who_wakes_them_goes_on_before_anybody_is_woken(self) -> None:
        self.condition.wait().addCallback(self.note(1))
        self.condition.wake()
        self.assertEqual([], self.woken)
        self.clock.advance(0)
        self.assertEqual([1], self.woken)

    def test_who_comes_after_a_wake_waits_for_the_next_time(self) -> None:
        self.condition.wait().addCallback(lambda _: self.condition.wait().addCallback(self.note(1)))
        self.condition.wake()
        self.condition.wait().addCallback(self.note(2))
        self.clock.advance(0)
        self.assertEqual([], self.woken)
        self.condition.wake()
        self.clock.advance(0)
        self.assertEqual([2, 1], self.woken)

    def test_all_can_be_failed(self) -> None:
        waiting = [self.condition.wait() for _ in range(3)]
        self.condition.fail(ValueError("no"))
        self.clock.advance(0)
        for each in waiting:
            self.failureResultOf(each, ValueError)

    def test_who_is_cancelled_before_or_after_a_wake_is_not_woken(self) -> None:
        before, after, stays = [self.condition.wait().addCallback(self.note(number)) for number in range(3)]
        before.cancel()
        self.condition.wake()
        after.cancel()
        self.clock.advance(0)
        for each in (before, after):
            self.failureResultOf(each, CancelledError)
        self.successResultOf(stays)
        self.assertEqual([2], self.woken)

    def test_one_that_fails_does_not_stop_the_others(self) -> None:
        failing = self.condition.wait()
        failing.addCallback(lambda _: self.fail("on purpose"))
        self.condition.wait().addCallback(self.note(1))
        self.condition.wake()
        self.clock.advance(0)
        self.failureResultOf(failing, self.failureException)
        self.assertEqual([1], self.woken)

    def test_many_that_each_wake_the_next_are_all_woken(self) -> None:
        async def wait_and_wake(number: int) -> None:
            await self.condition.wait()
            self.woken.append(number)
            if number + 1 < MANY:
                later.append(Deferred.fromCoroutine(wait_and_wake(number + 1)))
                self.condition.wake()

        later = [Deferred.fromCoroutine(wait_and_wake(0))]
        self.condition.wake()
        self.clock.advance(0)
        self.assertEqual(list(range(MANY)), self.woken)
        for each in later:
            self.successResultOf(each)

    def test_it_counts_who_waits(self) -> None:
        first, _ = self.condition.wait(), self.condition.wait()
        self.assertEqual(self.condition.waiting, 2)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(self.condition.waiting, 1)
        self.condition.wake()
        self.assertEqual(self.condition.waiting, 0)

    def test_nothing_is_left_to_do(self) -> None:
        self.condition.wake()
        waiting = self.condition.wait()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.condition.wake()
        self.assertEqual([], self.clock.getDelayedCalls())


class ToItsEndTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.held: Deferred[int] = Deferred()
        self.done: list[int] = []

    async def work(self) -> int:
        number = await self.held
        self.done.append(number)
        return number

    def test_who_waits_gets_the_result(self) -> None:
        waiting = to_its_end(self.work())
        self.held.callback(1)
        self.assertEqual(self.successResultOf(waiting), 1)

    def test_who_waits_hears_of_a_failure(self) -> None:
        waiting = to_its_end(self.work())
        self.held.errback(ValueError("no"))
        self.failureResultOf(waiting, ValueError)

    def test_work_goes_on_when_nobody_waits_any_more(self) -> None:
        waiting = to_its_end(self.work())
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.held.callback(1)
        self.assertEqual(self.done, [1])


class WakeupsTests(WakeupsTestCase):
    def test_others_have_their_turn_between_many(self) -> None:
        wakeups = Wakeups(self.clock)
        for number in range(2 * AT_ONCE):
            waiter: Deferred[None] = Deferred()
            waiter.addCallback(self.note(number))
            wakeups.fire(waiter, None)
        self.clock.callLater(0, self.note(-1), None)
        self.clock.advance(0)
        self.assertEqual([*range(AT_ONCE), -1, *range(AT_ONCE, 2 * AT_ONCE)], self.woken)


class SemaphoreTests(WakeupsTestCase):
    def test_a_free_place_is_taken_at_once(self) -> None:
        semaphore = Semaphore(self.clock, 2)
        self.successResultOf(semaphore.acquire())
        self.successResultOf(semaphore.acquire())
        self.assertNoResult(semaphore.acquire())

    def test_who_gives_a_place_back_goes_on_before_the_next_has_it(self) -> None:
        semaphore = Semaphore(self.clock, 1)
        semaphore.acquire()
        semaphore.acquire().addCallback(self.note(1))
        semaphore.release()
        self.assertEqual([], self.woken)
        self.clock.advance(0)
        self.assertEqual([1], self.woken)

    def test_who_comes_when_a_place_is_free_but_not_given_yet_does_not_pass_who_waits(self) -> None:
        semaphore = Semaphore(self.clock, 1)
        semaphore.acquire()
        first = semaphore.acquire()
        semaphore.release()
        second = semaphore.acquire()
        self.clock.advance(0)
        self.successResultOf(first)
        self.assertNoResult(second)

    def test_a_place_for_one_that_was_cancelled_goes_to_the_next(self) -> None:
        semaphore = Semaphore(self.clock, 1)
        semaphore.acquire()
        first, second = semaphore.acquire(), semaphore.acquire()
        semaphore.release()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.clock.advance(0)
        self.successResultOf(second)
        semaphore.release()
        self.assertEqual((1, 0), (semaphore.free, semaphore.waiting))

    def test_a_place_that_nobody_had_is_not_given_back(self) -> None:
        with self.assertRaises(RuntimeError):
            Semaphore(self.clock, 1).release()

    def test_many_that_give_their_place_on_all_have_their_turn_in_order(self) -> None:
        for places in (1, 7):
            semaphore = Semaphore(self.clock, places)
            woken: list[int] = []

            async def work(number: int, semaphore: Semaphore = semaphore, woken: list[int] = woken) -> None:
                async with semaphore:
                    woken.append(number)

            held = [semaphore.acquire() for _ in range(places)]
            working = [Deferred.fromCoroutine(work(number)) for number in range(MANY)]
            cancelled = range(1000, 4000, 3)
            for number in cancelled:
                working[number].cancel()
                self.failureResultOf(working[number], CancelledError)
            for each in held:
                self.successResultOf(each)
                semaphore.release()
            self.clock.advance(0)
            self.assertEqual([number for number in range(MANY) if number not in cancelled], woken)
            self.assertEqual((places, 0), (semaphore.free, semaphore.waiting))

    def test_many_that_fail_while_they_have_their_place_give_it_on(self) -> None:
        semaphore = Semaphore(self.clock, 1)

        async def work() -> None:
            async with semaphore:
                raise ValueError("on purpose")

        semaphore.acquire()
        working = [Deferred.fromCoroutine(work()) for _ in range(MANY)]
        semaphore.release()
        self.clock.advance(0)
        for each in working:
            self.failureResultOf(each, ValueError)
        self.assertEqual(1, semaphore.free)


class SemaphoreModel(RuleBasedStateMachine):
    """Against a list of waiters: whatever happens in whichever order, no place is lost or given twice."""

    PLACES = 3

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.semaphore = Semaphore(self.clock, self.PLACES)
        self.waiting: list[Deferred[None]] = []
        self.held = 0
        self.in_order = True

    @rule(releases=st.booleans())
    def acquire(self, releases: bool) -> None:
        waiter = self.semaphore.acquire()
        self.waiting.append(waiter)
        waiter.addCallbacks(
            lambda _: self.got(waiter, releases), lambda failure: failure.trap(CancelledError)
        )

    def got(self, waiter: Deferred[None], releases: bool) -> None:
        self.in_order = self.in_order and self.waiting[0] is waiter
        self.waiting.remove(waiter)
        self.held += 1
        if releases:
            self.held -= 1
            self.semaphore.release()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        waiter = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        waiter.cancel()

    @precondition(lambda self: self.held)
    @rule()
    def release(self) -> None:
        self.held -= 1
        self.semaphore.release()

    @rule()
    def turn(self) -> None:
        self.clock.advance(0)
        assert not self.waiting or self.held == self.PLACES, "one waits although there is a place"

    @invariant()
    def places_are_kept(self) -> None:
        assert self.held + self.semaphore.free == self.PLACES
        assert self.semaphore.waiting == len(self.waiting)
        assert self.in_order


class SemaphoreModelTests(SynchronousTestCase):
    def test_no_place_is_lost_or_given_twice(self) -> None:
        run_state_machine_as_test(
            SemaphoreModel, settings=settings(max_examples=200, deadline=None, database=None)
        )


class AllOfTests(SynchronousTestCase):
    def test_the_results_are_in_the_order_of_the_works(self) -> None:
        works: list[Deferred[int]] = [Deferred(), Deferred()]
        waiting = Deferred.fromCoroutine(all_of(works))
        works[1].callback(1)
        self.assertNoResult(waiting)
        works[0].callback(0)
        self.assertEqual(self.successResultOf(waiting), [0, 1])

    def test_the_first_failure_is_raised_and_ends_the_others(self) -> None:
        works: list[Deferred[int]] = [Deferred(), Deferred(), Deferred()]
        waiting = Deferred.fromCoroutine(all_of(works))
        works[0].callback(0)
        works[2].errback(ZeroDivisionError())
        self.failureResultOf(waiting, ZeroDivisionError)
        self.assertTrue(works[1].called)

    def test_who_stops_waiting_ends_all(self) -> None:
        works: list[Deferred[int]] = [Deferred(), Deferred()]
        waiting = Deferred.fromCoroutine(all_of(works))
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertTrue(all(work.called for work in works))

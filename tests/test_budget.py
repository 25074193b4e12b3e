"""Leases of upload memory: who gets them, in which order, and who loses them."""

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

from lfsproxy.budget import SMALL, HeldMemory, Lease, MemoryBudget
from lfsproxy.interfaces import IPartMemory

MIB = 1024 * 1024
PART = 8 * MIB
LIMIT = 64 * MIB
"""Of which 48 MiB are for large leases."""
MANY = 5000


class BudgetTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.budget = MemoryBudget(self.clock, LIMIT, PART, stall_timeout=30)

    def take(self, size: int) -> Lease:
        return self.successResultOf(self.budget.acquire(size))

    def wait(self, size: int) -> Deferred[Lease]:
        waiting = self.budget.acquire(size)
        self.assertNoResult(waiting)
        return waiting

    def free(self, *leases: Lease) -> None:
        """Release leases, and let the budget grant what is free then."""
        for lease in leases:
            lease.release()
        self.clock.advance(0)

    def fill(self) -> list[Lease]:
        """Take all that large leases may have."""
        return [self.take(16 * MIB) for _ in range(3)]


class GrantTests(BudgetTestCase):
    def test_free_memory_is_granted_at_once(self) -> None:
        lease = self.take(20 * MIB)
        self.assertEqual((20 * MIB, 20 * MIB), (lease.size, self.budget.used))
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_leases_are_granted_in_the_order_they_were_asked_for(self) -> None:
        held = self.fill()
        first, second, third = self.wait(16 * MIB), self.wait(2 * MIB), self.wait(2 * MIB)
        self.free(held[0])
        self.successResultOf(first)
        self.assertNoResult(second)
        self.free(held[1])
        self.successResultOf(second)
        self.successResultOf(third)

    def test_a_lease_that_would_fit_does_not_pass_one_that_waits(self) -> None:
        self.take(40 * MIB)
        self.wait(16 * MIB)
        self.wait(2 * MIB)
        self.assertEqual(2, self.budget.waiting)

    def test_releasing_twice_gives_back_once(self) -> None:
        self.take(8 * MIB)
        lease = self.take(8 * MIB)
        lease.release()
        lease.release()
        self.assertEqual(8 * MIB, self.budget.used)

    def test_who_leaves_the_queue_lets_the_next_one_in(self) -> None:
        self.take(40 * MIB)
        first, second = self.wait(16 * MIB), self.wait(2 * MIB)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.clock.advance(0)
        self.successResultOf(second)
        self.assertEqual(0, self.budget.waiting)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_a_size_that_can_never_be_granted_is_an_error(self) -> None:
        for size in (48 * MIB + 1, -1):
            with self.assertRaises(ValueError):
                self.budget.acquire(size)
        self.take(48 * MIB)

    def test_a_lease_may_be_asked_for_while_another_is_being_granted(self) -> None:
        held = self.fill()
        nested: list[Deferred[Lease]] = []
        self.wait(16 * MIB).addCallback(lambda _: nested.append(self.budget.acquire(16 * MIB)))
        self.free(held[0])
        self.assertNoResult(nested[0])
        self.free(held[1])
        self.successResultOf(nested[0])
        self.assertEqual(48 * MIB, self.budget.used)

    def test_the_sum_of_all_leases_never_exceeds_the_limit(self) -> None:
        held = [self.take(16 * MIB) for _ in range(3)] + [self.take(SMALL) for _ in range(16)]
        waiting = [self.budget.acquire(size) for size in (SMALL, 16 * MIB, 100, 2 * MIB)]
        for lease in held:
            self.free(lease)
            self.assertLessEqual(self.budget.used, LIMIT)
        for granted in waiting:
            self.free(self.successResultOf(granted))
        self.assertEqual((0, LIMIT), (self.budget.used, self.budget.peak))


class ManyTests(BudgetTestCase):
    """Grants do not nest, so that any number may wait."""

    def setUp(self) -> None:
        super().setUp()
        self.served: list[int] = []

    async def use(self, number: int, size: int) -> None:
        lease = await self.budget.acquire(size)
        try:
            self.served.append(number)
        finally:
            lease.release()

    def many(self, size: int) -> list[Deferred[None]]:
        """Holders that end at once when they have their lease."""
        waiting = [Deferred.fromCoroutine(self.use(number, size)) for number in range(MANY)]
        self.assertEqual(MANY, self.budget.waiting)
        return waiting

    def test_who_releases_goes_on_before_the_next_has_its_lease(self) -> None:
        held = self.fill()
        waiting = self.wait(16 * MIB)
        held[0].release()
        self.assertNoResult(waiting)
        self.assertEqual(32 * MIB, self.budget.used)

    def test_who_comes_when_memory_is_free_but_not_granted_yet_does_not_pass_who_waits(self) -> None:
        held = self.fill()
        first = self.wait(16 * MIB)
        held[0].release()
        self.wait(2 * MIB)
        self.wait(SMALL)
        self.assertIsNone(self.budget.try_acquire(SMALL))
        self.assertFalse(held[1].try_take(1))
        self.clock.advance(0)
        self.successResultOf(first)

    def test_many_of_any_size_are_all_served_in_order_and_nothing_stays_taken(self) -> None:
        for size, count in ((SMALL, 64), (16 * MIB, 3)):
            self.served.clear()
            held = [self.take(size) for _ in range(count)]
            waiting = self.many(size)
            self.free(*held)
            for each in waiting:
                self.successResultOf(each)
            self.assertEqual(list(range(MANY)), self.served)
            self.assertEqual((0, 0), (self.budget.used, self.budget.waiting))
            self.assertEqual([], self.clock.getDelayedCalls())

    def test_many_that_are_cancelled_in_between_cost_nobody_a_turn(self) -> None:
        held = [self.take(SMALL) for _ in range(64)]
        waiting = self.many(SMALL)
        for number in range(0, MANY, 3):
            waiting[number].cancel()
            self.failureResultOf(waiting[number], CancelledError)
        for lease in held:
            lease.release()
        # There is memory for these already; they have not got it yet.
        for number in range(1, MANY, 3):
            waiting[number].cancel()
            self.failureResultOf(waiting[number], CancelledError)
        self.clock.advance(0)
        self.assertEqual(list(range(2, MANY, 3)), self.served)
        self.assertEqual((0, 0), (self.budget.used, self.budget.waiting))

    def test_one_that_fails_when_it_has_its_lease_does_not_stop_the_others(self) -> None:
        held = self.fill()
        failing = self.wait(16 * MIB)
        failing.addCallback(lambda _: self.fail("on purpose"))
        waiting = self.wait(16 * MIB)
        self.free(*held)
        self.failureResultOf(failing, self.failureException)
        self.successResultOf(waiting)

    def test_evictions_wait_until_what_is_free_was_granted(self) -> None:
        evicted: list[str] = []
        held = self.take(24 * MIB)
        slow = self.take(24 * MIB)
        slow.evicted = lambda: evicted.append("slow")
        slow.waits_for_peer(True)
        # At the very second at which the slow one would lose its memory.
        self.clock.callLater(2, held.release)
        waiting = self.wait(16 * MIB)
        self.clock.pump([1, 1])
        self.successResultOf(waiting)
        self.assertEqual([], evicted)


class BudgetModel(RuleBasedStateMachine):
    """Leases and who waits for one, kept side by side with the budget: nothing is lost, nobody is passed."""

    LIMIT = 8 * MIB
    SIZES = st.sampled_from([0, 1, MIB // 2, SMALL, SMALL + 1, 2 * MIB, 5 * MIB, 6 * MIB])

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.budget = MemoryBudget(self.clock, self.LIMIT, MIB, stall_timeout=30)
        self.waiting: list[tuple[int, Deferred[Lease]]] = []
        self.held: list[tuple[int, Lease]] = []
        self.wrong = ""

    def used(self) -> int:
        return sum(lease.size for _, lease in self.held)

    def fits(self, size: int) -> bool:
        small = sum(first for first, _ in self.held if first <= SMALL)
        if self.used() + size > self.LIMIT:
            return False
        if size > SMALL:
            return self.used() - small + size <= self.LIMIT * 3 // 4
        return small + size <= self.LIMIT // 4 or not any(size > SMALL for size, _ in self.waiting)

    @rule(size=SIZES, then=st.sampled_from(["hold", "hold", "release", "fail", "ask again"]))
    def acquire(self, size: int, then: str) -> None:
        asked = self.budget.acquire(size)
        place = (size, asked)
        self.waiting.append(place)

        def got(lease: Lease) -> None:
            first = next(each for each in self.waiting if (each[0] > SMALL) == (size > SMALL))
            if first is not place:
                self.wrong = "one was passed"
            self.waiting.remove(place)
            if then in ("hold", "ask again"):
                self.held.append((size, lease))
            else:
                lease.release()
            if then == "ask again":
                self.acquire(size, "hold")
            if then == "fail":
                raise ValueError("on purpose")

        asked.addCallback(got)
        asked.addErrback(lambda failure: failure.trap(CancelledError, ValueError))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        _, asked = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        asked.cancel()

    @precondition(lambda self: self.held)
    @rule(data=st.data(), again=st.booleans())
    def release(self, data: st.DataObject, again: bool) -> None:
        _, lease = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        lease.release()
        if again:
            lease.release()

    @precondition(lambda self: self.held)
    @rule(data=st.data(), size=SIZES)
    def grow(self, data: st.DataObject, size: int) -> None:
        _, lease = data.draw(st.sampled_from(self.held))
        small = sum(first for first, _ in self.held if first <= SMALL)
        most = min(self.LIMIT - self.used(), self.LIMIT * 3 // 4 - (self.used() - small))
        could = not self.waiting and size <= most
        before = lease.size
        assert lease.try_take(size) == could
        assert lease.size == before + size * could

    @precondition(lambda self: any(lease.size > first for first, lease in self.held))
    @rule(data=st.data())
    def shrink(self, data: st.DataObject) -> None:
        grown = [(first, lease) for first, lease in self.held if lease.size > first]
        first, lease = data.draw(st.sampled_from(grown))
        lease.give_back(data.draw(st.integers(1, lease.size - first)))

    @rule(size=SIZES)
    def try_acquire(self, size: int) -> None:
        could = not self.waiting and self.fits(size)
        lease = self.budget.try_acquire(size)
        assert (lease is not None) == could
        if lease is not None:
            self.held.append((size, lease))

    @rule(seconds=st.sampled_from([0.0, 0.0, 0.4, 1.0]))
    def turn(self, seconds: float) -> None:
        self.clock.advance(seconds)
        for is_large in (True, False):
            first = next((size for size, _ in self.waiting if (size > SMALL) == is_large), None)
            assert first is None or not self.fits(first), f"one waits for {first} bytes that are free"

    @invariant()
    def nothing_is_lost(self) -> None:
        assert not self.wrong, self.wrong
        assert self.budget.used == self.used() <= self.LIMIT
        assert self.budget.waiting == len(self.waiting)
        assert self.waiting or not self.later(), "it looks for slow holders although nobody waits"

    def later(self) -> list[object]:
        return [call for call in self.clock.getDelayedCalls() if call.getTime() > self.clock.seconds()]


class ModelTests(SynchronousTestCase):
    def test_nothing_is_lost_in_whichever_order_things_happen(self) -> None:
        run_state_machine_as_test(
            BudgetModel, settings=settings(max_examples=150, deadline=None, database=None)
        )


class SmallLeaseTests(BudgetTestCase):
    def test_small_leases_do_not_queue_behind_large_ones(self) -> None:
        self.fill()
        self.wait(16 * MIB)
        for _ in range(16):
            self.take(SMALL)

    def test_small_leases_may_use_what_nobody_else_wants(self) -> None:
        for _ in range(64):
            self.take(SMALL)
        self.assertEqual(LIMIT, self.budget.used)
        self.wait(1)

    def test_while_a_large_lease_waits_small_ones_live_on_their_reserve(self) -> None:
        small = [self.take(SMALL) for _ in range(40)]
        large = self.wait(40 * MIB)
        self.wait(SMALL)
        self.free(*small[:16])
        self.successResultOf(large)

    def test_an_endless_stream_of_small_leases_does_not_starve_a_large_one(self) -> None:
        small = [self.take(SMALL) for _ in range(64)]
        large = self.wait(48 * MIB)
        for _ in range(64):
            self.free(small.pop(0))
            self.budget.acquire(SMALL).addCallback(small.append)
        self.successResultOf(large)

    def test_large_leases_never_take_the_reserve(self) -> None:
        self.fill()
        self.wait(SMALL + 1)


class GrowTests(BudgetTestCase):
    def test_a_lease_grows_and_shrinks(self) -> None:
        lease = self.take(PART)
        self.assertTrue(lease.try_take(PART))
        self.assertEqual((2 * PART, 2 * PART), (lease.size, self.budget.used))
        lease.give_back(PART)
        self.assertEqual((PART, PART), (lease.size, self.budget.used))

    def test_nobody_grows_while_a_first_lease_waits(self) -> None:
        self.take(40 * MIB)
        lease = self.take(1 * MIB)
        self.wait(16 * MIB)
        self.assertFalse(lease.try_take(MIB))

    def test_nobody_grows_into_the_reserve(self) -> None:
        lease = self.take(44 * MIB)
        self.assertFalse(lease.try_take(8 * MIB))
        self.assertTrue(lease.try_take(4 * MIB))
        self.assertFalse(lease.try_take(1))

    def test_a_small_lease_does_not_grow_into_the_reserve_either(self) -> None:
        small = self.take(SMALL)
        self.assertTrue(small.try_take(40 * MIB))
        self.assertFalse(small.try_take(16 * MIB))
        self.wait(16 * MIB)
        # What it grew by is not held against other small leases.
        for _ in range(15):
            self.take(SMALL)

    def test_what_grew_goes_back_with_the_lease(self) -> None:
        for size in (SMALL, PART):
            lease = self.take(size)
            lease.try_take(PART)
            lease.release()
            self.assertEqual(0, self.budget.used)
        for _ in range(64):
            self.take(SMALL)

    def test_what_is_given_back_goes_to_those_who_wait(self) -> None:
        lease = self.take(PART)
        lease.try_take(40 * MIB)
        waiting = self.wait(16 * MIB)
        lease.give_back(16 * MIB)
        self.clock.advance(0)
        self.successResultOf(waiting)

    def test_a_released_lease_neither_grows_nor_shrinks(self) -> None:
        lease = self.take(PART)
        lease.release()
        self.assertFalse(lease.try_take(PART))
        lease.give_back(PART)
        self.assertEqual(0, self.budget.used)

    def test_a_lease_may_be_tried_for(self) -> None:
        lease = self.budget.try_acquire(40 * MIB)
        assert lease is not None
        self.assertIsNone(self.budget.try_acquire(16 * MIB))
        self.wait(16 * MIB)
        self.assertIsNone(self.budget.try_acquire(2 * MIB))
        self.free(lease)
        self.assertEqual(16 * MIB, self.budget.used)

    def test_held_memory_says_what_it_was_told(self) -> None:
        self.assertTrue(IPartMemory.providedBy(HeldMemory()))
        self.assertTrue(HeldMemory().try_take(PART))
        self.assertFalse(HeldMemory(more=False).try_take(PART))


class EvictionTests(BudgetTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.evicted: list[str] = []

    def hold(self, name: str, size: int, received: int = 0) -> Lease:
        """A lease whose holder waits for its client and gives way when it is evicted."""
        lease = self.take(size)
        lease.evicted = self.giving_way(name, lease)
        lease.waits_for_peer(True)
        lease.received(received)
        return lease

    def giving_way(self, name: str, lease: Lease) -> Callable[[], None]:
        def evict() -> None:
            self.evicted.append(name)
            lease.release()

        return evict

    def test_a_slow_client_is_served_for_hours_while_nobody_waits(self) -> None:
        self.hold("slow", 40 * MIB)
        self.clock.pump([60.0] * 180)
        self.assertEqual([], self.evicted)

    def test_a_client_that_sends_nothing_loses_its_memory_to_who_waits(self) -> None:
        self.hold("silent", 40 * MIB)
        waiting = self.wait(16 * MIB)
        self.clock.advance(1)
        self.assertEqual([], self.evicted)
        self.clock.advance(1)
        self.assertEqual(["silent"], self.evicted)
        self.successResultOf(waiting)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_a_client_that_sends_is_kept(self) -> None:
        lease = self.hold("steady", 40 * MIB)
        waiting = self.wait(16 * MIB)
        for _ in range(100):
            self.clock.advance(1)
            lease.received(MIB)
        self.assertEqual([], self.evicted)
        self.assertNoResult(waiting)

    def test_a_client_that_fills_no_part_in_time_loses_its_memory(self) -> None:
        lease = self.hold("drop by drop", 40 * MIB)
        self.wait(16 * MIB)
        for _ in range(29):
            self.clock.advance(1)
            lease.received(1)
        self.assertEqual([], self.evicted)
        self.clock.advance(1)
        self.assertEqual(["drop by drop"], self.evicted)

    def test_every_filled_part_gives_time_for_the_next(self) -> None:
        lease = self.hold("slow but going", 40 * MIB)
        self.wait(16 * MIB)
        for _ in range(10):
            for _ in range(25):
                self.clock.advance(1)
                lease.received(PART // 25 + 1)
        self.assertEqual([], self.evicted)

    def test_the_slowest_goes_first_and_no_more_than_needed(self) -> None:
        self.hold("faster", 16 * MIB, received=2000)
        self.hold("slower", 16 * MIB, received=1000)
        self.hold("fastest", 16 * MIB, received=3000)
        waiting = self.wait(16 * MIB)
        self.clock.pump([1.0] * 10)
        self.assertEqual(["slower"], self.evicted)
        self.successResultOf(waiting)

    def test_several_are_evicted_until_there_is_enough(self) -> None:
        for name in ("one", "two", "three"):
            self.hold(name, 16 * MIB)
        waiting = self.wait(40 * MIB)
        self.clock.pump([1.0] * 10)
        self.assertEqual(3, len(self.evicted))
        self.successResultOf(waiting)

    def test_who_waits_for_the_store_or_the_broker_is_not_evicted(self) -> None:
        lease = self.hold("busy", 40 * MIB)
        lease.waits_for_peer(False)
        self.wait(16 * MIB)
        self.clock.pump([1.0] * 100)
        self.assertEqual([], self.evicted)

    def test_time_that_the_holder_was_busy_does_not_count_against_its_client(self) -> None:
        lease = self.hold("client of a slow store", 40 * MIB)
        self.wait(16 * MIB)
        self.clock.advance(1)
        lease.waits_for_peer(False)
        self.clock.pump([1.0] * 100)
        lease.waits_for_peer(True)
        self.clock.advance(0.5)
        self.assertEqual([], self.evicted)
        self.clock.advance(1)
        self.assertEqual(["client of a slow store"], self.evicted)

    def test_turning_to_the_store_and_back_gives_a_client_no_new_time(self) -> None:
        lease = self.hold("silent", 40 * MIB)
        self.wait(16 * MIB)
        for _ in range(4):
            self.clock.advance(0.5)
            lease.waits_for_peer(False)
            lease.waits_for_peer(True)
        self.assertEqual(["silent"], self.evicted)

    def test_who_cannot_be_evicted_stays(self) -> None:
        self.take(40 * MIB).waits_for_peer(True)
        self.wait(16 * MIB)
        self.clock.pump([1.0] * 100)
        self.assertEqual(40 * MIB, self.budget.used)

    def test_nobody_is_evicted_twice(self) -> None:
        lease = self.take(40 * MIB)
        lease.evicted = lambda: self.evicted.append("slow to go")
        lease.waits_for_peer(True)
        self.wait(16 * MIB)
        self.clock.pump([1.0] * 10)
        self.assertEqual(["slow to go"], self.evicted)

    def test_an_eviction_that_fails_does_not_end_the_evictions(self) -> None:
        broken = self.take(16 * MIB)
        broken.evicted = lambda: self.fail("broken")
        broken.waits_for_peer(True)
        self.hold("silent", 32 * MIB, received=1)
        self.wait(16 * MIB)
        self.clock.pump([1.0] * 10)
        self.assertEqual(["silent"], self.evicted)
        self.assertEqual(1, len(self.flushLoggedErrors(self.failureException)))

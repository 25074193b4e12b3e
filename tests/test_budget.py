"""Leases of upload memory: which request gets them, and in which order."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred

from lfsproxy.budget import SMALL, HeldMemory, Lease
from lfsproxy.interfaces import IPartMemory
from tests.budgets import LIMIT, MANY, MIB, PART, BudgetTestCase


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

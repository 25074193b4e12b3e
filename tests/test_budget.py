"""Leases of upload memory: who gets them, in which order, and who loses them."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.budget import SMALL, HeldMemory, Lease, MemoryBudget
from lfsproxy.interfaces import IPartMemory

MIB = 1024 * 1024
PART = 8 * MIB
LIMIT = 64 * MIB
"""Of which 48 MiB are for large leases."""


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
        held[0].release()
        self.successResultOf(first)
        self.assertNoResult(second)
        held[1].release()
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
        held[0].release()
        self.assertNoResult(nested[0])
        held[1].release()
        self.successResultOf(nested[0])
        self.assertEqual(48 * MIB, self.budget.used)

    def test_the_sum_of_all_leases_never_exceeds_the_limit(self) -> None:
        held = [self.take(16 * MIB) for _ in range(3)] + [self.take(SMALL) for _ in range(16)]
        waiting = [self.budget.acquire(size) for size in (SMALL, 16 * MIB, 100, 2 * MIB)]
        for lease in held:
            lease.release()
            self.assertLessEqual(self.budget.used, LIMIT)
        for granted in waiting:
            self.successResultOf(granted).release()
        self.assertEqual((0, LIMIT), (self.budget.used, self.budget.peak))


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
        for lease in small[:16]:
            lease.release()
        self.successResultOf(large)

    def test_an_endless_stream_of_small_leases_does_not_starve_a_large_one(self) -> None:
        small = [self.take(SMALL) for _ in range(64)]
        large = self.wait(48 * MIB)
        for _ in range(64):
            small.pop(0).release()
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
        lease.release()
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

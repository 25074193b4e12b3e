"""Leases of upload memory: which holders lose them."""

from __future__ import annotations

from collections.abc import Callable

from lfsproxy.budget import Lease
from tests.budgets import MIB, PART, BudgetTestCase


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

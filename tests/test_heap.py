"""Memory goes back to the system when all leases have ended, once each time."""

from __future__ import annotations

import subprocess
import sys

from twisted.internet.task import Clock
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from lfsproxy.budget import MemoryBudget
from lfsproxy.heap import SECONDS, HeapTrim, system_trim

MIB = 1024 * 1024
PROGRAM = """
from lfsproxy.heap import system_trim

def resident():
    with open("/proc/self/statm") as lines:
        return int(lines.read().split()[1])

held = [bytes(60_000) for _ in range(1000)]
last = bytes(60_000)
before = resident()
held.clear()
kept = resident()
system_trim()()
print(before, kept, resident())
"""


class HeapTrimTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.budget = MemoryBudget(self.clock, 64 * MIB, 8 * MIB, 30)
        self.trims = 0
        self.heap = HeapTrim(self.clock, self.budget, self.trim)
        self.heap.start()

    def trim(self) -> None:
        self.trims += 1

    def look(self, times: int = 1) -> int:
        for _ in range(times):
            self.clock.advance(SECONDS)
        return self.trims

    def test_once_after_a_lease_has_ended(self) -> None:
        lease = self.successResultOf(self.budget.acquire(MIB))
        self.assertEqual(self.look(3), 0)
        lease.release()
        self.assertEqual(self.look(3), 1)

    def test_a_lease_between_two_looks_counts(self) -> None:
        self.successResultOf(self.budget.acquire(MIB)).release()
        self.assertEqual(self.look(1), 0)
        self.assertEqual(self.look(2), 1)

    def test_never_while_there_is_traffic(self) -> None:
        for _ in range(5):
            self.successResultOf(self.budget.acquire(MIB)).release()
            self.assertEqual(self.look(), 0)
        self.assertEqual(self.look(), 1)

    def test_never_without_any(self) -> None:
        self.assertEqual(self.look(5), 0)

    def test_it_ends(self) -> None:
        self.heap.stop()
        self.heap.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class SystemTests(SynchronousTestCase):
    def test_the_system_gets_it_back(self) -> None:
        if system_trim() is None:
            raise SkipTest("the C library has no malloc_trim")
        done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True, timeout=60)
        before, kept, after = map(int, done.stdout.split())
        self.assertGreater(kept, before * 0.9)
        self.assertLess(after, before * 0.6)

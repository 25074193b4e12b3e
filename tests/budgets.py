"""A budget of 64 MiB whose clock stands still, for tests of leases."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.budget import Lease, MemoryBudget

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

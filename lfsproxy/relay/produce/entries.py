"""Memory for the partitions that Produce requests name, beside the bytes of their records.

Each entry of a request becomes a ``Batch``, which stays until the broker has answered. An entry may have five
bytes, and its batch takes a hundred times as many. So entries are counted for each connection: a request is
not read while earlier ones hold MOST_ENTRIES, and one that has more by itself takes a lease of the budget.
"""

from __future__ import annotations

from typing import Final

from lfsproxy.budget import Lease, MemoryBudget
from lfsproxy.errors import TooLarge
from lfsproxy.wakeups import Condition

ENTRY_BYTES: Final = 512
"""What Python's objects of one entry take, rounded up."""
MOST_ENTRIES: Final = 2048
"""Entries of one request that need no lease, 1 MiB of memory: more partitions than a producer has in one."""
BLOCK: Final = 128
"""Entries that a lease is taken for at a time: 64 KiB."""


class Entries:
    """The entries of one connection's requests that are not answered yet. ``held`` is how many."""

    def __init__(self, budget: MemoryBudget) -> None:
        self.held = 0
        self._budget = budget
        self._fewer = Condition(budget.clock)

    async def room(self) -> None:
        """Wait until another request may be read."""
        while self.held >= MOST_ENTRIES:
            await self._fewer.wait()

    def of_request(self) -> RequestEntries:
        """Those of a request that begins."""
        return RequestEntries(self, self._budget)

    def _count(self, change: int) -> None:
        self.held += change
        if change < 0:
            self._fewer.wake()


class RequestEntries:
    """The entries of one request, until it is answered or given up."""

    def __init__(self, entries: Entries, budget: MemoryBudget) -> None:
        self._entries = entries
        self._budget = budget
        self._count = 0
        self._lease: Lease | None = None

    def add(self) -> None:
        """One more. Raises TooLarge where there is no memory for it now."""
        self._count += 1
        self._entries._count(1)
        beyond = self._count - MOST_ENTRIES
        if beyond > 0 and beyond % BLOCK == 1 and not self._take(BLOCK * ENTRY_BYTES):
            raise TooLarge(
                f"its request names {self._count} partitions and more, for which there is no upload memory "
                f"now: it has to send fewer of them at a time, or LFS_UPLOAD_MEMORY has to be larger"
            )

    def _take(self, size: int) -> bool:
        if self._lease is None:
            self._lease = self._budget.try_acquire(size)
            return self._lease is not None
        return self._lease.try_take(size)

    def release(self) -> None:
        """They are not needed any more. May be called more than once."""
        count, self._count = self._count, 0
        if count:
            self._entries._count(-count)
        if self._lease is not None:
            self._lease.release()
            self._lease = None

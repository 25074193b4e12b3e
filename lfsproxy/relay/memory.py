"""Memory for an answer of the broker that is held: waited for, but not for ever.

A holder of memory may wait for this very connection, and a broker sends nothing more before its answer is
read. So a wait that takes too long ends the connection.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from lfsproxy.budget import Lease, MemoryBudget
from lfsproxy.errors import Stalled

SMALL_ANSWER: Final = 64 * 1024
"""Bytes of an answer that is held without a lease: a Produce answer about more than a thousand partitions, a
FindCoordinator answer about as many groups."""
MEMORY_SECONDS: Final = 10.0
"""How long an answer waits for memory. Less than clients wait for it (30 s), more than it takes to find out
that a client is too slow (2 s) and to take its memory."""


def memory_for_answer(budget: MemoryBudget, size: int, answer: int) -> Deferred[Lease]:
    """A lease of ``size`` bytes for an answer of ``answer`` bytes. Fails with Stalled if that takes long."""

    def raise_stalled(result: Lease | Failure, seconds: float) -> Lease | Failure:
        raise Stalled(
            f"there was no memory for the broker's answer of {answer} bytes within {seconds:g} s "
            "(LFS_UPLOAD_MEMORY)"
        )

    return budget.acquire(size).addTimeout(MEMORY_SECONDS, budget.clock, raise_stalled)

"""The checksum of a blob that no single process saw all bytes of: read once more, in ranges side by side.

A hash that runs cannot be stored, so that this is what a change of process costs: one GET of the blob.
"""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred

from lfsproxy.budget import MemoryBudget
from lfsproxy.checksums import Checksum
from lfsproxy.errors import StoreUnavailable
from lfsproxy.interfaces import IResumableStore

RANGE = 1024 * 1024
"""Bytes of one ranged GET: an answer is collected whole (lfsproxy.s3.answers.MAX_ANSWER)."""
RANGES = 4
"""GETs side by side: one alone would wait for each answer's first byte."""
HELD_PER_RANGE = 2
"""An answer is held twice for a moment: as it is collected, and as it is handed over."""


async def checksum_of_blob(
    store: IResumableStore, budget: MemoryBudget, key: str, length: int, checksum: Checksum
) -> None:
    """Bring ``checksum`` over all ``length`` bytes. Takes one lease; raises a store error."""
    ranges = max(1, min(RANGES, budget.limit // 2 // (RANGE * HELD_PER_RANGE)))
    lease = await budget.acquire(min(length, ranges * RANGE) * HELD_PER_RANGE)
    asked: deque[Deferred[bytes | None]] = deque()
    at = 0
    try:
        while at < length or asked:
            while at < length and len(asked) < ranges:
                asked.append(Deferred.fromCoroutine(store.read_object(key, at, min(RANGE, length - at))))
                at += RANGE
            wanted = min(RANGE, length - (at - len(asked) * RANGE))
            piece = await asked.popleft()
            if piece is None or len(piece) != wanted:
                raise StoreUnavailable(f"the blob {key} cannot be read back whole")
            await store.digest([checksum], piece)
    finally:
        for one in asked:
            one.addErrback(lambda _: None)
            one.cancel()
        lease.release()

"""The body of a Produce request that is held whole, in the pieces in which it came."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from lfsproxy.budget import Lease, MemoryBudget
from lfsproxy.gathered import Gathered
from lfsproxy.wire.chunks import Piece

SMALL_FRAME: Final = 64 * 1024
"""Bytes of a body that is held without a lease: every connection may hold as much."""
SMALL_PIECE: Final = 16 * 1024
"""Bytes of a piece that costs more by itself than to be copied."""


class HeldFrame:
    """``size`` bytes; ``pieces`` are there once it is received, ``lease`` where it is not a small one."""

    def __init__(self, budget: MemoryBudget, size: int) -> None:
        self.size = size
        self.pieces: Sequence[Piece] = ()
        self.lease: Lease | None = None
        self._budget = budget

    async def receive(
        self, next_piece: Callable[[], Awaitable[Piece | None]], evicted: Callable[[], None]
    ) -> None:
        """Take all pieces. ``evicted`` is called where the client is too slow while others wait for memory.

        Raises what ``next_piece`` raises; then nothing is held.
        """
        try:
            if self.size > SMALL_FRAME:
                self.lease = lease = await self._budget.acquire(self.size)
                lease.evicted = evicted
                lease.waits_for_peer(True)
            gathered = Gathered(SMALL_PIECE)
            while (data := await next_piece()) is not None:
                gathered.add(data)
                if self.lease is not None:
                    self.lease.received(len(data))
        except BaseException:
            self.let_go()
            raise
        if self.lease is not None:
            self.lease.waits_for_peer(False)
        self.pieces = gathered.take()

    def let_go(self) -> None:
        """Hold nothing any more. May be called more than once."""
        self.pieces = ()
        if self.lease is not None:
            self.lease.release()

"""The client's frame on its way out, as fast as the client takes it."""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from lfsproxy.budget import Lease
from lfsproxy.kafka.stream import WRITE_SIZE
from lfsproxy.net.peers import CHECK_SECONDS
from lfsproxy.relay.order import Sink
from lfsproxy.relay.turns import Turns
from lfsproxy.wire.chunks import Piece

JOINED: Final = 16 * 1024
"""Bytes of a piece below which a copy costs less than a write of its own."""
WRITES_AT_ONCE: Final = 16
"""Writes in one turn of the reactor, to a client that takes everything at once."""


class Writer:
    """Writes pieces of any size, under ``lease`` if there is one: a client that takes none may lose it."""

    def __init__(self, reactor: IReactorTime, client: Sink, lease: Lease | None) -> None:
        self._client = client
        self._lease = lease
        self._joined = bytearray()
        self._reactor = reactor
        self._turns = Turns(reactor, WRITES_AT_ONCE)

    async def write(self, piece: Piece) -> None:
        """Write a piece behind the others; a small one leaves with those that follow. An empty one has taken
        its time to make."""
        if not piece:
            await self._turns.step()
        if len(piece) < JOINED:
            self._joined += piece
            if len(self._joined) >= JOINED:
                await self.flush()
            return
        await self.flush()
        view = memoryview(piece)
        for start in range(0, len(view), WRITE_SIZE):
            await self._write(view[start : start + WRITE_SIZE])

    async def flush(self) -> None:
        """Write what is left."""
        if self._joined:
            joined, self._joined = bytes(self._joined), bytearray()
            await self._write(joined)

    async def _write(self, data: Piece) -> None:
        self._client.write(data)
        taken = 0
        if not self._client.is_drained:
            taken = await self._drained()
        if self._lease is not None:
            self._lease.received(max(0, len(data) - taken))
        await self._turns.step()

    async def _drained(self) -> int:
        """Wait until the client takes more. What it takes meanwhile counts, however slow it is: so many bytes
        were told to the lease."""
        lease = self._lease
        if lease is None:
            await self._client.drained()
            return 0
        began = told = self._client.acknowledged or 0

        def look() -> None:
            nonlocal told
            taken = self._client.acknowledged or 0
            if taken > told:
                lease.received(taken - told)
                told = taken

        looks = LoopingCall(look)
        looks.clock = self._reactor
        looks.start(CHECK_SECONDS, now=False)
        lease.waits_for_peer(True)
        try:
            await self._client.drained()
        finally:
            lease.waits_for_peer(False)
            looks.stop()
        return told - began

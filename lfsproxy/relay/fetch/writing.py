"""The client's frame on its way out, as fast as the client takes it."""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IReactorTime

from lfsproxy.budget import Lease
from lfsproxy.kafka.stream import WRITE_SIZE
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
        self._turns = Turns(reactor, WRITES_AT_ONCE)

    async def write(self, piece: Piece) -> None:
        """Write a piece behind the others; a small one leaves with those that follow."""
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
        if self._lease is not None:
            self._lease.waits_for_peer(True)
        await self._client.drained()
        if self._lease is not None:
            self._lease.waits_for_peer(False)
            self._lease.received(len(data))
        await self._turns.step()

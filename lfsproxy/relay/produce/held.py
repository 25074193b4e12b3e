"""A Produce request that is held whole while its records are looked into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twisted.internet.defer import Deferred

from lfsproxy.gathered import Gathered
from lfsproxy.relay.produce.offload import Offloader, needs_a_look
from lfsproxy.relay.produce.work import ProduceWork
from lfsproxy.wakeups import all_of
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.produce import PartitionStart, RecordsBytes

SMALL_FRAME: Final = 64 * 1024
"""Bytes of a body that is held without a lease: every connection may hold as much."""
SMALL_PIECE: Final = 16 * 1024
"""Bytes of a piece that costs more by itself than to be copied."""


class HeldProduce(ProduceWork):
    """A request of at most ``Shared.hold_limit`` bytes; small ones are held without a lease."""

    _frame: Sequence[Piece] = ()

    async def read_body(self) -> None:
        if self.size > SMALL_FRAME:
            (await self.take_lease(self.size)).waits_for_peer(True)
        frame = Gathered(SMALL_PIECE)
        while (data := await self.connection.next_piece()) is not None:
            frame.add(data)
            if self.lease is not None:
                self.lease.received(len(data))
        if self.lease is not None:
            self.lease.waits_for_peer(False)
        self._frame = frame.take()
        for piece in self._frame:
            self.reader.feed(piece)
        while (part := self.reader.next_event()) is not None:
            match part:
                case RecordsBytes(data=data):
                    self.batches[-1].records.append(data)
                case PartitionStart():
                    self.begin_batch(part)
                case _:
                    self.take_around(part)

    async def finish(self) -> None:
        for batch in self.batches:
            batch.count_hint(self.connection.hints)
        looked_into = [batch for batch in self.batches if needs_a_look(self.shared, batch)]
        if looked_into:
            offloader = Offloader(self.shared, self.connection, self.size, self.lease)
            await all_of([Deferred.fromCoroutine(offloader.offload(batch)) for batch in looked_into])
        frame, self._frame = self._frame, ()
        await self.forwarding.submit(self.batches, is_last=True, frame=frame)

    def stop(self) -> None:
        self._frame = ()

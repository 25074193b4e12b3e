"""A Produce request that is held whole while its records are looked into."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from lfsproxy.relay.produce.connection import Connection
from lfsproxy.relay.produce.frame import HeldFrame
from lfsproxy.relay.produce.offload import Offloader, needs_a_look
from lfsproxy.relay.produce.shared import Shared
from lfsproxy.relay.produce.work import ProduceWork
from lfsproxy.wakeups import all_of
from lfsproxy.wire.frames import RequestStart
from lfsproxy.wire.inflate import SmallBatches
from lfsproxy.wire.produce import PartitionStart, RecordsBytes


class HeldProduce(ProduceWork):
    """A request of at most ``Shared.hold_limit`` bytes. ``frame`` has its body, which was received."""

    def __init__(self, shared: Shared, connection: Connection, start: RequestStart, frame: HeldFrame) -> None:
        super().__init__(shared, connection, start)
        self.lease = frame.lease
        self._frame = frame.pieces

    async def read_body(self) -> None:
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
        small = SmallBatches(self.shared.inflater)
        looked_into = [batch for batch in self.batches if needs_a_look(self.shared, batch, small)]
        if looked_into:
            offloader = Offloader(self.shared, self.connection, self.size, self.lease)
            await all_of([Deferred.fromCoroutine(offloader.offload(batch)) for batch in looked_into])
        frame, self._frame = self._frame, ()
        await self.forwarding.submit(self.batches, is_last=True, frame=frame)

    def stop(self) -> None:
        self._frame = ()

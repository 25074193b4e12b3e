"""A Produce request that is larger than may be held: its batches are offloaded while they are received.

It is taken in and sent on one batch at a time, under one lease of a part and LFS_MAX_PASSTHROUGH_SIZE. A
batch of up to LFS_MAX_PASSTHROUGH_SIZE is held, as in a request that is held whole. A larger one cannot pass
as it is, and is streamed (``streamed_batch``).
"""

from __future__ import annotations

from lfsproxy.budget import Lease
from lfsproxy.relay.produce.batches import Batch
from lfsproxy.relay.produce.connection import Connection
from lfsproxy.relay.produce.offload import Offloader, needs_a_look
from lfsproxy.relay.produce.shared import Shared
from lfsproxy.relay.produce.streamed_batch import StreamedBatch
from lfsproxy.relay.produce.work import ProduceWork
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.produce import PartitionStart, ProduceEvent, RecordsBytes


class StreamedProduce(ProduceWork):
    """A request of any size. While a batch is received, the one before it may still be on its way to S3."""

    _current: _HeldBatch | StreamedBatch | _RefusedBatch | None = None

    async def read_body(self) -> None:
        lease = await self.take_lease(self.shared.hold_limit)
        offloader = Offloader(self.shared, self.connection, self.size, lease)
        while True:
            lease.waits_for_peer(True)
            data = await self.connection.next_piece()
            lease.waits_for_peer(False)
            if data is None:
                return
            lease.received(len(data))
            self.reader.feed(data)
            while (part := self.reader.next_event()) is not None:
                await self._take(part, lease, offloader)

    async def _take(self, part: ProduceEvent, lease: Lease, offloader: Offloader) -> None:
        match part:
            case RecordsBytes(data=data) if self._current is not None:
                await self._current.receive(data)
            case PartitionStart():
                await self._submit_current(is_last=False)
                offloader.begin_anew()
                batch = self.begin_batch(part)
                if batch.error is not None:
                    self._current = _RefusedBatch(batch)
                elif part.size <= self.shared.settings.max_passthrough_size:
                    self._current = _HeldBatch(self.shared, self.connection, offloader, batch, part.size)
                else:
                    self._current = StreamedBatch(
                        self.shared, self.connection, batch, part.size, lease, offloader.uploads
                    )
            case _:
                self.take_around(part)

    async def finish(self) -> None:
        await self._submit_current(is_last=True)

    async def _submit_current(self, *, is_last: bool) -> None:
        if self._current is None:
            if is_last:
                await self.forwarding.submit([], is_last=True)
            return
        await self._current.end()
        await self.forwarding.submit([self._current.batch], is_last=is_last)
        self._current.batch.let_go()
        self._current = None

    def stop(self) -> None:
        if self._current is not None:
            self._current.cancel()


class _HeldBatch:
    """A batch of a streamed request that is small enough to be held."""

    def __init__(
        self, shared: Shared, connection: Connection, offloader: Offloader, batch: Batch, size: int
    ) -> None:
        self.batch = batch
        self._shared = shared
        self._connection = connection
        self._offloader = offloader
        self._records = bytearray(max(size, 0))
        self._filled = 0

    async def receive(self, data: Piece) -> None:
        self._records[self._filled : self._filled + len(data)] = data
        self._filled += len(data)

    async def end(self) -> None:
        batch = self.batch
        batch.records, self._records = [memoryview(self._records)], bytearray()
        batch.count_hint(self._connection.hints)
        if needs_a_look(self._shared, batch):
            await self._offloader.offload(batch)

    def cancel(self) -> None:
        self._records = bytearray()


class _RefusedBatch:
    """A batch that is refused whatever it has: its bytes are let go of."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    async def receive(self, data: Piece) -> None:
        self.batch.receive_header(data)

    async def end(self) -> None:
        """It is decided already."""

    def cancel(self) -> None:
        """It holds nothing."""

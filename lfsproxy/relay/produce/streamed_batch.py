"""A batch that is larger than may pass: its values are offloaded while it is received.

A record's headers follow its value. A value of up to one part is held until they are read. A larger one is
uploaded before it is known whether it is to be, and its bytes are kept too until they are more than may be
passed on. If the headers then do not ask for an offload, the upload is discarded, and the kept bytes pass, or
the batch is refused where they were let go. What goes wrong with such an upload counts only if the headers
ask for it, so plain records pass whatever S3 does.

Of the lease, one part is for values that are held or being stored, the rest for what is kept.
"""

from __future__ import annotations

from typing import Final

from lfsproxy.budget import HeldMemory, Lease
from lfsproxy.errors import CorruptBatch, LfsError, TooLarge
from lfsproxy.relay.produce.batches import Batch
from lfsproxy.relay.produce.connection import Connection
from lfsproxy.relay.produce.rewriting import Offloaded, Rewriter
from lfsproxy.relay.produce.shared import Shared
from lfsproxy.relay.turns import Turns
from lfsproxy.wakeups import Semaphore
from lfsproxy.wire.batch import BatchHeader
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.decompress import USUAL_WINDOW
from lfsproxy.wire.marks import LfsMark, lfs_headers, offload_mark
from lfsproxy.wire.records import (
    BatchEnd,
    BatchReader,
    BatchStart,
    RecordEnd,
    RecordEvent,
    RecordStart,
    ValueBytes,
)

EVENTS_AT_ONCE: Final = 64
"""Events of a batch's reader, records and pieces of values, that are taken in one turn of the reactor."""
SECONDS_AT_ONCE: Final = 0.02
"""Seconds that such a turn may take: a few bytes may decompress to many."""


class StreamedBatch:
    """Takes a batch of ``size`` bytes piece by piece; then ``batch`` has it rewritten, or refused."""

    def __init__(
        self,
        shared: Shared,
        connection: Connection,
        batch: Batch,
        size: int,
        lease: Lease,
        uploads: Semaphore,
    ) -> None:
        self.batch = batch
        self._shared = shared
        self._connection = connection
        self._settings = shared.settings
        self._size = size
        self._lease = lease
        self._uploads = uploads
        self._reader = BatchReader(
            size,
            max_decompressed=self._settings.max_decompressed_size,
            max_held=self._settings.max_passthrough_size,
            max_window=USUAL_WINDOW,
        )
        self._header: BatchHeader | None = None
        self._hint = 0
        self._rewriter: Rewriter | None = None
        self._record: RecordStart | None = None
        self._value: bytearray | None = None
        self._filled = 0
        self._early: Offloaded | None = None
        self._early_error: LfsError | None = None
        self._turns = Turns(shared.reactor, EVENTS_AT_ONCE, SECONDS_AT_ONCE)

    async def receive(self, data: Piece) -> None:
        """Take some of the batch. A refusal is noted in ``batch.error``.

        The rest is then only looked at for its CRC, since what seems to be at fault may have been changed on
        its way: then the client is to send it again.
        """
        self.batch.receive_header(data)
        self._turns.begin()
        try:
            self._reader.feed(data)
            while (event := self._reader.next_event()) is not None:
                await self._take(event)
                if self._rewriter is not None and self._rewriter.error is not None:
                    raise self._rewriter.error
                await self._turns.step()
        except LfsError as error:
            self._refuse(error)

    async def end(self) -> None:
        """All of it was received: wait until every blob is stored, then set ``batch.rewritten``."""
        try:
            self._reader.next_event()  # Only where it has failed there is more: which fault it is in the end.
            if self._rewriter is None:
                raise self._too_large()
            self.batch.rewritten = await self._rewriter.end()
        except LfsError as error:
            self._refuse(error)

    def cancel(self) -> None:
        """The request is given up."""
        if self._rewriter is not None:
            self._rewriter.cancel()
        self._value = None

    def _refuse(self, error: LfsError) -> None:
        self.batch.error = error
        if isinstance(error, CorruptBatch):
            self.batch.bad_record = None
        self._reader.give_up(error)
        self.cancel()

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"a batch of {self._size} bytes has more that is not offloaded than LFS_MAX_PASSTHROUGH_SIZE "
            f"allows ({self._settings.max_passthrough_size} bytes)"
        )

    async def _take(self, event: RecordEvent) -> None:
        match event:
            case BatchStart(header=header):
                if header.magic != 2 or not self._shared.looks_into(self.batch.topic):
                    raise self._too_large()
                self._header = header
                await self._connection.topics.check(self.batch.topic, self.batch.partition)
                self._hint = await self.batch.find_hint(self._connection.hints)
            case RecordStart():
                await self._begin_record(event)
            case ValueBytes(data=data):
                await self._take_value(data)
            case RecordEnd():
                await self._end_record(event)
            case BatchEnd(crc_ok=False):
                raise CorruptBatch("the batch's CRC-32C is not that of its bytes")

    def _writes(self) -> Rewriter:
        """The rewriter, made with the first record: only then the framing of snappy is known."""
        if self._rewriter is None:
            assert self._header is not None
            self._rewriter = Rewriter(
                self._shared, self.batch, self._header, self._reader.xerial, self._hint, self._uploads
            )
        return self._rewriter

    async def _begin_record(self, start: RecordStart) -> None:
        rewriter = self._writes()
        part = self._settings.s3_part_size
        room = self._settings.max_passthrough_size - rewriter.size
        length = max(start.value_length, 0)
        self._record = start
        self._early = self._early_error = None
        while rewriter.storing and rewriter.storing + length > part:
            await rewriter.one_finished()
        # Its own bytes, since a slice would keep all of the chunk that it is part of.
        self._value = bytearray(length) if length <= max(part, room) else None
        self._filled = 0
        if length > part:
            try:
                self._early = await rewriter.begin(start, None, self._lease)
            except LfsError as error:
                self._early_error = error

    async def _take_value(self, data: Piece) -> None:
        if self._value is not None:
            end = self._filled + len(data)
            self._value[self._filled : end] = data
            self._filled = end
        if self._early is not None and self._early_error is None:
            try:
                await self._writes().write(self._early, data)
            except LfsError as error:
                self._early_error = error

    async def _end_record(self, end: RecordEnd) -> None:
        record, value = self._record, self._value
        assert record is not None
        self._value = None
        mark = self._mark(record, end)
        early, self._early = self._early, None
        if mark is None:
            self._keep(record, value, end, early)
        elif self._early_error is not None:
            raise self._early_error
        elif early is not None:
            # It is stored before the next one begins: both would need the memory of a part.
            self._writes().describe(early, mark)
            await self._writes().finish(early)
        else:
            await self._store(record, memoryview(value or b""), mark)

    def _mark(self, record: RecordStart, end: RecordEnd) -> LfsMark | None:
        threshold = self._shared.threshold(self.batch.topic)
        if record.value_length < 0:
            return None
        if threshold and record.value_length >= threshold:
            return offload_mark(end.headers)
        return lfs_headers(end.headers)

    def _keep(
        self, record: RecordStart, value: bytearray | None, end: RecordEnd, early: Offloaded | None
    ) -> None:
        """The record stays as it is."""
        rewriter = self._writes()
        if early is not None:
            rewriter.discard(early)
        if self.batch.bad_record == record.index:
            self.batch.bad_record = None
        if value is None:
            raise TooLarge(
                f"record {record.index} of {record.value_length} bytes is not to be offloaded, and more than "
                f"LFS_MAX_PASSTHROUGH_SIZE has room for ({self._settings.max_passthrough_size} bytes)"
            )
        for piece in (record.raw_head, memoryview(value), end.raw_tail):
            rewriter.keep(piece)

    async def _store(self, record: RecordStart, value: Piece, mark: LfsMark) -> None:
        """A value that was held is stored beside the reading of what follows."""
        rewriter = self._writes()
        offloaded = await rewriter.begin(record, mark, HeldMemory())
        if value:
            await rewriter.write(offloaded, value)
        rewriter.finish(offloaded)

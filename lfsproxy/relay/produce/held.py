"""A Produce request that is held whole, and how the records of its batches are offloaded.

A batch is read twice. The first pass verifies the CRC-32C and says which records are to be offloaded and how
much memory that needs; the second writes their values into claims and keeps the bytes of all others. Values
of an uncompressed batch are parts of the held frame and need no more memory. Those of a compressed one are
made in the second pass: the frame's lease is tried to be enlarged by them all, then their uploads overlap. If
that is not to be had, one value at a time is made, in memory that the lease can be enlarged by, or else, when
the request is the first of its connection in line, in the one place of the process for that
(``Shared.inflating``): whoever has it waits for nobody, so it cannot deadlock. A batch whose zstd
window is larger than usual is looked into there from the start.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from twisted.internet.defer import Deferred

from lfsproxy.budget import HeldMemory
from lfsproxy.errors import LfsError, UndecodableRecords
from lfsproxy.relay.produce.batches import Batch
from lfsproxy.relay.produce.rewriting import Offloaded, Rewriter, all_of
from lfsproxy.relay.produce.scanning import Found, Pace
from lfsproxy.relay.produce.work import ProduceWork
from lfsproxy.relay.turns import Turns
from lfsproxy.wire.batch import NONE, BatchHeader
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.decompress import MAX_WINDOW, USUAL_WINDOW, WindowTooLarge
from lfsproxy.wire.marks import lfs_headers, offload_mark
from lfsproxy.wire.produce import PartitionEnd, PartitionStart, ProduceEnd, ProduceInfo, RecordsBytes
from lfsproxy.wire.records import Header
from lfsproxy.wire.scan import (
    BatchScan,
    KeptBytes,
    OffloadBytes,
    OffloadEnd,
    OffloadStart,
    PlansTooLarge,
    is_clear_inside,
    scan_batch,
    segments,
)

SCAN_INLINE = 256 * 1024
SEGMENTS_AT_ONCE = 4
SMALL_FRAME = 64 * 1024
SMALL_PIECE = 16 * 1024


class HeldProduce(ProduceWork):
    """A request of at most ``Shared.hold_limit`` bytes; small ones are held without a lease."""

    _frame: Sequence[Piece] = ()

    async def read_body(self) -> None:
        if self.size > SMALL_FRAME:
            (await self.take_lease(self.size)).waits_for_peer(True)
        frame = _Gathered()
        while (data := await self.connection.next_piece()) is not None:
            frame.add(data)
            if self.lease is not None:
                self.lease.received(len(data))
        if self.lease is not None:
            self.lease.waits_for_peer(False)
        self._frame = frame.end()
        for piece in self._frame:
            self.reader.feed(piece)
        while (part := self.reader.next_event()) is not None:
            match part:
                case RecordsBytes(data=data):
                    self.batches[-1].records.append(data)
                case PartitionStart():
                    self.begin_batch(part)
                case PartitionEnd(tags=tags):
                    self.batches[-1].tags = tags
                case ProduceInfo():
                    self.begin_body(part)
                case ProduceEnd():
                    self.end = part

    async def finish(self) -> None:
        for batch in self.batches:
            # Records that only pass move the offsets of later ones that are offloaded.
            if self.connection.hints.knows(batch.topic, batch.partition):
                batch.reserve_hint(self.connection.hints)
        await all_of(
            [
                Deferred.fromCoroutine(offload(self, batch))
                for batch in self.batches
                if batch.needs_a_look(self.shared)
            ]
        )
        frame, self._frame = self._frame, ()
        await self.submit(self.batches, last=True, frame=frame)

    def stop(self) -> None:
        self._frame = ()


class _Gathered:
    """A body in the pieces that it came in; small ones are gathered, so that many cost no more than few."""

    def __init__(self) -> None:
        self._pieces: list[Piece] = []
        self._small = bytearray()

    def add(self, data: Piece) -> None:
        if len(data) < SMALL_PIECE:
            self._small += data
            if len(self._small) >= SMALL_FRAME:
                self._flush()
        else:
            self._flush()
            self._pieces.append(data)

    def end(self) -> Sequence[Piece]:
        self._flush()
        return self._pieces

    def _flush(self) -> None:
        if self._small:
            self._pieces.append(bytes(self._small))
            self._small.clear()


async def offload(work: ProduceWork, batch: Batch) -> None:
    """Offload a batch's LFS records: sets ``batch.rewritten`` or ``batch.error``. Raises when cancelled."""
    shared = work.shared
    try:
        if batch.header is None:
            raise UndecodableRecords("the records are no batch")
        hint = await batch.find_hint(work.connection.hints)
        try:
            scan = await _scan(work, batch, batch.header, is_usual=True)
        except (WindowTooLarge, PlansTooLarge):
            is_usual = False
        else:
            is_usual = True
            if scan is not None and scan.offload:
                await work.connection.topics.check(batch.topic, batch.partition)
                async with _memory(work, scan) as overlap:
                    await _rewrite(work, batch, scan, hint, overlap)
        if not is_usual:
            await work.connection.topics.check(batch.topic, batch.partition)
            async with _inflating(work):
                scan = await _scan(work, batch, batch.header, is_usual=False)
                if scan is not None and scan.offload:
                    await _rewrite(work, batch, scan, hint, overlap=scan.header.codec == NONE)
        if batch.rewritten is None and batch.size > shared.settings.max_passthrough_size:
            raise batch.too_large(shared.settings)
    except LfsError as error:
        batch.error = error


async def _scan(work: ProduceWork, batch: Batch, header: BatchHeader, is_usual: bool) -> BatchScan | None:
    """The first pass, off the reactor thread where it may take long. None: nothing is to be offloaded."""
    shared, settings = work.shared, work.shared.settings
    threshold = settings.offload_threshold
    limits = {
        "max_decompressed": settings.max_decompressed_size,
        "max_held": settings.max_passthrough_size,
        "max_window": USUAL_WINDOW if is_usual else MAX_WINDOW,
    }

    def wanted(length: int, headers: Sequence[Header]) -> bool:
        return (threshold > 0 and length >= threshold) or lfs_headers(headers) is not None

    def scan(pace: Pace) -> BatchScan | None:
        if header.codec != NONE:
            try:
                if is_clear_inside(batch.records, threshold, pace=pace, **limits):
                    return None
            except UndecodableRecords:
                pass  # The full scan tells a corrupt batch from one that was made so.
        # Asked only now: while this scan waited, others may have made plans.
        room = work.plans.room(is_usual)
        return scan_batch(batch.records, wanted, threshold=threshold, max_plans=room, pace=pace, **limits)

    if header.codec == NONE and batch.size <= SCAN_INLINE:
        found: Found = scan(lambda: None)
    else:
        found = await shared.scans.run(work.connection.share, scan)
    if isinstance(found, PlansTooLarge):
        work.plans.have_no_more_room(is_usual)
    if isinstance(found, LfsError):
        raise found
    if found is not None:
        work.plans.used += found.plan_size
    return found


@asynccontextmanager
async def _memory(work: ProduceWork, scan: BatchScan) -> AsyncIterator[bool]:
    """Memory for the second pass, by the module's rule; yields whether uploads may overlap."""
    shared, lease = work.shared, work.lease
    if scan.header.codec == NONE:
        yield True
        return
    settings = shared.settings
    largest = max(plan.value_length for plan in scan.offload)
    output = min(scan.decompressed_size, settings.max_passthrough_size)
    history = min(scan.decompressed_size, max(USUAL_WINDOW, settings.max_passthrough_size))
    for overlap, size in (
        (True, scan.decompressed_size + output + history),
        (False, min(largest, settings.s3_part_size) + output + history),
    ):
        if lease is not None and lease.try_take(size):
            try:
                yield overlap
            finally:
                lease.give_back(size)
            return
        extra = shared.budget.try_acquire(size) if lease is None else None
        if extra is not None:
            try:
                yield overlap
            finally:
                extra.release()
            return
    async with _inflating(work):
        yield False


@asynccontextmanager
async def _inflating(work: ProduceWork) -> AsyncIterator[None]:
    """The one place of the process for what no lease covers, when the request is the first in its line.

    Of a request one batch at a time waits for it, so that many do not go before those of others.
    """
    await work.connection.turn()
    await work.inflating.acquire()
    try:
        await work.shared.inflating.acquire()
        try:
            yield
        finally:
            work.shared.inflating.release()
    finally:
        work.inflating.release()


async def _rewrite(work: ProduceWork, batch: Batch, scan: BatchScan, hint: int, overlap: bool) -> None:
    """The second pass: sets ``batch.rewritten``. ``overlap``: there is memory for all values at once."""
    shared = work.shared
    memory = HeldMemory(more=overlap)
    rewriter = Rewriter(shared, batch, scan.header, scan.xerial, hint, work.uploads)
    begun: Offloaded | None = None
    try:
        cut = segments(batch.records, scan, max_held=shared.settings.max_passthrough_size)
        turns = Turns(shared.reactor, SEGMENTS_AT_ONCE)
        for segment in cut:
            await turns.step()
            match segment:
                case KeptBytes(data=data):
                    rewriter.keep(data)
                case OffloadStart(plan=plan):
                    begun = await rewriter.begin(plan, offload_mark(plan.headers), memory)
                case OffloadBytes(data=data) if begun is not None:
                    await rewriter.write(begun, data)
                case OffloadEnd() if begun is not None:
                    finishing = rewriter.finish(begun)
                    if not overlap:
                        await finishing
        batch.rewritten = await rewriter.end()
    except BaseException:
        rewriter.cancel()
        raise

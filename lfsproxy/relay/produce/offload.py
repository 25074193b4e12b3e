"""Offloads the LFS records of a batch that is held whole.

A batch is read twice. The first pass verifies the CRC-32C and says which records are to be offloaded and how
much memory that needs; the second writes their values into claims and keeps the bytes of all others. Values
of an uncompressed batch are parts of the held frame and need no more memory. Those of a compressed one are
made in the second pass: the frame's lease is tried to be enlarged by them all, then their uploads overlap. If
that is not to be had, one value at a time is made, in memory that the lease can be enlarged by, or else, when
the request is the first of its connection in line, in the one place of the process for that
(``Shared.inflating``): its holder waits for nobody, so it cannot deadlock. A batch whose zstd window is
larger than usual is looked into there from the start.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from lfsproxy.budget import HeldMemory, Lease
from lfsproxy.errors import LfsError, TooLarge, UndecodableRecords
from lfsproxy.relay.produce.batches import Batch
from lfsproxy.relay.produce.connection import Connection
from lfsproxy.relay.produce.plans import Plans
from lfsproxy.relay.produce.rewriting import Offloaded, Rewriter
from lfsproxy.relay.produce.shared import Shared
from lfsproxy.relay.turns import Turns
from lfsproxy.settings import Settings
from lfsproxy.wakeups import Semaphore
from lfsproxy.wire.batch import NONE, BatchHeader, is_clear
from lfsproxy.wire.decompress import MAX_WINDOW, USUAL_WINDOW, WindowTooLarge
from lfsproxy.wire.fields import Header
from lfsproxy.wire.inflate import SmallBatches
from lfsproxy.wire.marks import lfs_headers, offload_mark
from lfsproxy.wire.records import Pace
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

UPLOADS_AT_ONCE: Final = 32
"""Uploads of one request that overlap, so that many small records cost no more memory than few."""
SCAN_INLINE: Final = 256 * 1024
"""Bytes of an uncompressed batch that is searched at once: that takes less time than a thread's turn."""
SEGMENTS_AT_ONCE: Final = 4
"""Pieces, of up to 256 KiB, that are decompressed in one turn of the reactor: some milliseconds."""


def needs_a_look(shared: Shared, batch: Batch, small: SmallBatches | None = None) -> bool:
    """Whether a batch's records have to be read; sets ``error`` where it is too large to be sent as it is.

    ``small`` looks into compressed batches of the request.
    """
    settings = shared.settings
    if batch.error is not None or batch.is_null or not shared.looks_into(batch.topic):
        return False
    threshold = shared.threshold(batch.topic)
    if not is_clear(batch.records, threshold) and not (small and _is_clear_inside(batch, threshold, small)):
        return True
    if batch.size > settings.max_passthrough_size:
        batch.error = _too_large(batch, settings)
    return False


def _is_clear_inside(batch: Batch, threshold: int, small: SmallBatches) -> bool:
    is_compressed = batch.header is not None and batch.header.codec != NONE
    return (
        is_compressed and small.has_room(batch.size) and small.are_clear(b"".join(batch.records), threshold)
    )


def _too_large(batch: Batch, settings: Settings) -> TooLarge:
    return TooLarge(
        f"a batch of {batch.size} bytes without LFS records is larger than "
        f"LFS_MAX_PASSTHROUGH_SIZE ({settings.max_passthrough_size} bytes)"
    )


class Offloader:
    """Offloads batches of one request of ``size`` bytes, which are held under ``lease``, None for small ones.

    ``uploads`` are the places for its uploads.
    """

    def __init__(self, shared: Shared, connection: Connection, size: int, lease: Lease | None) -> None:
        self.uploads = Semaphore(shared.reactor, UPLOADS_AT_ONCE)
        self._shared = shared
        self._connection = connection
        self._size = size
        self._lease = lease
        self._plans = Plans(size, shared.hold_limit)
        self._inflating = Semaphore(shared.reactor, 1)

    def begin_anew(self) -> None:
        """The batches so far are let go of, so that those to come have all memory for their plans."""
        self._plans = Plans(self._size, self._shared.hold_limit)

    async def offload(self, batch: Batch) -> None:
        """Offload a batch's LFS records: sets ``batch.rewritten`` or ``batch.error``."""
        settings = self._shared.settings
        try:
            if batch.header is None:
                raise UndecodableRecords("the records are no batch")
            hint = await batch.find_hint(self._connection.hints)
            if not await self._offload_usually(batch, batch.header, hint):
                await self._offload_alone(batch, batch.header, hint)
            if batch.rewritten is None and batch.size > settings.max_passthrough_size:
                raise _too_large(batch, settings)
        except LfsError as error:
            batch.error = error

    async def _offload_usually(self, batch: Batch, header: BatchHeader, hint: int) -> bool:
        """Both passes; False where the first needs more memory than usual."""
        try:
            scan = await self._scan(batch, header, is_usual=True)
        except (WindowTooLarge, PlansTooLarge):
            return False
        if scan is not None and scan.offload:
            await self._connection.topics.check(batch.topic, batch.partition)
            async with self._memory(scan) as overlap:
                await self._rewrite(batch, scan, hint, overlap)
        return True

    async def _offload_alone(self, batch: Batch, header: BatchHeader, hint: int) -> None:
        """Both passes in the one place for what needs more memory than usual."""
        await self._connection.topics.check(batch.topic, batch.partition)
        async with self._alone():
            scan = await self._scan(batch, header, is_usual=False)
            if scan is not None and scan.offload:
                await self._rewrite(batch, scan, hint, overlap=scan.header.codec == NONE)

    # The first pass

    async def _scan(self, batch: Batch, header: BatchHeader, is_usual: bool) -> BatchScan | None:
        """Off the reactor thread where it may take long. None: nothing is to be offloaded."""
        settings, plans = self._shared.settings, self._plans
        threshold = self._shared.threshold(batch.topic)
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
            room = plans.room(is_usual)
            return scan_batch(batch.records, wanted, threshold=threshold, max_plans=room, pace=pace, **limits)

        if header.codec == NONE and batch.size <= SCAN_INLINE:
            found: BatchScan | LfsError | None = scan(lambda: None)
        else:
            found = await self._shared.scans.run(self._connection.share, scan)
        if isinstance(found, PlansTooLarge):
            plans.have_no_more_room(is_usual)
        if isinstance(found, LfsError):
            raise found
        if found is not None:
            plans.used += found.plan_size
        return found

    # Memory for the second pass

    @asynccontextmanager
    async def _memory(self, scan: BatchScan) -> AsyncIterator[bool]:
        """Memory by the module's rule; yields whether uploads may overlap."""
        if scan.header.codec == NONE:
            yield True
            return
        settings = self._shared.settings
        largest = max(plan.value_length for plan in scan.offload)
        output = min(scan.decompressed_size, settings.max_passthrough_size)
        history = min(scan.decompressed_size, max(USUAL_WINDOW, settings.max_passthrough_size))
        for overlap, size in (
            (True, scan.decompressed_size + output + history),
            (False, min(largest, settings.s3_part_size) + output + history),
        ):
            if self._lease is not None and self._lease.try_take(size):
                try:
                    yield overlap
                finally:
                    self._lease.give_back(size)
                return
            extra = self._shared.budget.try_acquire(size) if self._lease is None else None
            if extra is not None:
                try:
                    yield overlap
                finally:
                    extra.release()
                return
        async with self._alone():
            yield False

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """The one place of the process for what no lease covers, when the request is the first in its line.

        Of a request one batch at a time waits for it, so that many do not go before those of others.
        """
        await self._connection.turn()
        async with self._inflating, self._shared.inflating:
            yield

    # The second pass

    async def _rewrite(self, batch: Batch, scan: BatchScan, hint: int, overlap: bool) -> None:
        """Set ``batch.rewritten``. ``overlap``: there is memory for all values at once."""
        shared = self._shared
        memory = HeldMemory(more=overlap)
        rewriter = Rewriter(shared, batch, scan.header, scan.xerial, hint, self.uploads)
        turns = Turns(shared.reactor, SEGMENTS_AT_ONCE)
        begun: Offloaded | None = None
        try:
            cut = segments(batch.records, scan, max_held=shared.settings.max_passthrough_size)
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

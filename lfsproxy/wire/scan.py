"""Batches that are held whole are read twice: first for what is to be offloaded, then to take it out.

The first pass (``scan_batch``) looks at lengths and headers only; the second (``segments``) needs no parsing,
it cuts the uncompressed records at the places which the first has found. Neither holds a decompressed batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import attrs

from lfsproxy.errors import CorruptBatch, TooLarge, UndecodableRecords
from lfsproxy.wire.batch import (
    BATCH_OVERHEAD,
    HEADER_SIZE,
    NONE,
    BatchHeader,
    as_pieces,
    crc_of,
    first_bytes,
    has_mark,
    parse_batch_header,
)
from lfsproxy.wire.chunks import Chunks, Piece
from lfsproxy.wire.decompress import MAX_WINDOW, new_decompressor
from lfsproxy.wire.fields import MAX_HELD, Header
from lfsproxy.wire.records import MAX_DECOMPRESSED, BatchReader, Pace, RecordEnd, RecordStart

_PLAN_OVERHEAD = 512
"""Bytes of memory that a plan, its claim and its envelope take beside the record's key and headers."""


class PlansTooLarge(TooLarge):
    """More records to offload than the caller has memory for: each needs a plan, a claim and an envelope."""


@attrs.frozen
class RecordPlan:
    """A record to be offloaded. Places and lengths are in bytes of the uncompressed records."""

    index: int
    key: bytes | None
    headers: Sequence[Header]
    attributes: int
    timestamp_delta: int
    offset_delta: int
    raw_start: int
    value_start: int
    value_length: int
    raw_end: int


@attrs.frozen
class BatchScan:
    """What the first pass has found. ``kept_size``: bytes of the records that stay as they are."""

    header: BatchHeader
    offload: Sequence[RecordPlan]
    decompressed_size: int
    kept_size: int
    xerial: bool
    plan_size: int = 0
    """Bytes of memory that the plans, and what becomes of them, are taken to need."""


def scan_batch(
    records: Piece | Sequence[Piece],
    wanted: Callable[[int, Sequence[Header]], bool],
    *,
    threshold: int | None = None,
    max_decompressed: int = MAX_DECOMPRESSED,
    max_held: int = MAX_HELD,
    max_window: int = MAX_WINDOW,
    max_plans: int = MAX_HELD,
    pace: Pace = lambda: None,
) -> BatchScan:
    """Read a whole batch and list the records that ``wanted(value_length, headers)`` picks.

    Null values are never offloaded, ``wanted`` is not asked. ``threshold`` (LFS_OFFLOAD_THRESHOLD, 0 is off)
    says that it picks no record but those with LFS_BLOB and those with a value of so many bytes: then the
    others are not parsed, only stepped over, and the broker judges them. Raises CorruptBatch,
    UndecodableRecords, or TooLarge: beyond ``max_decompressed``, or PlansTooLarge beyond ``max_plans`` bytes.
    ``pace`` is called every few milliseconds; what it raises is raised.
    """
    pieces = as_pieces(records)
    size = sum(map(len, pieces))
    header = parse_batch_header(first_bytes(pieces, HEADER_SIZE))
    if header.magic != 2:
        return BatchScan(header, (), size, size, False)
    if header.batch_length + BATCH_OVERHEAD == size and crc_of(pieces) != header.crc:
        raise CorruptBatch("the batch's CRC-32C is not that of its bytes")
    reader = BatchReader(
        size,
        max_decompressed=max_decompressed,
        max_held=max_held,
        max_window=max_window,
        skim_below=None if threshold is None else threshold or MAX_DECOMPRESSED,
        pace=pace,
    )
    for piece in pieces:
        reader.feed(piece)
    offload: list[RecordPlan] = []
    offloaded = held = 0
    start: RecordStart | None = None
    while (event := reader.next_event()) is not None:
        if isinstance(event, RecordStart):
            start = event
        elif isinstance(event, RecordEnd):
            assert start is not None
            if start.value_length >= 0 and wanted(start.value_length, event.headers):
                held += _PLAN_OVERHEAD + len(start.raw_head) + len(event.raw_tail)
                if held > max_plans:
                    raise PlansTooLarge(
                        f"the request has more records to offload than LFS_S3_PART_SIZE and "
                        f"LFS_MAX_PASSTHROUGH_SIZE leave memory for ({len(offload)} in this batch so far)"
                    )
                offload.append(_plan(start, event))
                offloaded += event.raw_end - event.raw_start
    return BatchScan(header, offload, reader.position, reader.position - offloaded, reader.xerial, held)


def _plan(start: RecordStart, end: RecordEnd) -> RecordPlan:
    return RecordPlan(
        start.index,
        start.key,
        end.headers,
        start.attributes,
        start.timestamp_delta,
        start.offset_delta,
        end.raw_start,
        end.raw_start + len(start.raw_head),
        start.value_length,
        end.raw_end,
    )


@attrs.define
class KeptBytes:
    """Bytes of records that stay as they are; of several records where they stand side by side."""

    data: Piece


@attrs.frozen
class OffloadStart:
    """A record to be offloaded begins."""

    plan: RecordPlan


@attrs.define
class OffloadBytes:
    """Some of the value of the record that began last."""

    data: Piece


@attrs.frozen
class OffloadEnd:
    """The value is complete: in its record's place comes one with the envelope."""

    plan: RecordPlan


Segment = KeptBytes | OffloadStart | OffloadBytes | OffloadEnd


def segments(
    records: Piece | Sequence[Piece],
    scan: BatchScan,
    *,
    max_held: int = MAX_HELD,
    max_window: int = MAX_WINDOW,
) -> Iterator[Segment]:
    """The batch cut into what stays and what is offloaded, lazily, in the order of its records.

    Slices of ``records`` where the batch is not compressed, else pieces of at most about 256 KiB.
    """
    area = Area(uncompressed(as_pieces(records), scan.header, max_held, max_window))
    place = 0
    for plan in scan.offload:
        for data in area.take(plan.raw_start - place):
            yield KeptBytes(data)
        yield OffloadStart(plan)
        area.skip(plan.value_start - plan.raw_start)
        for data in area.take(plan.value_length):
            yield OffloadBytes(data)
        area.skip(plan.raw_end - plan.value_start - plan.value_length)
        place = plan.raw_end
        yield OffloadEnd(plan)
    for data in area.take(scan.decompressed_size - place):
        yield KeptBytes(data)


def uncompressed(
    pieces: Sequence[Piece], header: BatchHeader, max_held: int = MAX_HELD, max_window: int = MAX_WINDOW
) -> Iterator[Piece]:
    """The records of a batch that is held whole, uncompressed piece by piece."""
    chunks = Chunks()
    for piece in pieces:
        chunks.feed(piece)
    chunks.skip(HEADER_SIZE)
    if header.codec == NONE:
        while chunks.size:
            yield chunks.take_some(chunks.size)
        return
    start = chunks.peek(min(8, chunks.size)) or b""
    decompressor = new_decompressor(header.codec, start, max_held, max_window)
    while chunks.size:
        decompressor.feed(chunks.take_some(chunks.size))
    decompressor.finish()
    while data := decompressor.read():
        yield data


def is_clear_inside(
    records: Piece | Sequence[Piece],
    threshold: int = 0,
    *,
    max_decompressed: int = MAX_DECOMPRESSED,
    max_held: int = MAX_HELD,
    max_window: int = MAX_WINDOW,
    pace: Pace = lambda: None,
) -> bool:
    """As ``is_clear``, for a compressed batch that is held whole: decompresses, but does not parse.

    Only True is a verdict. Raises TooLarge beyond ``max_decompressed``, UndecodableRecords. ``pace`` is
    called for each piece.
    """
    pieces = as_pieces(records)
    header = parse_batch_header(first_bytes(pieces, HEADER_SIZE))
    header.check_count(sum(map(len, pieces)))
    size = 0

    def counted() -> Iterator[Piece]:
        nonlocal size
        for piece in uncompressed(pieces, header, max_held, max_window):
            pace()
            size += len(piece)
            if size > max_decompressed:
                raise TooLarge(
                    "the decompressed batch is larger than LFS_MAX_DECOMPRESSED_SIZE allows"
                    f" ({max_decompressed} bytes)"
                )
            yield piece

    return not has_mark(counted()) and not (threshold and size >= threshold)


class Area:
    """Takes byte counts out of pieces that are made lazily.

    Raises UndecodableRecords where fewer come than were there when the batch was read first.
    """

    def __init__(self, pieces: Iterator[Piece]) -> None:
        self._pieces = pieces
        self._chunks = Chunks()

    def take(self, count: int) -> Iterator[Piece]:
        """The next ``count`` bytes, in pieces."""
        while count > 0:
            if not self._chunks.size:
                piece = next(self._pieces, None)
                if piece is None:
                    raise UndecodableRecords("the batch is shorter than it was when it was scanned")
                self._chunks.feed(piece)
            data = self._chunks.take_some(count)
            count -= len(data)
            yield data

    def skip(self, count: int) -> None:
        """Leave the next ``count`` bytes out."""
        for _ in self.take(count):
            pass

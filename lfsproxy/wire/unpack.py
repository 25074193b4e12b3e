"""The records of batches that are held whole, some at a time, for whoever reads topics.

What is behind a Fetch answer's batches is told by their headers: those of Kafka's own and of aborted
transactions are left out here, and the records of the others decompressed as they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import attrs

from lfsproxy.errors import CorruptBatch, UndecodableRecords
from lfsproxy.wire.aborted import Aborted
from lfsproxy.wire.batch import BatchHeader, crc_of
from lfsproxy.wire.fields import Header
from lfsproxy.wire.lookup import timestamp_of
from lfsproxy.wire.records import BatchReader, RecordEnd, RecordStart, ValueBytes
from lfsproxy.wire.walk import FetchedBatch, Limits, batches

PORTION: Final = 1024 * 1024
"""Bytes of keys, values and headers that are handed over at once."""
_RECORD_OVERHEAD: Final = 500
"""Bytes of memory that a record takes besides."""


@attrs.frozen
class UnpackedRecord:
    """A record. ``timestamp`` is in milliseconds since the epoch; ``size`` is the value's, in bytes, None
    where it is null; ``value`` is None as well where it is larger than was asked for."""

    offset: int
    timestamp: int
    key: bytes | None
    size: int | None
    value: bytes | None
    headers: Sequence[Header]


@attrs.frozen
class Readable:
    """What is to be read of a Fetch answer. ``next_offset`` is where the next one begins, None where the
    answer has no whole batch."""

    batches: Sequence[FetchedBatch]
    next_offset: int | None


def readable(records: bytes, aborted: Iterable[tuple[int, int]]) -> Readable:
    """The whole batches of applications. Each, Kafka's own too, has the CRC-32C that it says.

    ``aborted``: the (producer id, first offset) of the transactions that the broker names. Raises
    CorruptBatch, and UndecodableRecords for a format that is not read here.
    """
    follower = Aborted(aborted)
    found = []
    next_offset = None
    for batch in batches(records):
        header = batch.header
        if header is None or not batch.whole:
            break
        if header.magic != 2:
            raise UndecodableRecords(f"a record batch of the old format {header.magic}")
        if crc_of([batch.data]) != header.crc:
            # What is broken may say of itself that it is Kafka's own, or where the next one begins.
            raise CorruptBatch(f"the batch at offset {header.base_offset} has another CRC-32C than its bytes")
        next_offset = header.base_offset + header.last_offset_delta + 1
        if follower.has(header) or header.is_control:
            continue
        found.append(batch)
    return Readable(found, next_offset)


def unpack(
    found: Sequence[FetchedBatch], first: int, end: int, most: int, limits: Limits
) -> Iterator[Sequence[UnpackedRecord]]:
    """The records from offset ``first`` to before ``end``, PORTION at a time.

    A value of more than ``most`` bytes is not handed over. Raises UndecodableRecords, and TooLarge for what
    does not fit ``limits``.
    """
    portion: list[UnpackedRecord] = []
    held = 0
    for batch in found:
        assert batch.header is not None
        for record in _records(batch.data, batch.header, most, limits):
            if not first <= record.offset < end:
                continue
            portion.append(record)
            held += _RECORD_OVERHEAD + len(record.key or b"") + len(record.value or b"")
            held += sum(len(name) + len(value or b"") for name, value in record.headers)
            if held >= PORTION:
                yield portion
                portion, held = [], 0
    if portion:
        yield portion


def _records(data: memoryview, header: BatchHeader, most: int, limits: Limits) -> Iterator[UnpackedRecord]:
    reader = BatchReader(
        len(data),
        max_decompressed=limits.max_decompressed,
        max_held=limits.max_held,
        max_window=limits.max_window,
    )
    reader.feed(data)
    start: RecordStart | None = None
    value = bytearray()
    while (event := reader.next_event()) is not None:
        if isinstance(event, RecordStart):
            start = event
            value.clear()
        elif isinstance(event, ValueBytes):
            if start is not None and start.value_length <= most:
                value += event.data
        elif isinstance(event, RecordEnd):
            assert start is not None
            is_held = 0 <= start.value_length <= most
            yield UnpackedRecord(
                header.base_offset + start.offset_delta,
                timestamp_of(header, start),
                start.key,
                None if start.value_length < 0 else start.value_length,
                bytes(value) if is_held else None,
                event.headers,
            )

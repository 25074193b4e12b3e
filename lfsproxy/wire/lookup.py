"""Takes one record out of the batches of a Fetch answer (https://kafka.apache.org/documentation/#recordbatch).

An answer begins with the batch that has the offset asked for, or with a later one where compaction has
removed it, and may end in the middle of a batch.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import attrs

from lfsproxy.errors import CorruptBatch, LfsError, TooLarge, UndecodableRecords
from lfsproxy.wire.batch import BatchHeader, crc_of
from lfsproxy.wire.fields import MAX_HELD, Header
from lfsproxy.wire.records import MAX_DECOMPRESSED, BatchReader, RecordEnd, RecordStart, ValueBytes
from lfsproxy.wire.walk import batches

_LOG_APPEND_TIME: Final = 0x08
"""The bit of a batch's attributes: its records have the broker's time, the batch's highest."""


@attrs.frozen
class FoundRecord:
    """A record's own fields. ``timestamp`` is in milliseconds since the epoch; a value may be null."""

    timestamp: int
    value: bytes | None
    headers: Sequence[Header]


def find_record(
    records: bytes,
    offset: int,
    aborted: Collection[tuple[int, int]] = (),
    *,
    max_value: int = MAX_HELD,
    max_decompressed: int = MAX_DECOMPRESSED,
) -> FoundRecord | None:
    """The record at ``offset`` in ``records``, which are what a broker gives to a Fetch from that offset on.

    None where it is not there, is a control record, or belongs to an aborted transaction. ``aborted`` has the
    (producer id, first offset) of those that the broker names: all of them end behind ``offset``. Raises
    TooLarge for a value of more than ``max_value`` bytes or a batch beyond ``max_decompressed``,
    UndecodableRecords, or CorruptBatch.
    """
    for found in batches(records):
        header, batch = found.header, found.data
        if header is None:
            return None
        if header.magic != 2:
            raise UndecodableRecords(f"a record batch of format {header.magic}, which has no headers")
        if header.base_offset > offset:
            return None
        if header.base_offset + header.last_offset_delta >= offset:
            if not found.whole:
                raise UndecodableRecords("the broker gives a part of the batch only")
            if header.is_control or _is_aborted(header, offset, aborted):
                return None
            return _take(batch, header, offset, max_value, max_decompressed)
    return None


@attrs.frozen
class Search:
    """What came of looking for a value. ``offset`` and ``timestamp`` are the record's, where it was found.

    ``next_offset`` is where to go on; None where the bytes were no whole batch.
    """

    next_offset: int | None
    offset: int | None = None
    timestamp: int = -1


def find_value(records: bytes, value: bytes, first: int, max_decompressed: int = MAX_DECOMPRESSED) -> Search:
    """The first record at ``first`` or later with exactly ``value``, in what a broker gives to a Fetch.

    A batch that does not decode, or is not of format 2, does not have it: the proxy writes none such.
    """
    next_offset = None
    for each in batches(records):
        header, batch = each.header, each.data
        if header is None or not each.whole:
            break
        next_offset = header.base_offset + max(header.last_offset_delta, 0) + 1
        if header.magic == 2 and not header.is_control:
            found = _search(batch, header, value, first, max_decompressed)
            if found is not None:
                return Search(next_offset, *found)
    return Search(next_offset)


def _search(
    batch: memoryview, header: BatchHeader, wanted: bytes, first: int, max_decompressed: int
) -> tuple[int, int] | None:
    if crc_of([batch]) != header.crc:
        return None
    reader = BatchReader(len(batch), max_decompressed=max_decompressed)
    reader.feed(batch)
    start: RecordStart | None = None
    value = bytearray()
    try:
        while (event := reader.next_event()) is not None:
            if isinstance(event, RecordStart):
                start = event if event.value_length == len(wanted) else None
                value.clear()
            elif start is not None and isinstance(event, ValueBytes):
                value += event.data
            elif start is not None and isinstance(event, RecordEnd) and value == wanted:
                offset = header.base_offset + start.offset_delta
                if offset >= first:
                    return offset, timestamp_of(header, start)
    except LfsError:
        return None
    return None


def timestamp_of(header: BatchHeader, start: RecordStart) -> int:
    """A record's own time, in milliseconds since the epoch."""
    if header.attributes & _LOG_APPEND_TIME:
        return header.max_timestamp
    return header.base_timestamp + start.timestamp_delta


def _is_aborted(header: BatchHeader, offset: int, aborted: Collection[tuple[int, int]]) -> bool:
    """A producer has one transaction at a time, so one that began before and ends behind is the record's."""
    return header.is_transactional and any(
        producer_id == header.producer_id and first <= offset for producer_id, first in aborted
    )


def _take(
    batch: memoryview, header: BatchHeader, offset: int, max_value: int, max_decompressed: int
) -> FoundRecord | None:
    if crc_of([batch]) != header.crc:
        raise CorruptBatch("the batch's CRC-32C is not that of its bytes")
    reader = BatchReader(
        len(batch),
        max_decompressed=max_decompressed,
        max_held=max_value,
        setting="LFS_LOOKUP_MAX_DECOMPRESSED_SIZE",
    )
    reader.feed(batch)
    wanted = offset - header.base_offset
    found: RecordStart | None = None
    value = bytearray()
    while (event := reader.next_event()) is not None:
        if isinstance(event, RecordStart):
            if event.offset_delta > wanted:
                return None
            found = event if event.offset_delta == wanted else None
            if found is not None and found.value_length > max_value:
                raise TooLarge(
                    f"its value has {found.value_length} bytes, LFS_MAX_PASSTHROUGH_SIZE allows {max_value}"
                )
        elif found is not None:
            if isinstance(event, RecordEnd):
                data = None if found.value_length < 0 else bytes(value)
                return FoundRecord(timestamp_of(header, found), data, event.headers)
            if isinstance(event, ValueBytes):
                value += event.data
    return None

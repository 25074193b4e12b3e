"""Walks the batches of a Fetch answer, and the records of one batch, for those that may be envelopes.

A partition's records are batches side by side. They begin with the one that has the offset asked for, or with
a later one where compaction has removed it, and may end in the middle of a batch. Nothing is held but what
may be an envelope: a batch is decompressed piece by piece, and stops being so when no further record is
asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import attrs
from stringzilla import find

from lfsproxy.envelope import MARKS, MAX_ENVELOPE_BYTES
from lfsproxy.errors import CorruptBatch, TooLarge, UndecodableRecords
from lfsproxy.wire.batch import (
    BATCH_OVERHEAD,
    HEADER_SIZE,
    MAGIC_OFFSET,
    NONE,
    BatchHeader,
    crc_of,
    has_any,
    parse_batch_header,
)
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.decompress import MAX_WINDOW
from lfsproxy.wire.fields import MAX_HELD, varint
from lfsproxy.wire.primitives import varint_size
from lfsproxy.wire.records import MAX_DECOMPRESSED, Pace
from lfsproxy.wire.scan import uncompressed

_HEAD: Final = 26
"""The most bytes of a record before its key: length 5, attributes 1, timestamp 10, offset 5, key length 5."""
_LENGTH: Final = 5
"""The most bytes of a length."""
_BRACE: Final = ord("{")
_LEAST_SIZE: Final = MAGIC_OFFSET + 1 - BATCH_OVERHEAD
"""The smallest ``batch_length`` with which a batch has its magic."""
_AT_ONCE: Final = 256
"""Records that are walked between two calls of ``pace``: a millisecond's."""


@attrs.frozen
class FetchedBatch:
    """A batch as it lies in an answer.

    ``header`` is None where the answer ends within it, or where no batch can be told: what follows cannot be
    walked. ``whole`` is False where the answer ends within the batch.
    """

    header: BatchHeader | None
    data: memoryview
    whole: bool

    @property
    def searchable(self) -> bool:
        """Whether a look inside is worth it: a whole batch of format 2 whose records are an application's."""
        header = self.header
        return self.whole and header is not None and header.magic == 2 and not header.is_control


def batches(records: Piece) -> Iterator[FetchedBatch]:
    """The batches in a partition's records: every byte is in one, in their order. Raises nothing."""
    view = memoryview(records)
    while view:
        header = _header(view)
        size = len(view) if header is None else header.batch_length + BATCH_OVERHEAD
        yield FetchedBatch(header, view[:size], header is not None and size <= len(view))
        view = view[size:]


def _header(data: memoryview) -> BatchHeader | None:
    try:
        header = parse_batch_header(data)
    except UndecodableRecords:
        return None
    least = HEADER_SIZE - BATCH_OVERHEAD if header.magic == 2 else _LEAST_SIZE
    return header if header.batch_length >= least else None


@attrs.frozen
class Limits:
    """What a batch may need: LFS_MAX_DECOMPRESSED_SIZE, and what decompressors may hold, all in bytes."""

    max_decompressed: int = MAX_DECOMPRESSED
    max_held: int = MAX_HELD
    max_window: int = MAX_WINDOW


LIMITS: Final = Limits()


def may_have_envelope(batch: FetchedBatch, limits: Limits = LIMITS, pace: Pace = lambda: None) -> bool:
    """The cheap test: whether the bytes that are in every envelope are anywhere in the batch.

    Raises UndecodableRecords or TooLarge for a batch that does not decompress within ``limits``. ``pace`` is
    called every few milliseconds; what it raises is raised.
    """
    header = batch.header
    if header is None or not batch.searchable:
        return False
    return has_any(_area(batch.data, header, limits, pace), MARKS)


def uncompressed_pieces(
    batch: FetchedBatch, limits: Limits = LIMITS, pace: Pace = lambda: None
) -> Iterator[Piece]:
    """The records of a whole batch of format 2, uncompressed piece by piece. Raises UndecodableRecords, or
    TooLarge beyond ``limits``."""
    assert batch.header is not None
    return _area(batch.data, batch.header, limits, pace)


def _area(data: memoryview, header: BatchHeader, limits: Limits, pace: Pace) -> Iterator[Piece]:
    produced = 0
    for piece in uncompressed([data], header, limits.max_held, limits.max_window):
        produced += len(piece)
        if header.codec != NONE and produced > limits.max_decompressed:
            raise TooLarge(
                "the decompressed batch is larger than LFS_MAX_DECOMPRESSED_SIZE allows"
                f" ({limits.max_decompressed} bytes)"
            )
        pace()
        yield piece


class RecordPlace(NamedTuple):
    """Where a record is in its batch's uncompressed records; places and lengths are in bytes.

    ``number`` counts the batch's records from 0. The record's length field is from ``start`` to ``body``, its
    value's from ``value_field`` to ``value``. A ``length`` of -1 is a null value. ``candidate`` is the value
    where it may be an envelope.
    """

    number: int
    offset_delta: int
    start: int
    body: int
    value_field: int
    value: int
    length: int
    end: int
    candidate: bytes | None

    @property
    def size(self) -> int:
        """Bytes of the record as it is."""
        return self.end - self.start

    @property
    def tail(self) -> int:
        """Where the headers begin."""
        return self.value + max(self.length, 0)

    def body_with(self, length: int) -> int:
        """What its length field says with another value of ``length`` bytes."""
        return self.value_field - self.body + varint_size(length) + length + self.end - self.tail

    def size_with(self, length: int) -> int:
        """Its size with another value of ``length`` bytes."""
        body = self.body_with(length)
        return varint_size(body) + body


def records_of(
    batch: FetchedBatch, limits: Limits = LIMITS, pace: Pace = lambda: None
) -> Iterator[RecordPlace]:
    """The records of a ``searchable`` batch, lazily and in order; their offsets rise.

    Raises CorruptBatch, before the first record, where the CRC-32C is not that of the bytes; further on
    UndecodableRecords, or TooLarge for what does not fit ``limits``.
    """
    header = batch.header
    assert header is not None
    if crc_of([batch.data]) != header.crc:
        raise CorruptBatch("the batch's CRC-32C is not that of its bytes")
    header.check_count(len(batch.data))
    window = _Window(_area(batch.data, header, limits, pace))
    last_delta = -1
    for index in range(header.count):
        try:
            place = _record(window, index)
        except IndexError:
            raise UndecodableRecords(f"record {index} ends early") from None
        except ValueError as error:
            raise UndecodableRecords(f"record {index} does not decode: {error}") from None
        if not last_delta < place.offset_delta <= header.last_offset_delta:
            raise UndecodableRecords(
                f"record {index} has the offset delta {place.offset_delta} behind {last_delta}, "
                f"the batch's last is {header.last_offset_delta}"
            )
        last_delta = place.offset_delta
        if not index % _AT_ONCE:
            pace()
        yield place
    if window.has(1):
        raise UndecodableRecords(f"bytes after the last of the batch's {header.count} records")


class _Window:
    """A few bytes of the uncompressed records: ``data`` from ``place`` on, which is at ``base + place``."""

    def __init__(self, pieces: Iterator[Piece]) -> None:
        self._pieces = pieces
        self.data: Piece = b""
        self.place = 0
        self.base = 0

    def has(self, count: int) -> bool:
        """Make sure that ``count`` bytes are at hand; False where the records end before."""
        left = len(self.data) - self.place
        if left >= count:
            return True
        found: list[Piece] = [self.data[self.place :]] if left else []
        while left < count and (piece := next(self._pieces, None)) is not None:
            found.append(piece)
            left += len(piece)
        self.base += self.place
        self.place = 0
        self.data = found[0] if len(found) == 1 else b"".join(found)
        return left >= count

    def skip(self, count: int) -> None:
        """Go on by ``count`` bytes. Raises IndexError where the records end before."""
        while count > (left := len(self.data) - self.place):
            count -= left
            self.base += len(self.data)
            self.place = 0
            self.data = next(self._pieces, b"")
            if not self.data:
                raise IndexError
        self.place += count


def _record(window: _Window, index: int) -> RecordPlace:
    """Raises IndexError where the records end within it, ValueError where it does not decode."""
    window.has(_HEAD)
    data, at = window.data, window.place
    start = window.base + at
    length, at = varint(data, at, 5)
    body = window.base + at
    end = body + length
    _, at = varint(data, at + 1, 10)
    offset_delta, at = varint(data, at, 5)
    key_length, at = varint(data, at, 5)
    value_field = window.base + at + max(key_length, 0)
    if key_length < -1 or value_field >= end:
        raise ValueError(f"its key of {key_length} bytes does not fit its length, {length} bytes")
    at = value_field - window.base
    if at + _LENGTH > len(data):
        window.skip(value_field - start)
        window.has(_LENGTH)
        data, at = window.data, window.place
    value_length, at = varint(data, at, 5)
    value = window.base + at
    tail = value + max(value_length, 0)
    if value_length < -1 or tail >= end:
        raise ValueError(f"its value of {value_length} bytes does not fit its length, {length} bytes")
    window.place = at
    candidate = _candidate(window, value_length) if 0 < value_length < MAX_ENVELOPE_BYTES else None
    window.skip(end - value)
    return RecordPlace(index, offset_delta, start, body, value_field, value, value_length, end, candidate)


def _candidate(window: _Window, length: int) -> bytes | None:
    """The value that comes next where it may be an envelope; nothing is consumed."""
    if not window.has(1) or window.data[window.place] != _BRACE:
        return None
    if not window.has(length):
        raise IndexError
    value = window.data[window.place : window.place + length]
    return bytes(value) if any(find(value, mark) >= 0 for mark in MARKS) else None

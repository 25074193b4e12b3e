"""Reads the records of a batch as its bytes arrive, compressed or not, without holding a value.

The modules beside this one: ``fields`` (what a record is made of), ``batch`` (the batch's header,
``is_clear``), ``scan`` (batches that are held whole are read twice: ``scan_batch``, then ``segments``),
``rewrite`` (``BatchWriter``), ``marks`` (what the headers ask for), ``decompress`` and ``compress``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Final

import attrs
from crc32c import crc32c

from lfsproxy.errors import CorruptBatch, LfsError, TooLarge, UndecodableRecords
from lfsproxy.wire.batch import (
    BATCH_OVERHEAD,
    CRC_START,
    HEADER_SIZE,
    MAGIC_OFFSET,
    MARK,
    NONE,
    SNAPPY,
    BatchHeader,
    parse_batch_header,
)
from lfsproxy.wire.chunks import Chunks, Piece
from lfsproxy.wire.decompress import MAX_WINDOW, Decompressor, is_xerial, new_decompressor
from lfsproxy.wire.fields import MAX_HELD, Header, parse_headers, varint
from lfsproxy.wire.snappy import READ_SIZE

Pace = Callable[[], None]
"""Called every few milliseconds by what may take long; it may raise, to end that."""
MAX_DECOMPRESSED: Final = 2**31 - 1
"""The default of LFS_MAX_DECOMPRESSED_SIZE, in bytes: lengths within a batch are int32."""
_FIXED_SIZE = 26
"""The most bytes of a record before its key: length 5, attributes 1, timestamp 10, offset 5, key length 5."""
_LEAST_LENGTH = 6
"""Of the smallest record, in bytes, its length field not counted."""
_SKIM_SIZE = 16 * 1024
"""Bytes that are searched at once for records to step over: they are copied."""
_FIELD_SHARE = 16
"""The part of ``max_held`` that a key, or the headers, may have: they are copied several times."""


@attrs.frozen
class BatchStart:
    """The batch begins. After a magic that is not 2 no event follows: such batches are not looked into."""

    header: BatchHeader


@attrs.frozen
class RecordStart:
    """A record begins. ``value_length`` is in bytes, -1 is null; ``timestamp_delta`` in milliseconds.

    ``raw_head`` is the record's exact bytes up to its value. With the value and ``RecordEnd.raw_tail`` they
    make the record as it came.
    """

    index: int
    key: bytes | None
    value_length: int
    attributes: int
    timestamp_delta: int
    offset_delta: int
    raw_head: bytes


@attrs.define
class ValueBytes:
    """Some of the record's value, at most 256 KiB where the batch is compressed."""

    data: Piece


@attrs.frozen
class RecordEnd:
    """The record is complete. ``raw_start`` and ``raw_end`` are its place in the uncompressed records."""

    index: int
    headers: Sequence[Header]
    raw_start: int
    raw_end: int
    raw_tail: bytes


@attrs.frozen
class BatchEnd:
    """Every byte of the batch was read. ``crc_ok`` is False where its CRC-32C is not that of its bytes."""

    crc_ok: bool


RecordEvent = BatchStart | RecordStart | ValueBytes | RecordEnd | BatchEnd
_Steps = Generator[RecordEvent | None, None, None]


class BatchReader:
    """Reads one partition's records field, ``size`` bytes long, which must be exactly one batch.

    ``feed`` bytes, then call ``next_event`` until it returns None: more bytes are needed, or all was read.
    ``max_decompressed`` is the value of ``setting``; ``max_held`` is LFS_MAX_PASSTHROUGH_SIZE, of which a
    key, and a record's headers, may have a sixteenth; both in bytes. ``max_window`` is for the decompressor.

    What cannot be read is an UndecodableRecords (or TooLarge), unless the CRC is wrong: then it is a
    CorruptBatch. Since this shows only at the batch's end, ``next_event`` raises there, and until then
    returns None while ``failed`` has the reason; feeding on costs a CRC. ``xerial``, known with the first
    record, tells that snappy is in the framing of snappy-java. ``position`` is how far the uncompressed
    records were read.

    With ``skim_below`` no events come for most records that are shorter than so many bytes and do not have
    the bytes LFS_BLOB: only their lengths are looked at, which is much faster. ``pace`` is called for each
    piece that is decompressed or stepped over; what it raises ends the reading.
    """

    def __init__(
        self,
        size: int,
        *,
        max_decompressed: int = MAX_DECOMPRESSED,
        max_held: int = MAX_HELD,
        max_window: int = MAX_WINDOW,
        skim_below: int | None = None,
        pace: Pace = lambda: None,
        setting: str = "LFS_MAX_DECOMPRESSED_SIZE",
    ) -> None:
        self.failed: LfsError | None = None
        self.xerial = False
        self.position = 0
        self._size = size
        self._max_decompressed = max_decompressed
        self._setting = setting
        self._max_held = max_held
        self._max_field = max_held // _FIELD_SHARE
        self._max_window = max_window
        self._fed = 0
        self._crc = 0
        self._header: BatchHeader | None = None
        self._area = Chunks()
        self._area_size = size - HEADER_SIZE
        self._skim_below = skim_below
        self._pace = pace
        self._produced = 0
        self._decompressor: Decompressor | None = None
        self._discard = False
        self._steps = self._read()

    def feed(self, data: Piece) -> None:
        """Take bytes of the records field, kept by reference."""
        skip = max(0, CRC_START - self._fed)
        if skip < len(data):
            self._crc = crc32c(memoryview(data)[skip:] if skip else data, self._crc)
        self._fed += len(data)
        if self._discard:
            return
        if self._decompressor is None:
            self._area.feed(data)
            return
        self._decompressor.feed(data)
        if self._fed >= self._size:
            self._decompressor.finish()

    def next_event(self) -> RecordEvent | None:
        """The next event; None where more bytes are needed, after BatchEnd, and where the magic is not 2."""
        if self.failed is None:
            try:
                return next(self._steps, None)
            except LfsError as error:
                self.failed = error
                self._drop()
        if self._fed < self._size:
            return None
        header = self._header
        whole = header is not None and header.batch_length + BATCH_OVERHEAD == self._size
        if header is not None and header.magic == 2 and whole and not self._crc_ok:
            raise CorruptBatch("the batch's CRC-32C is not that of its bytes")
        raise self.failed

    def give_up(self, error: LfsError) -> None:
        """The caller has found a fault of its own: it is treated as one of the reader's, see ``failed``."""
        self.failed = error
        self._drop()

    @property
    def _crc_ok(self) -> bool:
        return self._header is not None and self._crc == self._header.crc

    def _drop(self) -> None:
        """Nothing more is looked at: hold nothing, and take only what the CRC needs."""
        self._discard = True
        self._decompressor = None
        self._area = Chunks()

    def _read(self) -> _Steps:
        header = yield from self._batch_header()
        self._header = header
        if header.magic != 2:
            self._drop()
            yield BatchStart(header)
            return
        if header.batch_length + BATCH_OVERHEAD != self._size:
            raise UndecodableRecords(
                f"a partition's records must be exactly one batch: {self._size} bytes came, the first batch"
                f" has {header.batch_length + BATCH_OVERHEAD}"
            )
        header.check_count(self._size)
        yield BatchStart(header)
        if header.codec != NONE:
            yield from self._decompress(header.codec)
        index = 0
        while index < header.count:
            if self._skim_below is not None:
                index += self._skim(header.count - index, self._skim_below)
            if index < header.count:
                yield from self._record(index)
                index += 1
        if (yield from self._more(1)):
            raise UndecodableRecords(f"bytes after the last of the batch's {header.count} records")
        yield BatchEnd(self._crc_ok)

    def _batch_header(self) -> Generator[None, None, BatchHeader]:
        area = self._area
        while area.size <= MAGIC_OFFSET and self._fed < self._size:
            yield
        start = area.peek(min(MAGIC_OFFSET + 1, area.size)) or b""
        if len(start) > MAGIC_OFFSET and start[MAGIC_OFFSET] != 2:
            return parse_batch_header(start)
        while area.size < HEADER_SIZE and self._fed < self._size:
            yield
        return parse_batch_header(area.take(min(HEADER_SIZE, area.size)) or b"")

    def _decompress(self, codec: int) -> Generator[None, None, None]:
        """From here on the area is what the decompressor makes of the bytes."""
        while self._area.size < 8 and self._fed < self._size:
            yield
        compressed, self._area = self._area, Chunks()
        start = compressed.peek(min(8, compressed.size)) or b""
        decompressor = new_decompressor(codec, start, self._max_held, self._max_window)
        self.xerial = codec == SNAPPY and is_xerial(start)
        self._area_size = MAX_DECOMPRESSED
        while data := compressed.take_some(compressed.size):
            decompressor.feed(data)
        if self._fed >= self._size:
            decompressor.finish()
        self._decompressor = decompressor

    def _more(self, count: int) -> Generator[None, None, bool]:
        """Wait until the area has ``count`` bytes; False where the batch ends before."""
        while self._area.size < count:
            if self._decompressor is not None:
                piece = self._decompressor.read()
                self._pace()
                if piece:
                    self._produced += len(piece)
                    if self._produced > self._max_decompressed:
                        raise TooLarge(
                            f"the decompressed batch is larger than {self._setting} allows"
                            f" ({self._max_decompressed} bytes)"
                        )
                    self._area.feed(piece)
                    continue
            if self._fed >= self._size:
                return False
            yield
        return True

    def _skim(self, count: int, below: int) -> int:
        """Skip records that lie whole in the next bytes at hand, and return how many; at most ``count``."""
        self._pace()
        data = bytes(self._area.look(_SKIM_SIZE))
        mark = data.find(MARK)
        end = len(data) if mark < 0 else mark
        place = skipped = 0
        while skipped < count and place < end:
            try:
                length, start = varint(data, place, 5)
            except (IndexError, ValueError):
                break
            if not _LEAST_LENGTH <= length < below or start + length > end:
                break
            place = start + length
            skipped += 1
        self._area.skip(place)
        self.position += place
        return skipped

    def _record(self, index: int) -> _Steps:
        area = self._area
        start = self.position
        if area.size < _FIXED_SIZE:
            yield from self._more(_FIXED_SIZE)
        raw = area.peek(min(_FIXED_SIZE, area.size)) or b""
        try:
            length, place = varint(raw, 0, 5)
            end = start + place + length
            if end > self._area_size:
                raise ValueError(f"its length of {length} bytes does not fit its batch")
            attributes = raw[place]
            timestamp_delta, place = varint(raw, place + 1, 10)
            offset_delta, place = varint(raw, place, 5)
            key_length, place = varint(raw, place, 5)
            key_end = place + max(key_length, 0)
            if length < 0 or key_length < -1 or start + key_end > end:
                raise ValueError(f"its key of {key_length} bytes does not fit its length, {length} bytes")
            self._check_held("a key", key_length)
            if area.size < key_end + 5:
                yield from self._more(key_end + 5)
            raw = area.peek(min(key_end + 5, area.size)) or b""
            value_length, head_size = varint(raw, key_end, 5)
            value_end = start + head_size + max(value_length, 0)
            if value_length < -1 or value_end > end:
                raise ValueError(f"its value of {value_length} bytes does not fit its length, {length} bytes")
            head = bytes(raw[:head_size])
            key = None if key_length < 0 else head[place:key_end]
            area.skip(head_size)
            yield RecordStart(index, key, value_length, attributes, timestamp_delta, offset_delta, head)
            left = value_length
            while left > 0:
                data = area.take_some(min(left, READ_SIZE))
                if data:
                    left -= len(data)
                    yield ValueBytes(data)
                elif not (yield from self._more(1)):
                    raise IndexError
            self._check_held("the headers", end - value_end)
            if area.size < end - value_end and not (yield from self._more(end - value_end)):
                raise IndexError
            tail = area.take(end - value_end) or b""
            headers = parse_headers(tail, self._max_field)
        except IndexError:
            raise UndecodableRecords(f"record {index} ends early") from None
        except ValueError as error:
            raise UndecodableRecords(f"record {index} does not decode: {error}") from None
        self.position = end
        yield RecordEnd(index, headers, start, end, tail)

    def _check_held(self, what: str, size: int) -> None:
        # They are copied several times until the record is written anew.
        if size > self._max_field:
            raise TooLarge(
                f"{what} of {size} bytes, a batch with LFS records may have LFS_MAX_PASSTHROUGH_SIZE / "
                f"{_FIELD_SHARE} = {self._max_field} bytes"
            )

"""Writes a batch of a Fetch answer anew, uncompressed, with other values in some of its records.

The values themselves are never here: their lengths and CRC-32Cs are known in advance, and with them the
batch's own, before its first byte is written. All else stays as the broker has it: keys, headers, timestamps
and offsets of each record; of the batch's header everything but length, CRC and codec, and, of a batch that
is given in part, its count and last offset.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs
from crc32c import crc32c

from lfsproxy.checksums import combine_crc32c
from lfsproxy.errors import TooLarge
from lfsproxy.gathered import Gathered
from lfsproxy.wire.batch import BATCH_OVERHEAD, HEADER_SIZE
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.frames import MAX_FRAME
from lfsproxy.wire.primitives import put_varint
from lfsproxy.wire.records import Pace
from lfsproxy.wire.scan import Area, uncompressed
from lfsproxy.wire.snappy import READ_SIZE
from lfsproxy.wire.walk import LIMITS, FetchedBatch, Limits, RecordPlace


@attrs.frozen
class NewValue:
    """What ``record`` has as its value from now on: ``length`` bytes with that CRC-32C."""

    record: RecordPlace
    length: int
    crc: int


class Rewrite:
    """A batch with the records from ``first`` to ``last``, and the new ``values``, in the records' order.

    ``size`` is in bytes of the new batch. Raises TooLarge for 2 GiB or more. First ``seal``, which reads the
    batch through, then ``pieces``, which does so again.
    """

    def __init__(
        self,
        batch: FetchedBatch,
        first: RecordPlace,
        last: RecordPlace,
        values: Sequence[NewValue],
        limits: Limits = LIMITS,
    ) -> None:
        header = batch.header
        assert header is not None
        self._batch = batch
        self._old = header
        self._limits = limits
        self._start = first.start
        self._end = last.end
        self._values = values
        to_end = last.number == header.count - 1
        self._header = attrs.evolve(
            header,
            attributes=header.attributes & ~7,
            count=last.number - first.number + 1,
            last_offset_delta=header.last_offset_delta if to_end else last.offset_delta,
        )
        grown = sum(each.record.size_with(each.length) - each.record.size for each in values)
        self.size = HEADER_SIZE + last.end - first.start + grown
        if self.size > MAX_FRAME:
            raise TooLarge(f"a record batch of {self.size} bytes, {MAX_FRAME} are possible")
        self._sealed: bytes | None = None

    def seal(self, pace: Pace = lambda: None) -> None:
        """Compute the CRC-32C. ``pace`` is called every few milliseconds; what it raises is raised."""
        crc = crc32c(self._header.signed_fields())
        for step in self._steps():
            if isinstance(step, NewValue):
                crc = combine_crc32c(crc, step.crc, step.length)
            else:
                crc = crc32c(step, crc)
            pace()
        self._sealed = self._header.to_bytes(self.size - BATCH_OVERHEAD, crc)

    def pieces(self) -> Iterator[Piece | NewValue]:
        """The batch, lazily; a NewValue stands where its bytes come.

        Slices of the batch as it was where it is not compressed, else pieces of at most about 1 MiB; empty
        ones come while records are left out that have to be decompressed.
        """
        assert self._sealed is not None
        gathered = Gathered()
        gathered.add(self._sealed)
        for step in self._steps():
            if not isinstance(step, NewValue):
                gathered.add(step)
                if gathered.size < READ_SIZE:
                    if not step:
                        yield step
                    continue
            yield from gathered.take()
            if isinstance(step, NewValue):
                yield step
        yield from gathered.take()

    def _steps(self) -> Iterator[Piece | NewValue]:
        """What follows the header: bytes that stay, lengths that change, new values. Empty ones come while
        records are left out."""
        limits = self._limits
        area = Area(uncompressed([self._batch.data], self._old, limits.max_held, limits.max_window))
        for _ in area.take(self._start):
            yield b""
        place = self._start
        for each in self._values:
            record = each.record
            yield from area.take(record.start - place)
            yield _varint(record.body_with(each.length))
            area.skip(record.body - record.start)
            yield from area.take(record.value_field - record.body)
            yield _varint(each.length)
            area.skip(record.tail - record.value_field)
            yield each
            place = record.tail
        yield from area.take(self._end - place)


def _varint(value: int) -> bytes:
    out = bytearray()
    put_varint(out, value)
    return bytes(out)

"""The header of a record batch, and the cheap test that lets nearly all batches pass unread.

A batch of format 2 (https://kafka.apache.org/documentation/#recordbatch), offsets in bytes; the CRC-32C is
over everything from ``attributes`` to the end, as it is on the wire (compressed)::

     0 base_offset:int64             17 crc:uint32                 43 producer_id:int64
     8 batch_length:int32            21 attributes:int16           51 producer_epoch:int16
    12 partition_leader_epoch:int32  23 last_offset_delta:int32    53 base_sequence:int32
    16 magic:int8                    27 base_timestamp:int64       57 count:int32
                                     35 max_timestamp:int64        61 records

``attributes``: bits 0 to 2 the codec, 3 the timestamp type, 4 transactional, 5 control. Formats 0 and 1 have
their magic at the same place, and no headers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Final

import attrs
from crc32c import crc32c
from stringzilla import find

from lfsproxy.errors import UndecodableRecords
from lfsproxy.wire.chunks import Piece

HEADER_SIZE: Final = 61
MAGIC_OFFSET: Final = 16
CRC_START: Final = 21
COUNT_OFFSET: Final = 57
BATCH_OVERHEAD: Final = 12
"""``batch_length`` counts what follows it: the records field is this much longer."""

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
MARK: Final = b"LFS_BLOB"
"""The header that asks for an offload. LFS_BLOB_ALG contains it too."""

LEAST_RECORD: Final = 7
"""Bytes of the smallest record: its length, attributes, two deltas, no key, no value, no headers."""
USUAL_RECORDS: Final = 2**20 // LEAST_RECORD
"""As many of the smallest records as make 1 MiB: a count that is believed whatever the batch's size."""
RECORDS_PER_BYTE: Final = 8
"""Of the smallest records, the most that one byte of compressed data can stand for, with room to spare."""
_HEADER = Struct(">qiibIhiqqqhii")
_SIGNED = Struct(">hiqqqhii")


@attrs.frozen
class BatchHeader:
    """A batch's header; of formats 0 and 1 only ``base_offset``, ``batch_length`` and ``magic`` are known.

    ``batch_length`` is in bytes, timestamps are in milliseconds, -1 is no producer id, epoch or sequence.
    """

    base_offset: int
    batch_length: int
    partition_leader_epoch: int = -1
    magic: int = 2
    crc: int = 0
    attributes: int = 0
    last_offset_delta: int = 0
    base_timestamp: int = -1
    max_timestamp: int = -1
    producer_id: int = -1
    producer_epoch: int = -1
    base_sequence: int = -1
    count: int = 0

    @property
    def codec(self) -> int:
        """NONE, GZIP, SNAPPY, LZ4 or ZSTD; 5 to 7 are not defined."""
        return self.attributes & 7

    @property
    def is_transactional(self) -> bool:
        return bool(self.attributes & 0x10)

    @property
    def is_control(self) -> bool:
        return bool(self.attributes & 0x20)

    @property
    def has_producer_id(self) -> bool:
        """Whether an idempotent or transactional producer sent it."""
        return self.producer_id >= 0

    def most_records(self, size: int) -> int:
        """The most records that a batch of ``size`` bytes can have.

        Compressed, it may be any number that makes 1 MiB, and beyond that RECORDS_PER_BYTE: each record has
        an offset delta of its own, so that codecs get no more than two of the smallest ones into a byte.
        """
        if self.codec == NONE:
            return max(size - HEADER_SIZE, 0) // LEAST_RECORD
        return USUAL_RECORDS + RECORDS_PER_BYTE * size

    def check_count(self, size: int) -> None:
        """Raise UndecodableRecords for a count that ``size`` bytes cannot have, before they are inflated."""
        if not 0 <= self.count <= self.most_records(size):
            raise UndecodableRecords(f"a batch of {self.count} records in {size} bytes")

    def signed_fields(self) -> bytes:
        """The 40 bytes of the header that the CRC covers, from ``attributes`` to ``count``."""
        return _SIGNED.pack(
            self.attributes,
            self.last_offset_delta,
            self.base_timestamp,
            self.max_timestamp,
            self.producer_id,
            self.producer_epoch,
            self.base_sequence,
            self.count,
        )

    def to_bytes(self, batch_length: int, crc: int) -> bytes:
        """The 61 bytes, with another length and CRC."""
        return _HEADER.pack(
            self.base_offset,
            batch_length,
            self.partition_leader_epoch,
            self.magic,
            crc,
            *_SIGNED.unpack(self.signed_fields()),
        )


def parse_batch_header(data: Piece) -> BatchHeader:
    """The header at the start of ``data``. Raises UndecodableRecords where there is not enough of it.

    Of a batch of format 0 or 1, or of one that is not known, 17 bytes suffice.
    """
    if len(data) <= MAGIC_OFFSET:
        raise UndecodableRecords(f"{len(data)} bytes are no record batch")
    magic = int.from_bytes(data[MAGIC_OFFSET : MAGIC_OFFSET + 1], "big", signed=True)
    if magic != 2:
        base_offset = int.from_bytes(data[:8], "big", signed=True)
        batch_length = int.from_bytes(data[8:12], "big", signed=True)
        return BatchHeader(base_offset, batch_length, magic=magic)
    if len(data) < HEADER_SIZE:
        raise UndecodableRecords(f"a record batch of {len(data)} bytes is shorter than its header")
    return BatchHeader(*_HEADER.unpack_from(data))


def as_pieces(records: Piece | Sequence[Piece]) -> Sequence[Piece]:
    """Records that are held whole, in one piece or in several."""
    return (records,) if isinstance(records, bytes | memoryview) else records


def first_bytes(pieces: Iterable[Piece], count: int) -> bytes:
    """Up to ``count`` bytes from the start of ``pieces``."""
    found = b""
    for piece in pieces:
        found += piece[: count - len(found)]
        if len(found) >= count:
            break
    return found


def crc_of(pieces: Iterable[Piece]) -> int:
    """The CRC-32C of a batch's bytes from ``attributes`` to the end."""
    skip = CRC_START
    value = 0
    for piece in pieces:
        if skip < len(piece):
            value = crc32c(memoryview(piece)[skip:], value)
        skip = max(0, skip - len(piece))
    return value


def has_any(pieces: Iterable[Piece], marks: Sequence[bytes]) -> bool:
    """Whether one of ``marks`` is anywhere in ``pieces``, also across their edges."""
    overlap = max(map(len, marks)) - 1
    tail = b""
    for piece in pieces:
        edge = tail + piece[:overlap]
        if any(find(piece, mark) >= 0 or mark in edge for mark in marks):
            return True
        tail = bytes(piece[-overlap:]) if len(piece) >= overlap else edge[-overlap:]
    return False


def has_mark(pieces: Iterable[Piece]) -> bool:
    """Whether the bytes LFS_BLOB are anywhere in ``pieces``, also across their edges."""
    return has_any(pieces, (MARK,))


def is_clear(records: Piece | Sequence[Piece], threshold: int = 0) -> bool:
    """Whether records that are held whole may pass without being read, since nothing of them is offloaded.

    They are of a format without headers, or not compressed, without the bytes LFS_BLOB, and smaller than
    ``threshold`` bytes (0 is no threshold). What is no batch at all is clear too: the broker judges it.
    """
    pieces = as_pieces(records)
    start = first_bytes(pieces, HEADER_SIZE)
    if len(start) < HEADER_SIZE or start[MAGIC_OFFSET] != 2:
        return True
    if start[CRC_START + 1] & 7 != NONE:
        return False
    if threshold and sum(map(len, pieces)) >= threshold:
        return False
    return not has_mark(pieces)

"""A topic's log with envelopes among its records, a broker that gives slices of it, and a consumer's eyes."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence

import attrs
from crc32c import crc32c
from kafka.record.memory_records import MemoryRecords

from lfsproxy.envelope import Envelope
from lfsproxy.relay.fetch.plan import PartitionPlan, Place, Rewritten
from lfsproxy.wire.hydrate import NewValue, Rewrite
from tests.wire.fetched import CONTROL, TRANSACTIONAL, Made, MadeBatch

ABORT = struct.pack(">hh", 0, 0)
"""The key of the record that ends an aborted transaction."""


def envelope(size: int, key: str = "lfs/default/t/0/1-x.bin") -> Envelope:
    """One of a blob of ``size`` bytes."""
    return Envelope("kafscale", key, "text/plain", size, "crc32", "00000000")


def blob_of(found: Envelope) -> bytes:
    """Its bytes, for tests that have no store."""
    return bytes([found.content_length % 251]) * found.content_length


@attrs.frozen
class Log:
    """A partition's batches, their offsets rising."""

    batches: Sequence[MadeBatch]

    @property
    def end(self) -> int:
        """The next record's offset."""
        return self.batches[-1].base_offset + self.batches[-1].last_delta + 1 if self.batches else 0

    def records(self, offset: int = 0) -> Iterator[tuple[int, Made, MadeBatch]]:
        """The records from an offset on, each with its own."""
        for batch in self.batches:
            for one in batch.records:
                if batch.base_offset + one.offset_delta >= offset:
                    yield batch.base_offset + one.offset_delta, one, batch

    def marker(self, producer: int, first: int) -> int:
        """The offset of the control batch that ends an aborted transaction."""
        return next(
            batch.base_offset
            for batch in self.batches
            if batch.attributes & CONTROL and batch.producer[0] == producer and batch.base_offset > first
        )

    def given(self, offset: int, max_bytes: int, is_first: bool) -> bytes:
        """What a broker gives: from the batch with the offset on, cut anywhere but within the first one.

        ``is_first``: nothing else is in the answer yet, so that its first batch is given whatever its size.
        """
        left = [batch.to_bytes() for batch in self.batches if batch.base_offset + batch.last_delta >= offset]
        if not left or (len(left[0]) > max_bytes and not is_first):
            return b""
        return b"".join(left)[: max(max_bytes, len(left[0]))]


def aborted_field(transactions: Sequence[tuple[int, int]]) -> bytes:
    """Producer ids and first offsets, as an answer of version 11 has them."""
    return struct.pack(">i", len(transactions)) + b"".join(struct.pack(">qq", *one) for one in transactions)


def end_of_transaction(base_offset: int, producer: int) -> MadeBatch:
    """The control batch that a broker appends when a transaction is aborted."""
    return MadeBatch(
        [Made(0, 0, (ABORT, struct.pack(">hi", 0, 0), []))],
        attributes=TRANSACTIONAL | CONTROL,
        base_offset=base_offset,
        producer=(producer, 0, -1),
    )


def written(plan: PartitionPlan, envelopes: Mapping[Place, Envelope]) -> bytes:
    """The records field that a plan comes to, its batches' CRC-32Cs made of those of the blobs."""
    if plan.parts is None:
        return bytes(plan.fetched.records or b"")
    out = bytearray()
    for part in plan.parts:
        if not isinstance(part, Rewritten):
            out += part
            continue
        values = {blob.record.number: blob_of(envelopes[blob.at]) for blob in part.blobs}
        rewrite = Rewrite(
            part.batch,
            part.first,
            part.last,
            [
                NewValue(blob.record, len(values[blob.record.number]), crc32c(values[blob.record.number]))
                for blob in part.blobs
            ],
        )
        rewrite.seal()
        for piece in rewrite.pieces():
            out += values[piece.record.number] if isinstance(piece, NewValue) else piece
    return bytes(out)


def seen(records: bytes, offset: int) -> tuple[list[tuple[int, bytes | None]], int]:
    """What a consumer that is at ``offset`` sees, offsets and values, and where it is then.

    As kafka-python reads it; each CRC-32C is checked. A part of a batch at the end is dropped.
    """
    found: list[tuple[int, bytes | None]] = []
    batches = MemoryRecords(records)
    while (batch := batches.next_batch()) is not None:
        assert batch.validate_crc()
        found += [
            (each.offset, each.value)
            for each in batch
            if each.offset >= offset and not batch.is_control_batch
        ]
        offset = max(offset, batch.base_offset + batch.last_offset_delta + 1)
    return found, offset

"""Records to publish, and the batches that they make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from lfsproxy.interfaces import Header
from lfsproxy.wire.batch import BatchHeader
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.rewrite import BatchWriter

RECORD_OVERHEAD: Final = 64
"""Bytes that a record takes beside its key, value and headers, at most; a header takes 10 of its own."""
_SEQUENCES: Final = 2**31


@attrs.frozen
class Record:
    """A record to publish; ``timestamp`` is in milliseconds since the epoch, None is now."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: Sequence[Header]
    timestamp: int | None

    @property
    def size(self) -> int:
        """Bytes that it takes in a batch, at most."""
        headers = sum(len(name) + len(value or b"") + 10 for name, value in self.headers)
        return RECORD_OVERHEAD + len(self.key or b"") + len(self.value) + headers


@attrs.frozen
class ProducerId:
    """By which a broker knows repeated batches (KIP-98)."""

    id: int
    epoch: int


NO_PRODUCER: Final = ProducerId(-1, -1)
"""Of a broker that does not give any."""


def sequence_after(sequence: int, count: int) -> int:
    """The sequence of what follows ``count`` records: after 2^31 - 1 comes 0."""
    return (sequence + count) % _SEQUENCES


def encode_batch(
    records: Sequence[Record], timestamps: Sequence[int], producer: ProducerId, sequence: int
) -> list[Piece]:
    """The batch of the records, which were made at ``timestamps``, in pieces."""
    header = BatchHeader(
        base_offset=0,
        batch_length=0,
        last_offset_delta=len(records) - 1,
        base_timestamp=timestamps[0],
        max_timestamp=max(timestamps),
        producer_id=producer.id,
        producer_epoch=producer.epoch,
        base_sequence=sequence if producer != NO_PRODUCER else -1,
        count=len(records),
    )
    writer = BatchWriter(header)
    for index, (record, timestamp) in enumerate(zip(records, timestamps, strict=True)):
        writer.record(0, timestamp - timestamps[0], index, record.key, record.value, record.headers)
    return writer.finish()

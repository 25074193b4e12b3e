"""Which envelopes are in batches, and which records are still there. Runs in threads, step by step."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import attrs

from lfsproxy.envelope import MAX_ENVELOPE_BYTES, Envelope, recognise
from lfsproxy.errors import InvalidEnvelope, UnsupportedEnvelope
from lfsproxy.wire.unpack import UnpackedRecord, unpack
from lfsproxy.wire.walk import FetchedBatch, Limits, may_have_envelope, records_of

_RECORDS = 100_000
"""Records that are looked at in one step at most: less than a second, in which a look cannot be cancelled."""


@attrs.frozen
class Claim:
    """A record whose value is an envelope, or is meant as one: then ``envelope`` is the sentence why not."""

    offset: int
    timestamp: int
    key: bytes | None
    envelope: Envelope | str


@attrs.frozen
class Looked:
    """What is between two offsets: ``records`` in all, the envelopes among them; all before ``upto``."""

    records: int
    claims: Sequence[Claim]
    upto: int


def claims_in(
    found: Sequence[FetchedBatch], first: int, end: int, most: int, limits: Limits
) -> Iterator[Looked]:
    """The envelopes from offset ``first`` to before ``end``, at most ``most`` at a time.

    Raises UndecodableRecords, and TooLarge for what does not fit ``limits``.
    """
    records = upto = 0
    claims: list[Claim] = []
    for batch in found:
        header = batch.header
        assert header is not None
        last = header.base_offset + header.last_offset_delta
        if first <= header.base_offset and last < end and not may_have_envelope(batch, limits):
            records += header.count
        else:
            for record in _unpacked(batch, first, end, limits):
                records += 1
                if (claim := _claim(record)) is not None:
                    claims.append(claim)
                if len(claims) >= most or records >= _RECORDS:
                    yield Looked(records, claims, record.offset + 1)
                    records, claims = 0, []
        upto = min(last + 1, end)
    if records:
        yield Looked(records, claims, upto)


def _unpacked(batch: FetchedBatch, first: int, end: int, limits: Limits) -> Iterator[UnpackedRecord]:
    for portion in unpack([batch], first, end, MAX_ENVELOPE_BYTES, limits):
        yield from portion


def _claim(record: UnpackedRecord) -> Claim | None:
    envelope: Envelope | str | None
    try:
        envelope = recognise(record.value)
    except (InvalidEnvelope, UnsupportedEnvelope) as error:
        envelope = str(error)
    return None if envelope is None else Claim(record.offset, record.timestamp, record.key, envelope)


def still_there(found: Sequence[FetchedBatch], wanted: Collection[int], limits: Limits) -> Iterator[set[int]]:
    """Which of the offsets are in the batches.

    Raises CorruptBatch, UndecodableRecords, and TooLarge for what does not fit ``limits``.
    """
    for batch in found:
        header = batch.header
        assert header is not None
        base = header.base_offset
        if any(base <= offset <= base + header.last_offset_delta for offset in wanted):
            there = {base + record.offset_delta for record in records_of(batch, limits)}
            yield there.intersection(wanted)

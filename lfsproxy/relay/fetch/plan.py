"""What a consumer gets for a broker's answer: pure, told before a byte is written.

Records are taken in their order until the consumer's own limits are reached (KIP-74): the first record of the
first partition that has any is always given, and nothing else beyond the answer's limit and its partition's
own. A batch passes as it is unless one of its records becomes a blob; such a batch may be given in part, its
first records. So the consumer always gets on, and no record is given twice or skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Final

import attrs

from lfsproxy.envelope import Envelope, recognise
from lfsproxy.errors import (
    CorruptBatch,
    EnvelopeNotAllowed,
    InvalidEnvelope,
    TooLarge,
    UndecodableRecords,
    UnsupportedEnvelope,
)
from lfsproxy.wire.aborted import Aborted
from lfsproxy.wire.batch import HEADER_SIZE, BatchHeader
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.fetch_answers import FetchedPartition
from lfsproxy.wire.frames import MAX_FRAME
from lfsproxy.wire.records import Pace
from lfsproxy.wire.walk import (
    LIMITS,
    FetchedBatch,
    Limits,
    RecordPlace,
    batches,
    may_have_envelope,
    records_of,
)

MOST_BLOBS: Final = 256
"""Blobs of one answer: each is asked for before the first byte leaves, while the consumer waits."""
MOST_ANSWER: Final = MAX_FRAME - 64 * 1024 * 1024
"""Bytes of records in one answer, whatever its consumer takes: a frame has room for what is around them."""

Place = tuple[str, int, int]
"""A record by its topic, partition and offset."""
Failed = Mapping[Place, int | None]
"""Records that cannot become blobs: the error code of their partition; None leaves the envelope."""


@attrs.frozen
class Rules:
    """Which envelopes become blobs. Sizes are in bytes.

    ``check`` raises EnvelopeNotAllowed, given a topic and an envelope. ``small``: up to that size a blob is
    held whole, and so many bytes are of all that are. ``keeps``: a blob that is gone leaves its envelope.
    """

    check: Callable[[str, Envelope], None]
    most: int
    small: int
    keeps: bool = False
    limits: Limits = LIMITS


@attrs.frozen(eq=False)
class Wanted:
    """A partition of the answer, and what the consumer asked of it, in bytes; ``topic`` is None where its
    envelopes stay. ``aborted`` makes what tells the batches that its consumer skips."""

    fetched: FetchedPartition
    topic: str | None
    fetch_offset: int
    max_bytes: int
    aborted: Callable[[], Aborted] | None = None


@attrs.frozen(eq=False)
class Blob:
    """A record that becomes its blob. ``is_small``: the blob is held whole."""

    at: Place
    envelope: Envelope
    record: RecordPlace
    is_small: bool


@attrs.frozen(eq=False)
class Rewritten:
    """A batch that is given anew, from the record ``first`` to ``last``, with some of its values as blobs."""

    batch: FetchedBatch
    first: RecordPlace
    last: RecordPlace
    blobs: Sequence[Blob]


Part = Piece | Rewritten


@attrs.frozen(eq=False)
class PartitionPlan:
    """What becomes of a partition. ``parts`` are None where its records pass as they came."""

    fetched: FetchedPartition
    parts: Sequence[Part] | None
    error_code: int = 0


@attrs.frozen(eq=False)
class Plan:
    """What becomes of an answer's partitions, in their order.

    ``kept`` are the envelopes that stay for a reason that is counted: topic and result.
    """

    partitions: Sequence[PartitionPlan]
    kept: Sequence[tuple[str, str]]

    @property
    def blobs(self) -> list[Blob]:
        """The records that become blobs, in order."""
        return [blob for part in self.rewritten for blob in part.blobs]

    @property
    def rewritten(self) -> list[Rewritten]:
        """The batches that are written anew, in order."""
        parts = [part for partition in self.partitions for part in partition.parts or ()]
        return [part for part in parts if isinstance(part, Rewritten)]

    @property
    def is_unchanged(self) -> bool:
        """Whether the broker's answer passes as it came."""
        return all(partition.parts is None for partition in self.partitions)


def make_plan(
    wanted: Sequence[Wanted],
    max_bytes: int,
    rules: Rules,
    failed: Failed | None = None,
    pace: Pace = lambda: None,
    got: Container[Place] | None = None,
) -> Plan:
    """The plan for an answer of which the consumer takes ``max_bytes`` of records.

    ``pace`` is called every few milliseconds; what it raises is raised. ``got``: of no other records the
    blobs are given, the answer ends before them.
    """
    planner = _Planner(min(max_bytes, MOST_ANSWER), rules, failed or {}, pace, got)
    partitions = [planner.partition(one) for one in wanted]
    if not planner.found_any and not planner.left_out_any:
        # Nothing grows, and the broker has kept the limits.
        partitions = [PartitionPlan(one.fetched, None) for one in wanted]
    return Plan(partitions, planner.kept)


@attrs.frozen
class _Given:
    """A part that is given, of ``size`` bytes; ``is_cut``: nothing of its partition is given behind it."""

    part: Part
    size: int
    is_cut: bool = False


class _Stopped(Exception):
    """Nothing of the batch is given, and nothing behind it; with ``code`` if that is because of an error."""

    def __init__(self, code: int = 0) -> None:
        super().__init__(code)
        self.code = code


class _Planner:
    """Gives out what the consumer takes in one answer. ``found_any``: some record is to become a blob.

    ``left_out_any``: something is not given that was not looked into: a part of a batch, or what a broker
    gives beyond the consumer's limits.
    """

    def __init__(
        self, max_bytes: int, rules: Rules, failed: Failed, pace: Pace, got: Container[Place] | None
    ) -> None:
        self.found_any = False
        self.left_out_any = False
        self.kept: list[tuple[str, str]] = []
        self.rules = rules
        self.failed = failed
        self.got = got
        self.pace = pace
        self.left = max_bytes
        self.small_left = rules.small
        self.blobs_left = MOST_BLOBS
        self.is_first = True

    def partition(self, wanted: Wanted) -> PartitionPlan:
        """Take what may be taken of a partition."""
        records = wanted.fetched.records
        if not records:
            return PartitionPlan(wanted.fetched, None)
        parts: list[Part] = []
        taken = 0
        aborted = wanted.aborted() if wanted.aborted is not None else None
        code = 0
        try:
            for batch in batches(records):
                room = min(self.left, wanted.max_bytes - taken)
                given = self._batch(wanted, batch, aborted, room, not parts)
                parts.append(given.part)
                taken += given.size
                self.left -= given.size
                self.is_first = False
                if given.is_cut:
                    break
        except _Stopped as stopped:
            code = 0 if parts else stopped.code
        is_whole = all(not isinstance(part, Rewritten) for part in parts) and taken == len(records)
        return PartitionPlan(wanted.fetched, None if is_whole else parts, code)

    def _batch(
        self, wanted: Wanted, batch: FetchedBatch, aborted: Aborted | None, room: int, begins: bool
    ) -> _Given:
        """What is given of the next batch; ``begins``: it is its partition's first. Raises _Stopped."""
        header = batch.header
        is_aborted = aborted is not None and header is not None and aborted.has(header)
        if room <= 0 and not self.is_first:
            self.left_out_any = self.left_out_any or wanted.topic is not None
            raise _Stopped
        if header is not None and wanted.topic is not None and batch.searchable and not is_aborted:
            try:
                if may_have_envelope(batch, self.rules.limits, self.pace):
                    choice = _Choice(self, wanted, wanted.topic, header, room)
                    given = choice.of(batch)
                    if given is not None:
                        return given
            except TooLarge:
                self.kept.append((wanted.topic, "too_large"))
            except (CorruptBatch, UndecodableRecords):
                pass  # It passes as it is, so that the consumer sees what is wrong with it.
        size = len(batch.data)
        # The end of an answer may be a part of a batch. A consumer drops it, or takes the records that are
        # whole (kafka-go), which have not been looked into.
        is_cut = not batch.whole and (header is not None or size < HEADER_SIZE)
        self.left_out_any = self.left_out_any or (is_cut and not begins)
        if size > room and not self.is_first:
            self.left_out_any = self.left_out_any or wanted.topic is not None
            raise _Stopped
        if is_cut:
            raise _Stopped
        return _Given(batch.data, size)


class _Choice:
    """Which records of one batch are given: ``room`` bytes, but in any case the first one of an answer."""

    def __init__(self, planner: _Planner, wanted: Wanted, topic: str, header: BatchHeader, room: int) -> None:
        self._planner = planner
        self._topic = topic
        self._partition = wanted.fetched.partition
        self._fetch_offset = wanted.fetch_offset
        self._base = header.base_offset
        self._room = room
        self._size = HEADER_SIZE
        self._first: RecordPlace | None = None
        self._last: RecordPlace | None = None
        self._blobs: list[Blob] = []
        self._small_left = planner.small_left
        self._blobs_left = planner.blobs_left
        self._kept: list[tuple[str, str]] = []

    def of(self, batch: FetchedBatch) -> _Given | None:
        """What is given of ``batch``; None where it passes as it is. Raises _Stopped, and what reading its
        records raises."""
        is_full = found_any = False
        code = 0
        for record in records_of(batch, self._planner.rules.limits, self._planner.pace):
            if self._base + record.offset_delta < self._fetch_offset:
                continue
            if record.candidate is not None:
                self._planner.pace()
            envelope = self._followed(record, is_counted=not is_full)
            found_any = found_any or envelope is not None
            if not is_full:
                at = self._topic, self._partition, self._base + record.offset_delta
                failed = self._planner.failed.get(at) if envelope is not None else None
                code = failed or 0
                is_full = bool(code) or not self._take(record, at, envelope)
            # Without a blob among its records a batch passes as it is, so one is looked for to its end.
            if is_full and found_any:
                break
        if not found_any:
            self._planner.kept += self._kept
            return None
        self._planner.found_any = True
        if self._first is None or self._last is None:
            raise _Stopped(code)
        planner = self._planner
        planner.kept += self._kept
        planner.small_left, planner.blobs_left = self._small_left, self._blobs_left
        return _Given(Rewritten(batch, self._first, self._last, self._blobs), self._size, is_full)

    def _followed(self, record: RecordPlace, is_counted: bool) -> Envelope | None:
        """The envelope whose blob the record becomes, None where it stays as it is."""
        rules = self._planner.rules
        result = ""
        try:
            envelope = recognise(record.candidate)
            if envelope is None:
                return None
            rules.check(self._topic, envelope)
            if envelope.content_length <= rules.most:
                return envelope
            result = "too_large"
        except (InvalidEnvelope, UnsupportedEnvelope):
            return None
        except EnvelopeNotAllowed:
            result = "not_allowed"
        if is_counted:
            self._kept.append((self._topic, result))
        return None

    def _take(self, record: RecordPlace, at: Place, envelope: Envelope | None) -> bool:
        """Take one record more, if there is room for it."""
        is_small = stays = False
        size = record.size
        if envelope is not None:
            length = envelope.content_length
            stays = at in self._planner.failed
            is_small = length <= self._planner.rules.small
            size = size if stays else record.size_with(length)
            if self._planner.rules.keeps:
                size = max(size, record.size)
            got = self._planner.got
            is_late = got is not None and not stays and at not in got
            if is_late or self._blobs_left <= 0 or (is_small and not stays and length > self._small_left):
                # The next answer has time and memory for it.
                self._planner.left = 0
                return False
        is_due = self._planner.is_first and self._last is None
        if self._size + size > self._room and not is_due:
            return False
        self._size += size
        record = record._replace(candidate=None)
        self._first = self._first or record
        self._last = record
        if envelope is not None:
            self._blobs_left -= 1
            if not stays:
                self._small_left -= length if is_small else 0
                self._blobs.append(Blob(at, envelope, record, is_small))
        return True

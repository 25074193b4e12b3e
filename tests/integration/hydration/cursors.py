"""Reads a log to its end with raw fetches of random versions and limits, and judges each answer.

As a consumer does: it drops what lies before its offset, and, of committed records, what the answer's list of
aborted transactions names. Everything blocks; what is wrong is an AssertionError.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import attrs

from tests.integration.hydration.fetches import NEWEST, OLDEST, Answer, Fetched, Fetcher, seen_of, topic_ids
from tests.integration.hydration.model import Log, Part, Seen, View
from tests.integration.hydration.readers.programs import Limits

ABORT = 0
"""Of a marker's key, which is its version and its type."""


@attrs.define
class Cursor:
    """Where a consumer is in each partition, and what it has seen of it."""

    log: Log
    view: View
    positions: dict[Part, int]
    seen: dict[Part, list[Seen]] = attrs.field(factory=dict)
    requests: int = 0

    def end(self, part: Part) -> int:
        """Where there is nothing more to read."""
        return (self.log.stable if self.view.committed else self.log.ends)[part]

    @property
    def left(self) -> list[Part]:
        """The partitions that are not at their end."""
        return [part for part, position in self.positions.items() if position < self.end(part)]

    def take(self, asked: Sequence[Part], answer: Answer, limits: Limits) -> None:
        """Judge an answer and go on behind it: at least one partition that has more must have got on."""
        self.requests += 1
        assert (answer.error, answer.session) == (0, 0), (answer.error, answer.session)
        assert sorted(found.part for found in answer.parts) == sorted(asked)
        behind = set(asked) & set(self.left)
        before = dict(self.positions)
        for found in answer.parts:
            assert found.error == 0, (found.part, found.error)
            assert found.high_watermark == self.log.ends[found.part]
            assert found.last_stable == self.log.stable[found.part]
            self._advance(found)
        if behind:
            assert self.positions != before, f"nothing came of {behind} at {before}"
        self._check_limits(answer, limits, before)

    def _advance(self, found: Fetched) -> None:
        part = found.part
        waiting = sorted(found.aborted, key=lambda each: each[1])
        aborted: set[int] = set()
        complete = 0
        for batch in found.batches():
            complete += batch.size_in_bytes
            last = batch.base_offset + batch.last_offset_delta
            while waiting and waiting[0][1] <= last:
                aborted.add(waiting.pop(0)[0])
            if batch.is_control_batch:
                if next(iter(batch)).key[3] == ABORT:
                    aborted.discard(batch.producer_id)
            else:
                dropped = self.view.committed and batch.is_transactional and batch.producer_id in aborted
                self._records(part, batch, last, dropped)
            assert last >= self.positions[part], f"{part}: a batch up to {last} again"
            self.positions[part] = last + 1
        # Some clients give the records that are whole in a batch that is cut: they would be envelopes.
        cut = len(found.records) - complete
        assert not self.view.hydrated or not cut, (
            f"{part}: {cut} bytes of a cut batch at {self.positions[part]}"
        )

    def _records(self, part: Part, batch: Any, last: int, dropped: bool) -> None:
        count, previous = 0, batch.base_offset - 1
        for record in batch:
            count += 1
            assert previous < record.offset <= last, (
                f"{part}: {record.offset} behind {previous}, before {last}"
            )
            previous = record.offset
            if record.offset >= self.positions[part] and not dropped:
                self.seen.setdefault(part, []).append(seen_of(part, record))
        assert count == batch.records_count, f"{part}: {count} records, {batch.records_count} in the header"

    def _check_limits(self, answer: Answer, limits: Limits, before: dict[Part, int]) -> None:
        """KIP-74: above a limit is only the one batch, or hydrated record, with which an answer begins."""
        filled = [found for found in answer.parts if found.records]
        for number, found in enumerate(filled):
            if len(found.records) > limits.partition_max_bytes:
                assert number == 0, f"{len(found.records)} bytes of {found.part} above {limits}"
                self._check_single(found, limits, before[found.part])
        if sum(len(found.records) for found in filled) > limits.max_bytes:
            assert len(filled) == 1, f"{len(filled)} partitions above {limits}"
            self._check_single(filled[0], limits, before[filled[0].part])

    def _check_single(self, found: Fetched, limits: Limits, position: int) -> None:
        batches = list(found.batches())
        assert len(batches) == 1, f"{len(batches)} batches of {found.part} above {limits}"
        (batch,) = batches
        offsets = [record.offset for record in batch] if not batch.is_control_batch else []
        # A consumer drops what lies before its position, and, of what is committed, what was aborted: nobody
        # needs blobs for that.
        given = {
            entry.offset
            for entry in self.log.entries[found.part]
            if entry.blob is not None
            and entry.offset >= position
            and not (self.view.committed and entry.aborted)
        }
        if self.view.hydrated and given & set(offsets):
            assert len(offsets) == 1, f"{len(offsets)} records of {found.part} above {limits}"


def read_by_fetches(bootstrap: str, log: Log, view: View, chance: random.Random) -> Cursor:
    """Read the whole log with random questions, beginning somewhere, often within a batch."""
    starts = {part: chance.choice((0, chance.randrange(end))) for part, end in log.ends.items()}
    if view.committed:
        starts = {part: min(start, log.stable[part]) for part, start in starts.items()}
    cursor = Cursor(log, view, dict(starts))
    fetcher = Fetcher(bootstrap, topic_ids(bootstrap, log.topics))
    try:
        while cursor.left:
            asked = chance.sample(sorted(log.ends), chance.randint(1, len(log.ends)))
            # A long poll would wait in vain.
            if not set(asked) & set(cursor.left):
                asked.append(chance.choice(cursor.left))
            asked.sort(key=lambda part: part[0])
            limits = random_limits(chance)
            answer = fetcher.fetch(
                chance.randint(OLDEST, NEWEST),
                {part: cursor.positions[part] for part in asked},
                limits=limits,
                committed=view.committed,
            )
            cursor.take(asked, answer, limits)
    finally:
        fetcher.close()
    for part, start in starts.items():
        wanted = [entry.seen(view.hydrated) for entry in log.visible(part, view, start)]
        seen = cursor.seen.get(part, [])
        assert seen == wanted, first_difference(seen, wanted)
    return cursor


def random_limits(chance: random.Random) -> Limits:
    """From a byte to more than there is, all orders of magnitude alike."""

    def size() -> int:
        return int(10 ** chance.uniform(0, 8))

    return Limits(size(), size())


def first_difference(seen: Sequence[Seen], wanted: Sequence[Seen]) -> str:
    """Where two readings part."""
    for number, (one, other) in enumerate(zip(seen, wanted, strict=False)):
        if one != other:
            return f"record {number}: {one} is read, {other} is in the log"
    return f"{len(seen)} records are read, {len(wanted)} are in the log"

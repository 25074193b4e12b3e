"""The in-memory double of topics that are read whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import TypeVar

import attrs
from zope.interface import implementer

from lfsproxy.errors import CorruptBatch, TooLarge, UndecodableRecords, UnreadableLog
from lfsproxy.interfaces import FoundTopic, FoundTopics, Gap, ILogReading, LogBounds
from lfsproxy.names import is_chosen, is_internal
from lfsproxy.testing import Faults
from lfsproxy.wire.batch import parse_batch_header
from lfsproxy.wire.unpack import UnpackedRecord, readable, unpack
from lfsproxy.wire.walk import LIMITS, FetchedBatch

T = TypeVar("T")


@attrs.define(eq=False)
class MemoryPartition:
    """``batches`` are whole ones of format 2, with their offsets in them. ``stable`` None is the end;
    ``aborted`` are the producer id and first offset of aborted transactions."""

    batches: list[bytes] = attrs.Factory(list)
    first: int = 0
    stable: int | None = None
    aborted: list[tuple[int, int]] = attrs.Factory(list)

    @property
    def end(self) -> int:
        """The offset that the next record gets."""
        if not self.batches:
            return self.first
        last = parse_batch_header(self.batches[-1])
        return last.base_offset + last.last_offset_delta + 1

    def aborted_at(self, batch: bytes) -> list[tuple[int, int]]:
        """The aborted transactions that were open where a batch is."""
        markers = [one for one in map(parse_batch_header, self.batches) if one.is_control]
        base = parse_batch_header(batch).base_offset

        def lasts(producer_id: int, first: int) -> bool:
            ends = [one.base_offset for one in markers if one.producer_id == producer_id]
            return min((end for end in ends if end >= first), default=self.end) >= base

        return [one for one in self.aborted if lasts(*one)]

    def append(self, batch: bytes) -> None:
        """Write a batch behind the last one."""
        self.batches.append(self.end.to_bytes(8, "big") + batch[8:])

    def expire(self) -> None:
        """All that is there has gone."""
        self.first = self.end
        self.batches.clear()


@implementer(ILogReading)
class MemoryReading(Faults):
    """Topics by name, each with an id and partitions. One batch is an answer.

    Calls that can be failed or held: topics, bounds, look (each answer). ``hidden``: topics that may not be
    described.
    """

    def __init__(self) -> None:
        super().__init__()
        self.logs: dict[str, list[MemoryPartition]] = {}
        self.ids: dict[str, str] = {}
        self.hidden: set[str] = set()

    def create(self, topic: str, partitions: int = 1) -> list[MemoryPartition]:
        """A new topic of that name; its partitions."""
        self.ids[topic] = f"id-{len(self.ids)}-{topic}"
        self.logs[topic] = [MemoryPartition() for _ in range(partitions)]
        return self.logs[topic]

    async def topics(self, globs: Sequence[str]) -> FoundTopics:
        await self._pass("topics")
        shown = [name for name in sorted(self.logs) if name not in self.hidden]
        chosen = [name for name in shown if is_chosen(name, globs)]
        if not any(is_internal(glob) for glob in globs):
            chosen = [name for name in chosen if not is_internal(name)]
        named = [name for name in globs if not set("!*?[") & set(name)]
        refused = {name: f"the topic {name} is hidden" for name in named if name in self.hidden}
        unknown = [name for name in named if name not in self.logs and name not in self.hidden]
        found = [FoundTopic(name, self.ids[name], range(len(self.logs[name]))) for name in chosen]
        return FoundTopics(found, refused, unknown)

    async def bounds(self, topic: str, partition: int) -> LogBounds:
        await self._pass("bounds")
        log = self.logs[topic][partition]
        return LogBounds(log.first, log.end if log.stable is None else log.stable, log.end)

    async def offset_at(self, topic: str, partition: int, time: int) -> int | None:
        headers = map(parse_batch_header, self.logs[topic][partition].batches)
        return next((one.base_offset for one in headers if one.max_timestamp >= time), None)

    async def look(
        self,
        topic: str,
        partition: int,
        first: int,
        end: int,
        look: Callable[[Sequence[FetchedBatch]], Iterator[T]],
        committed: bool = True,
        gap: Gap = lambda first, next_one: None,
    ) -> AsyncIterator[tuple[int, T]]:
        place = first
        while place < end:
            await self._pass("look")
            log = self.logs[topic][partition]
            if log.first > place:
                gap(place, min(log.first, end))
                place = log.first
                continue
            batch = next((one for one in log.batches if _last(one) >= place), None)
            if committed and log.stable is not None and place >= log.stable:
                # A broker gives nothing of what is not decided.
                batch = None
            if batch is None:
                raise UnreadableLog(f"{topic}, partition {partition}, ends before {end}")
            try:
                found = readable(batch, log.aborted_at(batch) if committed else ())
                assert found.next_offset is not None
                for step in look(found.batches):
                    yield found.next_offset, step
            except (UndecodableRecords, CorruptBatch, TooLarge) as error:
                raise UnreadableLog(f"{topic}, partition {partition}, at offset {place}: {error}") from None
            place = found.next_offset

    async def records(
        self,
        topic: str,
        partition: int,
        first: int,
        end: int,
        most: int,
        committed: bool = True,
        gap: Gap = lambda first, next_one: None,
    ) -> AsyncIterator[Sequence[UnpackedRecord]]:
        def look(found: Sequence[FetchedBatch]) -> Iterator[Sequence[UnpackedRecord]]:
            return unpack(found, first, end, most, LIMITS)

        async for _, portion in self.look(topic, partition, first, end, look, committed, gap):
            yield portion


def _last(batch: bytes) -> int:
    header = parse_batch_header(batch)
    return header.base_offset + header.last_offset_delta

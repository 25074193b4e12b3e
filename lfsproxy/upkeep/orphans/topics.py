"""Reads topics for the names of blobs, each partition to its end as it is when the reading begins.

A record counts whether it is committed or its transaction is still open; only what was aborted does not. A
second reading takes up where the first ended: see ``search``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import attrs

from lfsproxy.errors import UnreadableLog
from lfsproxy.interfaces import FoundTopic, FoundTopics, ILogReading
from lfsproxy.names import is_chosen
from lfsproxy.upkeep.orphans.book import Book
from lfsproxy.upkeep.orphans.names import blobs_named
from lfsproxy.upkeep.parallel import PARTITIONS_AT_ONCE, some_at_once
from lfsproxy.wire.walk import Limits

EVERYTHING: Final = ("*", "__*")
"""Globs of all topics: one that begins with two underscores may hold copies as well. Kafka's own are none."""


@attrs.frozen
class Chosen:
    """The topics to read, and the names of those that were left out by the globs."""

    topics: Sequence[FoundTopic]
    left_out: Sequence[str]

    @property
    def partitions(self) -> int:
        return sum(len(topic.partitions) for topic in self.topics)


@attrs.frozen
class _Part:
    topic: FoundTopic
    partition: int


class TopicReading:
    """Fills ``book``. ``reached`` is called with how many more records were read, ``more`` with how many more
    there are to read, both as far as offsets tell."""

    def __init__(
        self,
        reading: ILogReading,
        limits: Limits,
        book: Book,
        reached: Callable[[int], None] = lambda count: None,
        more: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._reading = reading
        self._limits = limits
        self._book = book
        self._reached = reached
        self._more = more

    async def choose(self, globs: Sequence[str]) -> Chosen:
        """The topics that globs choose. Raises UnreadableLog where one of them cannot be told."""
        found = await self._reading.topics(EVERYTHING)
        chosen = [one for one in found.topics if is_chosen(one.name, globs)]
        refused = {name: why for name, why in found.refused.items() if is_chosen(name, globs)}
        known = {*found.refused, *(one.name for one in found.topics)}
        named = [name for name in globs if name[:1] != "!" and not set("*?[") & set(name)]
        if lacking := [name for name in named if name not in known]:
            asked = await self._reading.topics(lacking)
            chosen += asked.topics
            refused |= {
                **asked.refused,
                **{name: f"the topic {name} does not exist" for name in asked.unknown},
            }
        if refused:
            raise UnreadableLog("; ".join(refused.values()))
        names = {one.name for one in chosen}
        return Chosen(chosen, [one.name for one in found.topics if one.name not in names])

    async def about(self, names: Sequence[str]) -> FoundTopics:
        """What Kafka says of topics when it is asked for each by its name."""
        return await self._reading.topics(names) if names else FoundTopics([])

    async def read(self, topics: Sequence[FoundTopic], again: bool) -> None:
        """Read what the book does not have yet. Raises UnreadableLog, also for records of a second reading
        (``again``) that are gone already: nobody has seen them."""
        parts = [_Part(topic, number) for topic in topics for number in topic.partitions]
        await some_at_once(PARTITIONS_AT_ONCE, parts, lambda part: self._read(part, again))

    async def _read(self, part: _Part, again: bool) -> None:
        topic, number = part.topic, part.partition
        bounds = await self._reading.bounds(topic.name, number)
        place = self._book.place(topic.name, topic.topic_id, number)
        if place is not None and place > bounds.end:
            # The log was cut behind what was read: what has followed since was not seen.
            place = None
        # A partition that the first reading has not seen is new, and its log begins with 0.
        expected = place or 0
        first = max(expected, bounds.first)
        if again and expected < bounds.first:
            raise _lost(part, expected)
        self._more(max(0, bounds.end - first))

        def gap(start: int, next_one: int) -> None:
            if again:
                raise _lost(part, start)

        await self._span(part, first, min(bounds.stable, bounds.end), True, gap)
        await self._span(part, max(first, bounds.stable), bounds.end, False, gap)
        self._book.add_names(topic.name, topic.topic_id, number, max(first, bounds.end), ())

    async def _span(
        self, part: _Part, first: int, end: int, committed: bool, gap: Callable[[int, int], None]
    ) -> None:
        topic, place = part.topic, first
        looking = self._reading.look(
            topic.name,
            part.partition,
            first,
            end,
            lambda batches: blobs_named(batches, self._limits),
            committed,
            gap,
        )
        async for next_offset, named in looking:
            # Before all names of an answer are in the book, it must not count as read.
            reached = min(next_offset, end) if named.is_all else place
            self._reached(reached - place)
            place = reached
            self._book.add_names(topic.name, topic.topic_id, part.partition, place, named.uuids)


def _lost(part: _Part, place: int) -> UnreadableLog:
    return UnreadableLog(
        f"{part.topic.name}, partition {part.partition}, loses records before they are read: from offset "
        f"{place} on"
    )

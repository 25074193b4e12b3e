"""What a look goes through: which partitions, from which offset to which."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from lfsproxy.errors import LfsError, SettingError, SignInRefused
from lfsproxy.interfaces import FoundTopic, ILogReading
from lfsproxy.quoting import quoted
from lfsproxy.upkeep.findings.found import PARTITION_TODO, TOPIC_TODO, UNREADABLE, Finding
from lfsproxy.upkeep.findings.positions import Place, State
from lfsproxy.wakeups import Semaphore, all_of

ASKED_AT_ONCE: Final = 16
"""Partitions whose offsets are asked for at the same time."""
ALL: Final = ("*",)


@attrs.frozen
class Wanted:
    """What to look through. ``since`` and ``until`` are in milliseconds since the epoch, None for from the
    first record and to the last; ``partitions`` are numbers, None for all."""

    topics: Sequence[str] = ALL
    since: int | None = None
    until: int | None = None
    partitions: Collection[int] | None = None


class Planner:
    """Asks Kafka. ``report`` is called for each topic or partition that cannot be asked for."""

    def __init__(
        self, clock: IReactorTime, reading: ILogReading, wanted: Wanted, report: Callable[[Finding], None]
    ) -> None:
        self._reading = reading
        self._wanted = wanted
        self._report = report
        self._places = Semaphore(clock, ASKED_AT_ONCE)

    async def plan(self, options: Mapping[str, Any]) -> State:
        """Everything that is wanted, as it is now. Raises SettingError where that is nothing."""
        state = State(options)
        for topic in await self._topics():
            state.ids[topic.name] = topic.topic_id
            state.places += await self._partitions(topic)
        return state

    async def renew(self, state: State, note: Callable[[str], None]) -> None:
        """Begin anew with topics that were created again since ``state``, and leave out what is gone."""
        there = {topic.name: topic for topic in await self._topics()}
        for name, id in list(state.ids.items()):
            topic = there.get(name)
            if topic is None:
                note(f"the topic {name} is gone since the look began, and left out")
                state.forget(name)
            elif topic.topic_id != id:
                note(
                    f"the topic {name} was created again since the look began: it is looked at from its start"
                )
                state.forget(name)
                state.ids[name] = topic.topic_id
                state.places += await self._partitions(topic)

    async def _topics(self) -> Sequence[FoundTopic]:
        found = await self._reading.topics(self._wanted.topics)
        if found.unknown:
            raise SettingError(f"the topic {quoted(found.unknown[0])} does not exist")
        for name, why in found.refused.items():
            self._report(Finding(UNREADABLE, why, name, todo=TOPIC_TODO))
        wanted = self._wanted.partitions
        chosen = [
            topic
            for topic in found.topics
            if wanted is None or any(number in wanted for number in topic.partitions)
        ]
        if not chosen and not found.refused and (wanted is not None or tuple(self._wanted.topics) != ALL):
            kind = "topic" if not found.topics else "partition"
            raise SettingError(f"no {kind} is chosen: look at --topics and --partitions")
        return chosen

    async def _partitions(self, topic: FoundTopic) -> list[Place]:
        wanted = self._wanted.partitions
        numbers = [number for number in topic.partitions if wanted is None or number in wanted]
        asked = [Deferred.fromCoroutine(self._partition(topic.name, number)) for number in numbers]
        return [place for place in await all_of(asked) if place is not None]

    async def _partition(self, topic: str, number: int) -> Place | None:
        async with self._places:
            try:
                return await self._place(topic, number)
            except SignInRefused:
                raise
            except LfsError as error:
                # Whether it is all of Kafka: then this is raised.
                await self._reading.topics([topic])
                self._report(Finding(UNREADABLE, str(error), topic, number, todo=PARTITION_TODO))
                return None

    async def _place(self, topic: str, number: int) -> Place:
        bounds = await self._reading.bounds(topic, number)
        first, end = bounds.first, bounds.stable
        if self._wanted.since is not None:
            since = await self._reading.offset_at(topic, number, self._wanted.since)
            first = end if since is None else max(first, since)
        if self._wanted.until is not None:
            until = await self._reading.offset_at(topic, number, self._wanted.until)
            end = end if until is None else min(end, until)
        return Place(topic, number, first, first, max(first, end))

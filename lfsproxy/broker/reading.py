"""Reads whole topics for upkeep: ILogReading over the proxy's own connections.

An answer is held at a time for each partition that is read, and looked through in a thread. What is read
decides what is deleted, so that nothing is passed over in silence: a partition that does not come to its end
is an error that names it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from zope.interface import implementer

from lfsproxy.broker.cluster import EARLIEST, LATEST, Cluster
from lfsproxy.broker.seconds import RETRY_SECONDS
from lfsproxy.broker.threads import InThread
from lfsproxy.codes import KafkaCode
from lfsproxy.errors import (
    BrokerUnavailable,
    CorruptBatch,
    Draining,
    LfsError,
    NotAuthorised,
    SignInRefused,
    TooLarge,
    UndecodableRecords,
    UnknownTopic,
    UnreadableLog,
    UnreadableRecord,
)
from lfsproxy.interfaces import FoundTopic, FoundTopics, Gap, ILogReading, LogBounds
from lfsproxy.kafka.messages import READ_COMMITTED, READ_UNCOMMITTED
from lfsproxy.names import is_chosen, is_internal
from lfsproxy.settings import Settings
from lfsproxy.wire.unpack import Readable, UnpackedRecord, readable, unpack
from lfsproxy.wire.walk import FetchedBatch, Limits

T = TypeVar("T")

PATIENCE_SECONDS: Final = 60.0
"""How long a partition may be out of reach, or give nothing of what it has, before that is an error."""
READ_BYTES: Final = 1024 * 1024
"""Bytes that are asked for at once; a batch that is larger comes whole."""
_WILD: Final = frozenset("*?[")
_END: Final = object()


@attrs.define
class _Trouble:
    """Since when, in seconds, nothing came of a partition, and why."""

    since: float | None = None
    why: str = ""


@implementer(ILogReading)
class LogReading:
    """Asks the ``cluster``, which others may ask too."""

    def __init__(
        self, clock: IReactorTime, cluster: Cluster, in_thread: InThread, settings: Settings
    ) -> None:
        self._clock = clock
        self._cluster = cluster
        self._in_thread = in_thread
        self._size = min(READ_BYTES, settings.max_passthrough_size)
        self._limits = Limits(settings.max_decompressed_size, settings.max_passthrough_size)

    # What there is

    async def topics(self, globs: Sequence[str]) -> FoundTopics:
        asks_hidden = any(is_internal(glob) for glob in globs)
        found, refused, unknown = [], {}, []
        names = set()
        for one in await self._patiently(self._cluster.topics):
            hidden = one.is_internal or (is_internal(one.name) and not asks_hidden)
            if hidden or not is_chosen(one.name, globs):
                continue
            names.add(one.name)
            if one.error_code:
                refused[one.name] = f"Kafka answers error {one.error_code} for the topic {one.name}"
            else:
                found.append(FoundTopic(one.name, one.topic_id, one.partitions))
        for name in globs:
            if name.startswith("!") or name in names or _WILD.intersection(name):
                continue
            try:
                topic = await self._cluster.topic(name, create=False, max_age=0.0)
            except UnknownTopic:
                unknown.append(name)
            except (SignInRefused, Draining):
                raise
            except LfsError as error:
                refused[name] = str(error)
            else:
                # The broker that was asked for the list had not heard of it yet.
                found.append(FoundTopic(name, "", sorted(topic.leaders)))
        return FoundTopics(sorted(found, key=lambda topic: topic.name), refused, unknown)

    async def bounds(self, topic: str, partition: int) -> LogBounds:
        offset = partial(self._cluster.offset, topic, partition)
        # The end first: what is before it is decided or not when the stable end is asked for.
        end = await self._patiently(partial(offset, LATEST, READ_UNCOMMITTED))
        stable = await self._patiently(partial(offset, LATEST, READ_COMMITTED))
        first = await self._patiently(partial(offset, EARLIEST))
        if min(first, stable, end) < 0:
            # A partition without an end would count as one that was read.
            raise BrokerUnavailable(
                f"Kafka does not say where {topic}, partition {partition}, begins and ends"
            )
        return LogBounds(first, min(stable, end), end)

    async def offset_at(self, topic: str, partition: int, time: int) -> int | None:
        found = await self._patiently(partial(self._cluster.offset, topic, partition, max(time, 0)))
        return found if found >= 0 else None

    # What is in it

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
            return unpack(found, first, end, most, self._limits)

        async for _, portion in self.look(topic, partition, first, end, look, committed, gap):
            yield portion

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
            try:
                found = await self._next(topic, partition, place, end, committed, gap)
                steps = look(found.batches)
                assert found.next_offset is not None
                while (step := await self._in_thread(next, steps, _END)) is not _END:
                    yield found.next_offset, step
            except (UndecodableRecords, CorruptBatch, TooLarge, UnreadableRecord) as error:
                raise _unreadable(topic, partition, place, str(error)) from None
            place = found.next_offset

    async def _next(
        self, topic: str, partition: int, place: int, end: int, committed: bool, gap: Gap
    ) -> Readable:
        """What begins at ``place``, or behind it where there is nothing; empty behind ``end``."""
        trouble = _Trouble()
        isolation = READ_COMMITTED if committed else READ_UNCOMMITTED
        while True:
            try:
                answer = await self._cluster.fetch(
                    topic, partition, place, self._size, isolation, however_slowly=True
                )
                code = answer.error_code
                if code == KafkaCode.OFFSET_OUT_OF_RANGE:
                    start = await self._cluster.offset(topic, partition, EARLIEST)
                    if start > place:
                        gap(place, min(start, end))
                        place = start
                        if place >= end:
                            return Readable((), place)
                    trouble.why = "its log ends before, so that records were lost"
                elif code == KafkaCode.TOPIC_AUTHORIZATION_FAILED:
                    raise NotAuthorised(code, "Kafka does not authorise reading the topic")
                elif code:
                    trouble.why = f"Kafka answers error {code}"
                else:
                    found: Readable = await self._in_thread(
                        readable, bytes(answer.records or b""), _aborted(answer)
                    )
                    if found.next_offset is not None and found.next_offset > place:
                        return found
                    trouble.why = (
                        f"Kafka gives nothing, and says that the log ends at {answer.high_watermark}"
                        if answer.high_watermark < end
                        else "Kafka gives nothing of what is there"
                    )
            except (SignInRefused, Draining):
                raise
            except BrokerUnavailable as error:
                trouble.why = str(error)
            except LfsError as error:
                raise _unreadable(topic, partition, place, str(error)) from None
            now = self._clock.seconds()
            trouble.since = now if trouble.since is None else trouble.since
            if now - trouble.since >= PATIENCE_SECONDS:
                raise _unreadable(topic, partition, place, trouble.why)
            await deferLater(self._clock, RETRY_SECONDS)

    async def _patiently(self, ask: Callable[[], Coroutine[Deferred[Any], Any, T]]) -> T:
        """Ask again while no broker answers, for PATIENCE_SECONDS."""
        deadline = self._clock.seconds() + PATIENCE_SECONDS
        while True:
            try:
                return await ask()
            except (SignInRefused, Draining):
                raise
            except BrokerUnavailable:
                if self._clock.seconds() >= deadline:
                    raise
            await deferLater(self._clock, RETRY_SECONDS)


def _aborted(answer: Any) -> list[tuple[int, int]]:
    return [(one.producer_id, one.first_offset) for one in answer.aborted_transactions or ()]


def _unreadable(topic: str, partition: int, place: int, why: str) -> UnreadableLog:
    return UnreadableLog(
        f"{topic}, partition {partition}, cannot be read to its end: at offset {place}: {why}"
    )

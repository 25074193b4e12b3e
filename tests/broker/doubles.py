"""Stand-ins for the cluster, kafka-python's producer, and threads, for tests of the publisher."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.testing import MemoryReactorClock
from zope.interface import implementer

from lfsproxy.broker.cluster import Topic
from lfsproxy.broker.producer import Record
from lfsproxy.broker.watch import Watch
from lfsproxy.errors import LfsError, UnknownTopic


@implementer(IReactorFromThreads)
class Reactor(MemoryReactorClock):
    """A clock whose ``callFromThread`` calls at once: the tests' threads are no threads."""

    def callFromThread(self, callable: Callable[..., Any], *args: object, **kwargs: object) -> None:
        callable(*args, **kwargs)


@attrs.define
class InlineThreads:
    """Runs blocking calls at once."""

    stopped: bool = False

    def run(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Deferred[Any]:
        return maybeDeferred(call, *args, **kwargs)

    async def stop(self) -> None:
        self.stopped = True


@attrs.define
class FakeCluster:
    """A cluster with the topics given: name to partition leaders."""

    topics: dict[str, dict[int, int]] = attrs.field(factory=lambda: {"demo": {0: 1}})
    ends: dict[tuple[str, int], int] = attrs.field(factory=dict)
    error: LfsError | None = None
    idempotent: bool = True
    stopped: bool = False

    def _or_error(self, value: Any) -> Deferred[Any]:
        return succeed(value) if self.error is None else fail(self.error)

    async def topic(self, name: str, create: bool) -> Topic:
        await self._or_error(None)
        if name not in self.topics:
            raise UnknownTopic(f"the topic {name} does not exist")
        return Topic(name, self.topics[name])

    async def end_offset(self, topic: str, partition: int) -> int:
        await self.topic(topic, False)
        return self.ends.get((topic, partition), 0)

    async def ping(self) -> None:
        await self._or_error(None)

    async def gives_producer_ids(self) -> bool:
        await self._or_error(None)
        return self.idempotent

    async def stop(self) -> None:
        self.stopped = True


@attrs.frozen
class Metadata:
    """The two fields of kafka-python's RecordMetadata that are used."""

    offset: int
    timestamp: int


@attrs.define(eq=False)
class FakeProducer:
    """A WatchedProducer whose records are answered by the test, or all with ``answers`` at once."""

    arguments: Any
    watch: Watch = attrs.field(factory=Watch)
    sent: list[Record] = attrs.field(factory=list)
    refuses: BaseException | None = None
    opens: BaseException | None = None
    closed: bool = False
    answers: Any = None
    succeed: Callable[[Any], None] = attrs.field(default=lambda _: None)
    fail: Callable[[BaseException], None] = attrs.field(default=lambda _: None)

    def open(self) -> None:
        if self.opens is not None:
            raise self.opens

    def send(
        self, record: Record, succeeded: Callable[[Any], None], failed: Callable[[BaseException], None]
    ) -> None:
        self.watch.begin()
        if self.refuses is not None:
            raise self.refuses
        self.sent.append(record)
        self.succeed, self.fail = succeeded, failed
        if self.answers is not None:
            succeeded(self.answers)

    def leaves(self, *codes: int | None) -> None:
        """The record goes to the socket once per code, and is answered with it (None: not at all)."""
        for code in codes:
            answers, index = self.watch.leaves()
            answers[index] = code

    def close(self, seconds: float) -> None:
        self.closed = True

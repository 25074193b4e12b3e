"""The producers: a few, each in the hands of one publish at a time.

kafka-python's idempotent producer does not get over a refused record: it fails all that it holds, sent or
not, and takes no more. With a producer to itself no publish suffers from another's record, and what was seen
on that producer's wire is about that record alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kafka import errors as kafka_errors
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

from lfsproxy.broker.cluster import Cluster
from lfsproxy.broker.config import DELIVERY_SECONDS, producer_arguments
from lfsproxy.broker.outcome import not_answered
from lfsproxy.broker.producer import WatchedProducer
from lfsproxy.broker.threads import Threads
from lfsproxy.errors import BrokerUnavailable
from lfsproxy.logs import Logger
from lfsproxy.settings import Settings
from lfsproxy.wakeups import Semaphore

MOST_PRODUCERS = 8
"""Records that are published at once: each producer has one on its way, and a thread."""
IDLE_SECONDS = 60.0
"""How long a producer is kept that nobody needs, well below brokers' connections.max.idle.ms (10 minutes)."""
CLOSE_SECONDS = 10.0
"""How long a producer may take to end: nothing is on its way any more."""


class Producers:
    """Opens producers as they are needed, up to MOST_PRODUCERS, and closes those that nobody needs."""

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        settings: Settings,
        cluster: Cluster,
        threads: Threads,
        make: Callable[[Mapping[str, Any]], WatchedProducer],
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._cluster = cluster
        self._threads = threads
        self._make = make
        self._turns = Semaphore(reactor, MOST_PRODUCERS)
        self._idle: list[tuple[WatchedProducer, Any]] = []
        self._closing: set[Deferred[None]] = set()

    async def take(self) -> WatchedProducer:
        """A producer for one publish, to be given back or discarded. Raises BrokerUnavailable."""
        turn = self._turns.acquire()
        turn.addTimeout(DELIVERY_SECONDS, self._reactor)
        try:
            await turn
        except TimeoutError:
            raise BrokerUnavailable("Kafka is too slow, nothing was sent") from None
        try:
            if self._idle:
                producer, timer = self._idle.pop()
                timer.cancel()
                return producer
            return await self._open()
        except BaseException:
            self._turns.release()
            raise

    async def _open(self) -> WatchedProducer:
        idempotent = await self._cluster.gives_producer_ids()
        producer = self._make(producer_arguments(self._settings, idempotent))
        try:
            await self._threads.run(producer.open)
        except kafka_errors.KafkaError as error:
            raise not_answered(error) from None
        return producer

    def give_back(self, producer: WatchedProducer) -> None:
        """It has published what it was taken for, and may be used again."""
        timer = self._reactor.callLater(IDLE_SECONDS, lambda: self._expire(producer))
        self._idle.append((producer, timer))
        self._turns.release()

    def discard(self, producer: WatchedProducer) -> None:
        """It has failed: close it."""
        self._close(producer)
        self._turns.release()

    def _expire(self, producer: WatchedProducer) -> None:
        self._idle = [(one, timer) for one, timer in self._idle if one is not producer]
        self._close(producer)

    def _close(self, producer: WatchedProducer) -> None:
        def closed(_: object) -> None:
            self._closing.discard(closing)

        closing: Deferred[None] = self._threads.run(producer.close, CLOSE_SECONDS)
        self._closing.add(closing)
        closing.addErrback(lambda failure: self._log.failure("closing a Kafka producer failed", failure))
        closing.addCallback(closed)

    async def stop(self) -> None:
        """Close those that nobody uses, and wait for all that are closing."""
        for producer, timer in self._idle:
            timer.cancel()
            self._close(producer)
        self._idle = []
        for closing in list(self._closing):
            await closing

"""Publishes envelopes for the HTTP door: IEnvelopePublisher over kafka-python producers in their own threads.

Every wait is bounded: a question to the cluster by METADATA_SECONDS, a publish by PUBLISH_SECONDS. When that
time is over, the producer is shut: what has not left by then never will, so that "nothing was sent"
can be told from "the outcome is unknown" for certain.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from kafka import errors as kafka_errors
from kafka.partitioner import murmur2
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from lfsproxy.broker.cluster import Cluster
from lfsproxy.broker.config import DELIVERY_SECONDS, METADATA_SECONDS
from lfsproxy.broker.logs import forward_kafka_logs
from lfsproxy.broker.outcome import failed
from lfsproxy.broker.producer import Record, WatchedProducer
from lfsproxy.broker.producers import Producers
from lfsproxy.broker.scan import find_value
from lfsproxy.broker.signing import Identity
from lfsproxy.broker.threads import FromThread, Threads
from lfsproxy.broker.words import describe
from lfsproxy.errors import BadRequest, BrokerUnavailable, Draining, LfsError, OutcomeUnknown
from lfsproxy.interfaces import Header, IEnvelopePublisher, Published
from lfsproxy.logs import Logger
from lfsproxy.quoting import quoted
from lfsproxy.readiness import KnownTrouble
from lfsproxy.settings import Settings
from lfsproxy.wakeups import Condition

PUBLISH_SECONDS = METADATA_SECONDS + DELIVERY_SECONDS + 5.0
"""How long a record may take: kafka-python's own limits, and some time for its threads."""
KNOWN_OFFSETS = 10_000
"""How many partitions' next offsets are remembered."""


@implementer(IEnvelopePublisher)
class KafkaPublisher:
    """Made by ``kafka_publisher``; ``stop`` ends it. ``reactor`` also brings results back from threads."""

    publish_seconds = PUBLISH_SECONDS + 2 * METADATA_SECONDS
    """The record itself has PUBLISH_SECONDS; before that the cluster is asked about its topic."""

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        cluster: Cluster,
        producers: Producers,
        threads: Threads,
        find: Callable[[Record, int | None], tuple[int, int] | None],
        rng: random.Random,
    ) -> None:
        self._reactor = reactor
        self._cluster = cluster
        self._producers = producers
        self._threads = threads
        self._find = find
        self._rng = rng
        self._next: OrderedDict[tuple[str, int], int] = OrderedDict()
        self._publishing = 0
        self._stopped = False
        self._all_published = Condition(reactor)

    async def choose_partition(self, topic: str, key: bytes | None, partition: int | None) -> int:
        found = await self._cluster.topic(topic, create=True)
        if partition is not None:
            if partition not in found.leaders:
                raise BadRequest(
                    f"the topic {topic} has no partition {partition}: its last one is {max(found.leaders)}"
                )
            return partition
        partitions = sorted(found.leaders)
        if key is not None:
            hashed: int = murmur2(key) & 0x7FFFFFFF
            return partitions[hashed % len(partitions)]
        return self._rng.choice(found.available or partitions)

    async def next_offset(self, topic: str, partition: int) -> int:
        known = self._next.get((topic, partition))
        if known is not None:
            return known
        try:
            offset = await self._cluster.end_offset(topic, partition)
        except LfsError as error:
            self._log.debug("no offset is known of {topic}: {error}", topic=topic, error=error)
            return 0
        self._remember(topic, partition, offset)
        return offset

    async def log_end(self, topic: str, partition: int) -> int:
        return await self._cluster.end_offset(topic, partition)

    async def find(self, topic: str, partition: int, value: bytes, first: int) -> Published | None:
        if self._stopped:
            raise Draining("the proxy is shutting down")
        wanted = Record(topic, partition, None, value, (), None)
        try:
            found = await self._threads.run(self._find, wanted, first)
        except kafka_errors.KafkaError as error:
            raise BrokerUnavailable(
                f"looking into {topic}, partition {partition} failed: {describe(error)}"
            ) from None
        return None if found is None else Published(topic, partition, *found)

    async def check(self) -> None:
        await self._cluster.ping()

    async def publish(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes,
        headers: Sequence[Header],
        timestamp: int | None,
    ) -> Published:
        check_headers(headers)
        if self._stopped:
            raise Draining("the proxy is shutting down")
        self._publishing += 1
        try:
            return await self._publish(Record(topic, partition, key, value, headers, timestamp))
        finally:
            self._publishing -= 1
            if not self._publishing:
                self._all_published.wake()

    async def _publish(self, record: Record) -> Published:
        topic, partition = record.topic, record.partition
        first = self._next.get((topic, partition))
        # The upload may have taken an hour: ask again, so that trouble shows before anything is sent.
        if partition not in (await self._cluster.topic(topic, create=True)).leaders:
            raise BadRequest(f"the topic {topic} has no partition {partition}")
        try:
            metadata = await self._send(record)
        except ValueError:
            # That producer had not heard of the partition, nothing was sent: a new one will have.
            try:
                metadata = await self._send(record)
            except ValueError as error:
                raise BrokerUnavailable(f"nothing was sent: {error}") from None
        offset, timestamp = metadata.offset, metadata.timestamp
        if offset < 0:
            offset, timestamp = await self._look_for(record, first)
        self._remember(topic, partition, offset + 1)
        return Published(topic, partition, offset, timestamp)

    async def _send(self, record: Record) -> Any:
        """Send a record and wait for the answer: RecordMetadata, an LfsError, or ValueError (not sent)."""
        producer = await self._producers.take()
        answer = self._hand_over(producer, record).addTimeout(PUBLISH_SECONDS, self._reactor)
        try:
            metadata = await answer
        except BaseException as error:
            producer.watch.shut()
            answers = producer.watch.answers()
            self._producers.discard(producer)
            if isinstance(error, kafka_errors.KafkaError | TimeoutError):
                raise failed(answers, error, record.topic) from None
            raise
        self._producers.give_back(producer)
        return metadata

    def _hand_over(self, producer: WatchedProducer, record: Record) -> Deferred[Any]:
        there = FromThread[Any](self._reactor)
        handing = self._threads.run(producer.send, record, there.give, there.fail)
        handing.addErrback(there.not_asked)
        return there.answer

    async def _look_for(self, record: Record, first: int | None) -> tuple[int, int]:
        try:
            found = await self._threads.run(self._find, record, first)
        except kafka_errors.KafkaError as error:
            raise OutcomeUnknown(
                f"Kafka gave no offset, and looking for it failed: {describe(error)}"
            ) from None
        if found is None:
            raise OutcomeUnknown("Kafka gave no offset, and the record was not found")
        return found

    def _remember(self, topic: str, partition: int, offset: int) -> None:
        self._next[topic, partition] = max(offset, self._next.pop((topic, partition), 0))
        if len(self._next) > KNOWN_OFFSETS:
            self._next.popitem(last=False)

    async def stop(self) -> None:
        """Take nothing new, wait for what is being published (each is bounded), then close everything."""
        self._stopped = True
        while self._publishing:
            await self._all_published.wait()
        await self._producers.stop()
        await self._cluster.stop()
        await self._threads.stop()


def check_headers(headers: Sequence[Header]) -> None:
    """Raise BadRequest for headers that kafka-python cannot send: a name not in UTF-8, a null value."""
    for name, value in headers:
        try:
            name.decode("utf-8")
        except UnicodeDecodeError:
            raise BadRequest(f"the header name {quoted(name)} is not UTF-8") from None
        if value is None:
            raise BadRequest(f"the header {name.decode()} has no value")


def kafka_publisher(
    reactor: IReactorTime, settings: Settings, trouble: KnownTrouble | None = None
) -> KafkaPublisher:
    """A publisher for the cluster that the settings name. Connects on first use, and never blocks."""
    forward_kafka_logs()
    threads = Threads(reactor)
    identity = Identity(settings)
    cluster = Cluster(reactor, settings, threads.run, identity, trouble=trouble)
    producers = Producers(
        reactor, settings, cluster, threads, lambda arguments: WatchedProducer(arguments, identity)
    )

    def find(record: Record, first: int | None) -> tuple[int, int] | None:
        return find_value(settings, identity, record.topic, record.partition, record.value, first)

    return KafkaPublisher(reactor, cluster, producers, threads, find, random.Random())

"""Publishes envelopes for the HTTP door: IEnvelopePublisher over the proxy's own connections."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Sequence

from kafka.partitioner import murmur2
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from lfsproxy.broker.batches import Record
from lfsproxy.broker.cluster import Cluster
from lfsproxy.broker.producer import Producer
from lfsproxy.broker.scan import Scan
from lfsproxy.broker.seconds import PUBLISH_SECONDS
from lfsproxy.errors import (
    BadRequest,
    BrokerRefused,
    BrokerUnavailable,
    Draining,
    LfsError,
    OutcomeUnknown,
)
from lfsproxy.interfaces import Header, IEnvelopePublisher, Published
from lfsproxy.logs import Logger
from lfsproxy.wakeups import Condition

KNOWN_OFFSETS = 10_000
"""How many partitions' next offsets are remembered."""


@implementer(IEnvelopePublisher)
class KafkaPublisher:
    """``stop`` ends it, and the producer's connections; the cluster's are others' too."""

    publish_seconds = PUBLISH_SECONDS

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, cluster: Cluster, producer: Producer, scan: Scan, rng: random.Random
    ) -> None:
        self._cluster = cluster
        self._producer = producer
        self._scan = scan
        self._rng = rng
        self._next: OrderedDict[tuple[str, int], int] = OrderedDict()
        self._publishing = 0
        self._stopped = False
        self._all_published = Condition(clock)

    async def choose_partition(self, topic: str, key: bytes | None, partition: int | None) -> int:
        found = await self._cluster.topic(topic, create=True)
        if partition is not None and partition not in found.leaders:
            # It may be new.
            found = await self._cluster.topic(topic, create=True, max_age=0.0)
            if partition not in found.leaders:
                raise BadRequest(
                    f"the topic {topic} has no partition {partition}: its last one is {max(found.leaders)}"
                )
        if partition is not None:
            return partition
        partitions = sorted(found.leaders)
        if key is not None:
            hashed: int = murmur2(key) & 0x7FFFFFFF
            return partitions[hashed % len(partitions)]
        return self._rng.choice(self._cluster.healthy(found) or found.available or partitions)

    async def next_offset(self, topic: str, partition: int) -> int:
        known = self._next.get((topic, partition))
        if known is not None:
            return known
        try:
            offset = await self._cluster.offset(topic, partition)
        except LfsError as error:
            self._log.debug("no offset is known of {topic}: {error}", topic=topic, error=error)
            return 0
        self._remember(topic, partition, offset)
        return offset

    async def log_end(self, topic: str, partition: int) -> int:
        return await self._cluster.offset(topic, partition)

    async def find(self, topic: str, partition: int, value: bytes, first: int) -> Published | None:
        if self._stopped:
            raise Draining("the proxy is shutting down")
        try:
            found = await self._scan.find(topic, partition, value, first)
        except BrokerRefused as error:
            # It says nothing of the record: the topic may be there again.
            raise BrokerUnavailable(f"looking into {topic}, partition {partition} failed: {error}") from None
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
        placed = await self._producer.publish(record)
        offset, timestamp = placed.offset, placed.timestamp
        if offset < 0:
            offset, timestamp = await self._look_for(record, first)
        self._remember(topic, partition, offset + 1)
        return Published(topic, partition, offset, timestamp)

    async def _look_for(self, record: Record, first: int | None) -> tuple[int, int]:
        try:
            found = await self._scan.find(record.topic, record.partition, record.value, first)
        except LfsError as error:
            raise OutcomeUnknown(f"Kafka gave no offset, and looking for it failed: {error}") from None
        if found is None:
            raise OutcomeUnknown("Kafka gave no offset, and the record was not found")
        return found

    def _remember(self, topic: str, partition: int, offset: int) -> None:
        """A partition's records are placed in their order. One that is lower is of a topic that was made
        anew."""
        self._next.pop((topic, partition), None)
        self._next[topic, partition] = offset
        if len(self._next) > KNOWN_OFFSETS:
            self._next.popitem(last=False)

    async def stop(self) -> None:
        """Take nothing new, wait for what is being published (each is bounded), then close everything."""
        self._stopped = True
        while self._publishing:
            await self._all_published.wait()
        await self._producer.stop()

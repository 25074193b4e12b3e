"""The proxy's own Kafka client, put together from the settings."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import attrs

from lfsproxy.broker.cluster import Cluster
from lfsproxy.broker.log import KafkaLog
from lfsproxy.broker.lookups import Lookups
from lfsproxy.broker.producer import Producer
from lfsproxy.broker.publisher import KafkaPublisher
from lfsproxy.broker.reading import LogReading
from lfsproxy.broker.scan import Scan
from lfsproxy.broker.threads import in_thread
from lfsproxy.kafka.pool import Pool
from lfsproxy.kafka.upstream import Upstream
from lfsproxy.readiness import KnownTrouble
from lfsproxy.settings import Settings

ANSWER_OVERHEAD: Final = 1024 * 1024
"""Bytes of an answer besides its batch: names, and the aborted transactions of the partition."""


@attrs.frozen
class KafkaClient:
    """Publishes and reads with the proxy's own identity. Connects on first use."""

    publisher: KafkaPublisher
    log: KafkaLog
    reading: LogReading
    cluster: Cluster
    upstream: Upstream

    @property
    def closers(self) -> Sequence[Callable[[], Coroutine[Any, Any, None]]]:
        """The steps of its end: take nothing new and wait for what is being published; fetch no token any
        more, and close the connections."""
        return self.publisher.stop, self._disconnect

    async def _disconnect(self) -> None:
        self.upstream.identity.stop()
        await self.cluster.stop()

    async def stop(self) -> None:
        """All of them."""
        for close in self.closers:
            await close()


def kafka_client(
    reactor: Any, settings: Settings, upstream: Upstream | None = None, trouble: KnownTrouble | None = None
) -> KafkaClient:
    """A client for the cluster that the settings name. Batches have connections of their own: what is read
    from a broker must not hold them up."""
    reaching = upstream or Upstream(reactor, settings)
    largest = settings.max_passthrough_size + ANSWER_OVERHEAD
    cluster = Cluster(reactor, reaching, Pool(reactor, reaching), Pool(reactor, reaching), largest, trouble)
    threads = in_thread(reactor)
    producer = Producer(
        reactor, cluster, Pool(reactor, reaching), settings.max_passthrough_size, _milliseconds
    )
    lookups = Lookups(reactor, settings.max_lookups)
    scan = Scan(reactor, cluster, lookups, threads, settings.max_decompressed_size)
    publisher = KafkaPublisher(reactor, cluster, producer, scan, random.Random())
    log = KafkaLog(reactor, cluster, lookups, threads, settings)
    return KafkaClient(publisher, log, LogReading(reactor, cluster, threads, settings), cluster, reaching)


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000

"""Memory of the proxy under many large records at once, and plain traffic beside them.

The bound is that of docs/architecture.md for records that are not compressed: what the process takes before
any traffic, LFS_UPLOAD_MEMORY, and the buffers of each client's two connections.
"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lfsproxy.envelope import parse_envelope
from tests.integration.clients.python import librdkafka
from tests.integration.clients.records import Mode, Outcome, Record, lfs
from tests.integration.kafka_door import KafkaDoorTestCase
from tests.integration.proxy import own_proxy
from tests.integration.stack import in_thread, stack

MIB = 1024 * 1024
PRODUCERS = 20
UPLOAD_MEMORY = 64 * MIB
BUFFERS = 2 * MIB
LONGEST_WAIT = 5


class Trickle:
    """A producer of plain records, one after the other; ``waits`` is how long each took, in seconds."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.bootstrap = bootstrap
        self.topic = topic
        self.waits: list[float] = []
        self.over = threading.Event()

    def run(self) -> None:
        """Send until it is over. Blocks."""
        from confluent_kafka import Producer

        producer: Any = Producer(
            {"bootstrap.servers": self.bootstrap, "linger.ms": 0, "broker.address.family": "v4"}
        )
        while not self.over.is_set():
            begun = time.monotonic()
            producer.produce(self.topic, b"plain")
            if producer.flush(60):
                raise TimeoutError("a plain record was not acknowledged")
            self.waits.append(time.monotonic() - begun)
            self.over.wait(0.02)


class MemoryTests(KafkaDoorTestCase):
    async def test_many_large_records_at_once_stay_within_the_bound(self) -> None:
        self.servers = await stack()
        self.proxy = await own_proxy(self, self.servers, LFS_UPLOAD_MEMORY=str(UPLOAD_MEMORY))
        topic = await self.servers.new_topic("memory", partitions=PRODUCERS)
        plain = await self.servers.new_topic("plain")
        await in_thread(librdkafka, self.proxy.bootstrap, plain, [lfs(b"warm"), Record(b"up")], Mode())
        before = self.proxy.peak_memory
        value = os.urandom(16 * MIB)

        def upload(number: int) -> list[Outcome]:
            record = lfs(value, partition=number)
            return librdkafka(self.proxy.bootstrap, topic, [record], Mode(idempotent=True))

        def upload_all() -> list[list[Outcome]]:
            # Threads of its own: the reactor's are too few.
            with ThreadPoolExecutor(PRODUCERS) as threads:
                return list(threads.map(upload, range(PRODUCERS)))

        trickle = Trickle(self.proxy.bootstrap, plain)
        running = in_thread(trickle.run)
        try:
            told = await in_thread(upload_all)
        finally:
            trickle.over.set()
            await running
        self.assertEqual([outcome for each in told for outcome in each], [Outcome(0)] * PRODUCERS)
        bound = before + UPLOAD_MEMORY + (PRODUCERS + 1) * BUFFERS
        self.assertLess(self.proxy.peak_memory, bound)
        self.assertLess(bound, PRODUCERS * len(value), "the bound says nothing")
        self.assertLess(max(trickle.waits), LONGEST_WAIT)
        metrics = await in_thread(self.proxy.metrics)
        self.assertEqual(metrics["lfsproxy_upload_memory_bytes"], 0)
        envelopes = [parse_envelope(record or b"") for record in await in_thread(self.values, topic)]
        self.assertEqual({envelope and envelope.content_length for envelope in envelopes}, {len(value)})
        key = envelopes[-1].s3_key if envelopes[-1] else ""
        blob = await in_thread(self.servers.s3_client().get_object, Bucket=self.servers.bucket, Key=key)
        self.assertEqual(await in_thread(blob["Body"].read), value)

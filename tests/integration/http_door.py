"""The HTTP door in front of the real Kafka and S3 server of tests.integration.stack, for its tests."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import attrs
from kafka import KafkaConsumer, TopicPartition
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from lfsproxy.backends import make_backends
from lfsproxy.budget import MemoryBudget
from lfsproxy.claimcheck import ClaimCheck
from lfsproxy.downloads import Downloads
from lfsproxy.readiness import Readiness
from lfsproxy.settings import load_settings
from lfsproxy.testing import MemoryMetrics
from lfsproxy.web.door import make_site
from lfsproxy.web.site import LfsSite
from tests.integration.stack import Stack, in_thread, stack

MIB = 1024 * 1024
SIZE = 64 * MIB


@attrs.frozen
class Door:
    """A running HTTP door."""

    port: int
    site: LfsSite
    metrics: MemoryMetrics
    budget: MemoryBudget
    readiness: Readiness

    def url(self, topic: str, query: str = "") -> str:
        return f"http://127.0.0.1:{self.port}/v1/topics/{topic}/records" + (f"?{query}" if query else "")


async def start_door(test: TestCase, servers: Stack, **settings: str) -> Door:
    """The HTTP door in front of ``servers``, closed after the test. ``settings`` are LFS_* variables."""
    environment = {**servers.environment, **settings}
    loaded = load_settings(environment, {}).settings
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        test.patch(os, "environ", {**os.environ, name: environment[name]})
    metrics = MemoryMetrics()
    backends = make_backends(reactor, loaded, {}, metrics)
    store, publisher = backends.store, backends.publisher
    budget = MemoryBudget(cast(Any, reactor), loaded.upload_memory, loaded.s3_part_size, loaded.stall_timeout)
    readiness = Readiness(
        cast(Any, reactor), {"S3": store.blobs.check, "Kafka": publisher.check}, interval=0.2
    )
    claims = ClaimCheck(store.blobs, metrics, cast(Any, reactor), max_size=loaded.max_upload_size)
    downloads = Downloads(
        backends.log,
        store.source,
        budget,
        metrics,
        cast(Any, reactor),
        loaded.namespace,
        loaded.download_prefixes,
    )
    site = make_site(cast(Any, reactor), loaded, claims, publisher, budget, metrics, readiness, downloads)
    port: Any = cast(Any, reactor).listenTCP(0, site, interface="127.0.0.1")

    async def close() -> None:
        readiness.drain()
        await port.stopListening()
        site.abort()
        await site.drain()
        readiness.stop()
        await backends.close()

    test.addCleanup(close)
    return Door(port.getHost().port, site, metrics, budget, readiness)


async def until(is_so: Callable[[], bool]) -> None:
    """Give the reactor turns until something is so; the test's timeout is the limit."""
    while not is_so():
        await deferLater(cast(Any, reactor), 0.01, lambda: None)


def read_records(servers: Stack, topic: str) -> list[Any]:
    """Every record of a topic that is there now."""
    consumer = KafkaConsumer(bootstrap_servers=servers.kafka.bootstrap)
    partitions = [
        TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())
    ]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    left = sum(consumer.end_offsets(partitions).values())
    records: list[Any] = []
    while len(records) < left:
        for batch in consumer.poll(timeout_ms=5000).values():
            records.extend(batch)
    consumer.close()
    return records


def keys_below(servers: Stack, topic: str) -> list[str]:
    """Every object and every unfinished multipart upload of a topic.

    What does not end as a blob's key is not the proxy's: an S3Proxy that was killed in the middle of a PUT
    leaves its own temporary file, ``key-uuid``, and lists it.
    """
    client = servers.s3_client()
    prefix = f"lfs/default/{topic}/"
    objects = client.list_objects_v2(Bucket=servers.bucket, Prefix=prefix).get("Contents", [])
    uploads = client.list_multipart_uploads(Bucket=servers.bucket).get("Uploads", [])
    keys = [item["Key"] for item in objects if item["Key"].endswith(".bin")]
    return keys + [item["Key"] for item in uploads if item["Key"].startswith(prefix)]


class HttpDoorTests(TestCase):
    """Tests with a door of their own, and a topic of three partitions that nobody else writes to."""

    timeout = 120
    door: Door
    servers: Stack
    topic: str

    async def setUp(self) -> None:  # type: ignore[override]
        self.servers = await stack()
        self.topic = await self.servers.new_topic("http", partitions=3)
        self.door = await start_door(self, self.servers)

    async def curl(self, *arguments: str, topic: str | None = None, query: str = "") -> tuple[int, Any, str]:
        """Run curl against the door; status, JSON body and what -v says."""
        out, err, code = await getProcessOutputAndValue(
            "curl",
            ["-sSv", "-w", "\n%{http_code}", *arguments, self.door.url(topic or self.topic, query)],
            env={**os.environ, "no_proxy": "*"},
        )
        self.assertEqual(code, 0, err.decode("utf-8", "replace"))
        body, _, status = out.rpartition(b"\n")
        return int(status), json.loads(body), err.decode("utf-8", "replace")

    def file(self, size: int = SIZE) -> tuple[str, str]:
        """A file of ``size`` bytes that do not repeat per part, and its SHA-256."""
        path = Path(self.mktemp())
        checksum = hashlib.sha256()
        with path.open("wb") as file:
            for start in range(0, size, MIB):
                block = hashlib.sha256(b"%d" % start).digest() * (MIB // 32)
                block = block[: min(MIB, size - start)]
                checksum.update(block)
                file.write(block)
        return str(path), checksum.hexdigest()

    async def assertPublished(self, answer: Any, checksum: str, object_type: str | None = None) -> Any:
        """The one record of the topic holds the answer's envelope, and S3 the bytes. Returns the record.

        ``object_type`` is the object's content type where it is not the envelope's.
        """
        records = await in_thread(read_records, self.servers, self.topic)
        self.assertEqual(len(records), 1)
        record = records[0]
        envelope = json.loads(record.value)
        self.assertEqual(envelope, answer["envelope"])
        self.assertEqual(
            (record.partition, record.offset, record.timestamp),
            (answer["partition"], answer["offset"], answer["timestamp"]),
        )
        client = self.servers.s3_client()

        def fetch() -> tuple[str, str]:
            found = client.get_object(Bucket=envelope["s3_bucket"], Key=envelope["s3_key"])
            return hashlib.sha256(found["Body"].read()).hexdigest(), found["ContentType"]

        self.assertEqual(await in_thread(fetch), (checksum, object_type or envelope["content_type"]))
        self.assertEqual(envelope["checksum"], checksum)
        self.assertEqual(await in_thread(keys_below, self.servers, self.topic), [envelope["s3_key"]])
        self.assertEqual(self.door.budget.used, 0)
        self.assertLessEqual(self.door.budget.peak, self.door.budget.limit)
        return record

    async def assertNothing(self) -> None:
        self.assertEqual(await in_thread(read_records, self.servers, self.topic), [])
        self.assertEqual(await in_thread(keys_below, self.servers, self.topic), [])
        self.assertEqual(self.door.budget.used, 0)

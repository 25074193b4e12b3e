"""``lfsproxy gc`` in front of a real Kafka and real S3 servers: S3Proxy, and MinIO where there is one.

Takes some 40 s, most of it the starts of Kafka and of the command.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any
from unittest import SkipTest
from uuid import uuid4

import attrs
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from twisted.trial.unittest import TestCase

from lfsproxy.devstack import KafkaServer, S3Server
from lfsproxy.devstack.s3 import find_minio
from lfsproxy.envelope import Envelope, object_key
from tests.integration.proxy import ProxyProcess, started
from tests.integration.stack import BUCKET, Stack, in_thread, own_kafka, s3_client, shared_s3
from tests.integration.tus import ask, create, patch

COMMAND = [sys.executable, "-c", "from lfsproxy.cli.main import main; main()", "gc", "--json"]
SECONDS = 120
AGE = 6
"""Seconds that an upload of the test may take, from the blob's begin to its record, on a busy machine."""
_numbers = itertools.count(1)


@attrs.frozen
class Done:
    """How a command ended: its status, the JSON of its last line, and standard error."""

    code: int
    found: Mapping[str, Any]
    err: str


class GcTestCase(TestCase):
    """A Kafka of its own, and a namespace of its own in a bucket that tests share."""

    timeout = 300
    minio: str | None = ""

    async def setUp(self) -> None:  # type: ignore[override]
        if self.minio is None:
            raise SkipTest("there is no minio on PATH")
        self.kafka: KafkaServer = await own_kafka(self)
        server: S3Server = await shared_s3(minio=self.minio)
        self.servers = Stack(self.kafka, server, BUCKET)
        self.s3 = s3_client(server)
        self.namespace = f"gc-{uuid4().hex[:8]}"
        self.environment = {**self.servers.environment, "LFS_NAMESPACE": self.namespace}
        self.topic = await self.servers.new_topic("gc")

    def put(self, topic: str = "") -> str:
        """A blob that nothing names yet; its key."""
        key = object_key(self.namespace, topic or self.topic, 0, next(_numbers), uuid4())
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=b"data")
        return key

    def envelope(self, key: str) -> bytes:
        return Envelope(BUCKET, key, "text/plain", 4, "sha256", "0" * 64).to_bytes()

    def producer(self, **config: Any) -> Producer:
        return Producer({"bootstrap.servers": self.kafka.bootstrap, "linger.ms": 50, **config})

    def produce(self, *values: bytes, topic: str = "", **config: Any) -> None:
        """Write records in one batch, as far as they fit. Blocks."""
        producer = self.producer(**config)
        for value in values:
            producer.produce(topic or self.topic, value, key=b"k", partition=0)
        self.assertEqual(producer.flush(60), 0)

    def transaction(self, key: str, end: str) -> Producer:
        """A record of a transaction that is committed, aborted, or left open."""
        config = {"transactional.id": f"{self.topic}-{end}", "transaction.timeout.ms": 600_000}
        producer = self.producer(**config)
        producer.init_transactions(60)
        producer.begin_transaction()
        producer.produce(self.topic, self.envelope(key), partition=0)
        producer.flush(60)
        if end == "commit":
            producer.commit_transaction(60)
        elif end == "abort":
            producer.abort_transaction(60)
        return producer

    def expire(self, topic: str) -> None:
        """Delete all records of a topic's partition 0."""
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap})
        for future in admin.delete_records([TopicPartition(topic, 0, -1)]).values():
            future.result(30)

    def keys(self) -> set[str]:
        """The blobs of the namespace that are there."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=BUCKET, Prefix=f"lfs/{self.namespace}/"
        )
        return {one["Key"] for page in pages for one in page.get("Contents", [])}

    def run_gc(self, *arguments: str, age: int = 1, **variables: str) -> Done:
        """With a grace period of ``age`` seconds. Blocks until those who are there are older."""
        # The store's clock tells whole seconds.
        time.sleep(age + 1.1)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("LFS_", "AWS_"))}
        done = subprocess.run(
            [*COMMAND, "--min-age", f"{age}s", "--unsafe", *arguments],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env={**inherited, **self.environment, **variables},
        )
        lines = done.stdout.splitlines()
        return Done(done.returncode, json.loads(lines[-1]) if lines else {}, done.stderr)

    async def gc(self, *arguments: str, age: int = 1, **variables: str) -> Done:
        return await in_thread(lambda: self.run_gc(*arguments, age=age, **variables))

    async def proxy(self, **settings: str) -> ProxyProcess:
        return await started(self, ProxyProcess({**self.environment, **settings}))


class S3ProxyGcTests(GcTestCase):
    async def test_what_is_named_anywhere_stays_and_the_rest_goes(self) -> None:
        copies = await self.servers.new_topic("copies", partitions=1)
        compacted = await self.servers.new_topic("compacted", config={"cleanup.policy": "compact"})
        kept: dict[str, str] = {}
        producers: list[Producer] = []

        def write() -> list[str]:
            kept["copied"] = self.put()
            self.produce(self.envelope(kept["copied"]))
            self.expire(self.topic)
            producer = self.producer()
            producer.produce(copies, b"failed", headers={"original": self.envelope(kept["copied"])})
            producer.flush(60)
            for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
                kept[codec] = self.put()
                around = [b"z" * 10_000] * 20
                self.produce(*around, self.envelope(kept[codec]), *around, **{"compression.type": codec})
            kept["older"] = self.put()
            older = {"kfs_lfs": 1, "bucket": BUCKET, "key": kept["older"], "size": 4, "sha256": "0" * 64}
            self.produce(json.dumps(older).encode())
            kept["compacted"] = self.put(compacted)
            self.produce(self.envelope(kept["compacted"]), topic=compacted)
            kept["committed"], aborted = self.put(), self.put()
            self.transaction(kept["committed"], "commit")
            self.transaction(aborted, "abort")
            kept["open"] = self.put()
            producers.append(self.transaction(kept["open"], "open"))
            return [aborted, self.put(), self.put()]

        orphans = await in_thread(write)
        upload = object_key(self.namespace, self.topic, 0, 0, uuid4())
        self.s3.create_multipart_upload(Bucket=BUCKET, Key=upload)
        looked = await self.gc()
        self.assertEqual(looked.code, 1, looked)
        numbers = {name: looked.found[name] for name in ("blobs", "referenced", "orphans", "orphan_bytes")}
        self.assertEqual(
            numbers,
            {"blobs": len(kept) + 3, "referenced": len(kept), "orphans": 3, "orphan_bytes": 12},
            looked,
        )
        self.assertEqual((looked.found["uploads"], looked.found["deleted"]), (1, 0))
        self.assertEqual(await in_thread(self.keys), {*kept.values(), *orphans})
        done = await self.gc("--delete", "--yes")
        self.assertEqual((done.code, done.found["deleted"], done.found["aborted"]), (0, 3, 1), done)
        self.assertEqual(await in_thread(self.keys), set(kept.values()))
        again = await self.gc("--delete", "--yes")
        self.assertEqual((again.code, again.found["orphans"], again.found["uploads"]), (0, 0, 0), again)
        await in_thread(producers[0].abort_transaction, 60)

    async def test_beside_a_proxy_nothing_that_was_acknowledged_is_lost(self) -> None:
        proxy = await self.proxy()
        orphan = await in_thread(self.put)
        paused = create(proxy, self.topic, 12 * 2**20)
        patch(proxy, paused, 0, b"x" * (9 * 2**20))
        until = time.monotonic() + 2 * AGE + 4
        places: list[str] = []

        def upload() -> None:
            while time.monotonic() < until:
                answer = ask(proxy, "POST", f"/v1/topics/{self.topic}/records", {}, b"y" * 300_000)
                self.assertEqual(answer.status, 201, answer)
                places.append(answer.headers["location"])

        uploading = in_thread(upload)
        runs = [await self.gc("--delete", "--yes", age=AGE) for _ in range(2)]
        await uploading
        self.assertEqual([run.code for run in runs], [0, 0], runs)
        self.assertNotIn(orphan, await in_thread(self.keys))
        self.assertEqual(sum(run.found["deleted"] for run in runs), 1)
        self.assertGreater(len(places), 5)

        def read_all() -> None:
            for place in places:
                answer = ask(proxy, "GET", place, {})
                self.assertEqual((answer.status, len(answer.body)), (200, 300_000), place)

        await in_thread(read_all)
        finished = patch(proxy, paused, 9 * 2**20, b"x" * (3 * 2**20))
        self.assertEqual(finished.status, 204, finished)
        done = await self.gc("--delete", "--yes", age=AGE)
        self.assertEqual((done.code, done.found["deleted"], done.found["aborted"]), (0, 0, 0), done)


class MinioGcTests(S3ProxyGcTests):
    minio = find_minio()


class RefusalTests(GcTestCase):
    """Where not all can be read, nothing is removed."""

    async def refused(self, *arguments: str, **variables: str) -> str:
        done = await self.gc("--delete", "--yes", *arguments, age=1, **variables)
        self.assertEqual((done.code, done.found), (2, {}), done)
        return done.err

    async def test_nothing_is_removed(self) -> None:
        orphan = await in_thread(self.put)
        await in_thread(lambda: self.produce(b"z" * 500_000, **{"compression.type": "gzip"}))
        said = await self.refused(LFS_MAX_DECOMPRESSED_SIZE="1024")
        self.assertIn(f"{self.topic}, partition 0, cannot be read to its end: at offset 0: ", said)
        self.assertIn("LFS_MAX_DECOMPRESSED_SIZE", said)
        self.assertIn("does not exist", await self.refused("--topics", "no-such-topic"))
        self.assertIn("S3", await self.refused(LFS_S3_BUCKET="no-such-bucket"))
        self.assertIn(orphan, await in_thread(self.keys))

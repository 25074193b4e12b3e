"""Brokers other than the current Apache Kafka: both ways in, and the way back, work in front of each."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from twisted.trial.unittest import TestCase

from tests.integration.clients import java
from tests.integration.clients.python import aiokafka, kafka_python, librdkafka
from tests.integration.clients.records import CODECS, Mode, Record, lfs
from tests.integration.clients.share import ShareError, java_share
from tests.integration.cluster import CONFIG, HEAP
from tests.integration.kafscale import KafScaleServer
from tests.integration.proxy import ProxyProcess, own_proxy
from tests.integration.stack import Stack, in_thread, own_kafka, stack

LFSPROXY = (sys.executable, "-c", "from lfsproxy.cli.main import main; main()")
SMALL_NODE = {name: CONFIG[name] for name in ("log.cleaner.dedupe.buffer.size", "background.threads")}
BLOB = random.Random(39).randbytes(300_000)

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class BrokerKindTests(TestCase):
    """Records go in by every kind of client and by HTTP, and come out by the command, each with its bytes."""

    timeout = 180
    servers: Stack
    proxy: ProxyProcess

    async def begin(self, kafka: Any) -> None:
        shared = await stack()
        self.servers = Stack(kafka, shared.s3, shared.bucket)
        self.proxy = await own_proxy(self, self.servers)
        self.sent: dict[str, bytes] = {}

    async def test_kafka_3_9(self) -> None:
        await self.check_older_kafka("3.9")

    async def test_kafka_4_1(self) -> None:
        await self.check_older_kafka("4.1")
        await in_thread(self.check_share_groups_are_refused)

    async def check_older_kafka(self, release: str) -> None:
        await self.begin(await own_kafka(self, release=release, heap=HEAP, config=SMALL_NODE))
        topic = await self.servers.new_topic("kinds", partitions=2)
        modes = [
            Mode(),
            Mode("gzip", "1"),
            Mode("snappy", idempotent=True),
            Mode("lz4", "0"),
            Mode("zstd", transactional_id="kinds"),
        ]
        await in_thread(self.upload, topic)
        await in_thread(self.produce, topic, modes)
        await in_thread(self.produce_by_console, topic)
        await in_thread(self.check, topic)

    async def test_kafscale(self) -> None:
        kafscale = KafScaleServer()
        self.addCleanup(in_thread, kafscale.close)
        await in_thread(kafscale.start)
        await self.begin(kafscale)
        topic = "kinds"
        # The broker creates it now, and knows no idempotent producers.
        await in_thread(self.upload, topic)
        # Without acknowledgement first: it shows such records together with later ones.
        await in_thread(self.produce, topic, [Mode("none", "0"), *(Mode(codec) for codec in CODECS)])
        await in_thread(self.produce_by_console, topic, "enable.idempotence=false")
        await in_thread(self.check, topic)

    def check_share_groups_are_refused(self) -> None:
        """They are off by default: Java's consumer is told at its first poll."""
        clients = java_share()
        try:
            clients.open("one", self.proxy.bootstrap, "shared", "kinds")
            with self.assertRaisesRegex(ShareError, "UnsupportedVersionException"):
                clients.poll("one")
        finally:
            clients.end()

    def produce(self, topic: str, modes: Sequence[Mode]) -> None:
        """By the clients for Python, one offloaded record and one other in a batch each."""
        for client in (librdkafka, kafka_python, aiokafka):
            for mode in modes:
                key = f"{client.__name__} {mode}"
                sent = [
                    lfs(BLOB + key.encode(), key=key.encode()),
                    Record(b"plain", key=f"plain {key}".encode()),
                ]
                outcomes = client(self.proxy.bootstrap, topic, sent, mode)
                self.assertEqual([outcome.error for outcome in outcomes], ["", ""], key)
                self.sent |= {cast(bytes, each.key).decode(): cast(bytes, each.value) for each in sent}

    def produce_by_console(self, topic: str, *properties: str) -> None:
        """By Kafka's own console producer."""
        self.sent["console"] = b"by console"
        java.tool(
            self.proxy.bootstrap,
            "kafka-console-producer",
            *("--topic", topic, "--property", "parse.key=true", "--property", "parse.headers=true"),
            *(argument for each in properties for argument in ("--producer-property", each)),
            stdin=b"LFS_BLOB:\tconsole\tby console\n",
        )

    def upload(self, topic: str) -> None:
        """By HTTP, as the first record of partition 1."""
        request = urllib.request.Request(
            f"{self.proxy.http}/v1/topics/{topic}/records?key=http&partition=1",
            data=BLOB + b"http",
            headers={"Content-Type": "application/octet-stream"},
        )
        self.sent["http"] = BLOB + b"http"
        with _opener.open(request, timeout=60) as answer:
            self.assertEqual(answer.status, 201)
            told = json.load(answer)
        self.assertEqual((told["topic"], told["partition"], told["offset"]), (topic, 1, 0))

    def check(self, topic: str) -> None:
        """Read all records through the proxy, and all blobs, by ``lfsproxy consume``."""
        folder = Path(self.mktemp()).absolute()
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("LFS_", "AWS_"))}
        done = subprocess.run(
            [
                *(*LFSPROXY, "consume", topic, "--bootstrap", self.proxy.bootstrap, "--from-beginning"),
                *("--max-messages", str(len(self.sent)), "--timeout", "30"),
                *("--resolve", "--output", str(folder), "--json", "--quiet"),
            ],
            capture_output=True,
            env={**inherited, **self.servers.environment},
            check=False,
            timeout=120,
        )
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        records = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual(sorted(each["key"] for each in records), sorted(self.sent))
        for each in records:
            path = folder / f"{each['topic']}-{each['partition']}-{each['offset']}"
            self.assertEqual(path.read_bytes(), self.sent[each["key"]], each["key"])
            self.assertEqual("envelope" in each, not each["key"].startswith("plain"), each["key"])

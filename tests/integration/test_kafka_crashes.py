"""Clients, S3, brokers and replicas of the proxy that die at the worst moment on the Kafka path."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from lfsproxy.devstack import KafkaServer, S3Server
from lfsproxy.devstack.ports import HOST
from tests.integration.clients import java
from tests.integration.clients.python import kafka_python, librdkafka
from tests.integration.clients.records import Mode, Outcome, lfs
from tests.integration.gate import Gate
from tests.integration.kafka_door import KafkaDoorTestCase, at_once, wait_for
from tests.integration.proxy import NODE, ProxyProcess, own_proxy
from tests.integration.stack import BUCKET, Stack, in_thread, own_kafka, own_s3, stack

ROOT = Path(__file__).resolve().parents[2]
MIB = 1024 * 1024
STREAMING = {
    # A request of more than 6 MiB is not held whole: its upload begins before all of it is here.
    "LFS_MAX_PASSTHROUGH_SIZE": str(MIB),
    "LFS_S3_PART_SIZE": str(5 * MIB),
    "LFS_S3_RETRY_TIMEOUT": "1",
}
MOST_OPEN = 100
HALF, WHOLE = 8 * MIB, 16 * MIB


class MidUploadTests(KafkaDoorTestCase):
    """``gate`` stands before the broker's port, so that clients can be held in the middle of a record."""

    s3: S3Server

    async def setUp(self) -> None:  # type: ignore[override]
        kafka = (await stack()).kafka
        self.s3 = await own_s3(self)
        self.servers = Stack(kafka, self.s3, BUCKET)
        self.gate = Gate(self)
        advertised = {"LFS_KAFKA_ADVERTISED_PORT_BASE": str(self.gate.port - NODE)}
        self.proxy = await own_proxy(self, self.servers, **STREAMING, **advertised)
        self.gate.target = (HOST, self.proxy.node_port)
        self.topic = await self.servers.new_topic("mid-upload")

    def open_uploads(self) -> int:
        return len(self.servers.s3_client().list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))

    async def test_s3_dies_in_the_middle_of_uploads(self) -> None:
        producers = [librdkafka, kafka_python]
        names = ["KAFKA_STORAGE_ERROR", "KafkaStorageError"]
        if await in_thread(java.has_compiler):
            producers.append(java.produce)
            names.append("KafkaStorageException")
        self.gate.hold_after(HALF)
        sending: list[Callable[[], list[Outcome]]] = [
            partial(produce, self.proxy.bootstrap, self.topic, [lfs(bytes(WHOLE))], Mode(), retries=0)
            for produce in producers
        ]
        running = Deferred.fromCoroutine(at_once(*sending))
        await in_thread(wait_for, self.open_uploads, lambda count: count == len(producers))
        await in_thread(self.s3.kill)
        self.gate.release()
        self.assertEqual([outcome.error for (outcome,) in await running], names)
        self.assertEqual(await in_thread(self.values, self.topic), [])
        await in_thread(self.s3.start)
        await self.assert_nothing_left(self.topic)

    def start_sender(self, size: int) -> subprocess.Popen[bytes]:
        command = ["-m", "tests.integration.clients.send", self.proxy.bootstrap, self.topic, str(size)]
        sender = subprocess.Popen([sys.executable, *command], cwd=ROOT)

        def end() -> None:
            sender.kill()
            sender.wait()

        self.addCleanup(end)
        return sender

    async def assert_nobody_is_served(self) -> None:
        """The proxy has noticed that its clients went away."""
        await in_thread(
            wait_for, lambda: self.proxy.metrics()["lfsproxy_kafka_connections"], lambda count: count == 0
        )

    async def test_a_client_dies_in_the_middle_of_its_record(self) -> None:
        held = self.gate.hold_after(HALF)
        sender = await in_thread(self.start_sender, WHOLE)
        await held
        await in_thread(wait_for, self.open_uploads, lambda count: count == 1)
        sender.kill()
        await self.assert_nobody_is_served()
        self.assertEqual(await in_thread(self.values, self.topic), [])
        await self.assert_nothing_left(self.topic)

    async def test_a_client_dies_while_its_record_is_uploaded(self) -> None:
        await in_thread(self.s3.pause)
        sender = await in_thread(self.start_sender, MIB)
        await in_thread(wait_for, lambda: self.gate.passed, lambda count: count > MIB)
        sender.kill()
        await self.assert_nobody_is_served()
        await in_thread(self.s3.resume)
        self.assertEqual(await in_thread(self.values, self.topic), [])
        await self.assert_nothing_left(self.topic)


@attrs.define
class Load:
    """A producer that sends numbered records, each tenth of them to be offloaded, until it is ended, with at
    most MOST_OPEN that are not acknowledged.

    ``acknowledged`` is every (key, offset) that it was told of, ``failed`` what it was told else.
    """

    bootstrap: str
    topic: str
    acknowledged: list[tuple[bytes, int]] = attrs.field(factory=list)
    failed: list[str] = attrs.field(factory=list)
    _end: threading.Event = attrs.field(factory=threading.Event)

    def run(self) -> None:
        """Send until ``end``, then wait for every answer. Blocks."""
        from confluent_kafka import Producer

        producer: Any = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "enable.idempotence": True,
                "linger.ms": 1,
                "batch.num.messages": 5,
                "socket.timeout.ms": 10_000,
                "reconnect.backoff.max.ms": 500,
                "broker.address.family": "v4",
                "log_level": 0,
            }
        )
        for number in range(1_000_000):
            headers: Any = [("LFS_BLOB", b"")] if number % 10 == 0 else []
            producer.produce(self.topic, b"value", b"%d" % number, 0, headers=headers, on_delivery=self._told)
            producer.poll(0.005)
            while len(producer) > MOST_OPEN and not self._end.is_set():
                producer.poll(0.05)
            if self._end.is_set():
                break
        producer.flush(60)

    def _told(self, error: Any, message: Any) -> None:
        if error is None:
            self.acknowledged.append((message.key(), message.offset()))
        else:
            self.failed.append(error.name())

    def end(self) -> None:
        self._end.set()

    def goes_on(self) -> None:
        """Wait until 50 more records are acknowledged. Blocks."""
        goal = len(self.acknowledged) + 50
        wait_for(lambda: len(self.acknowledged), lambda count: count >= goal)


class UnderLoadTests(KafkaDoorTestCase):
    async def check_load(self, bootstrap: str, *troubles: Callable[[], None]) -> None:
        """Records flow again after each trouble, and in the end all are in the log once and in order."""
        topic = await self.servers.new_topic("load")
        load = Load(bootstrap, topic)
        running = in_thread(load.run)
        try:
            await in_thread(load.goes_on)
            for trouble in troubles:
                await in_thread(trouble)
                await in_thread(load.goes_on)
        finally:
            load.end()
            await running
        self.assertEqual(load.failed, [])
        log = await in_thread(self.records, topic)
        self.assertEqual(load.acknowledged, [(record.key, record.offset) for record in log])
        self.assertEqual([record.key for record in log], [b"%d" % number for number in range(len(log))])

    async def test_a_broker_crashes_and_comes_back(self) -> None:
        kafka: KafkaServer = await own_kafka(self)
        self.servers = Stack(kafka, (await stack()).s3, BUCKET)
        self.proxy = await own_proxy(self, self.servers)

        def crash() -> None:
            kafka.kill()
            kafka.start()

        await self.check_load(self.proxy.bootstrap, crash)

    async def test_the_proxy_is_restarted_and_another_replica_takes_over(self) -> None:
        self.servers = await stack()
        gate = Gate(self)
        balanced = {"LFS_KAFKA_ADVERTISED_PORT_BASE": str(gate.port - NODE)}
        first = await own_proxy(self, self.servers, **balanced)
        second = await own_proxy(self, self.servers, **balanced)
        gate.target = (HOST, first.node_port)

        def restart() -> None:
            first.stop()
            first.start()

        def fail_over() -> None:
            gate.target = (HOST, second.node_port)
            first.kill()

        await self.check_load(f"{first.bootstrap},{second.bootstrap}", restart, fail_over)

    async def test_clients_go_on_at_the_same_port_of_another_replica(self) -> None:
        self.servers = await stack()
        elsewhere = "127.0.0.2"
        first = ProxyProcess({**self.servers.environment, "LFS_KAFKA_ADVERTISED_HOST": elsewhere})
        second = ProxyProcess(
            {
                **self.servers.environment,
                "LFS_KAFKA_ADDR": f"{elsewhere}:{first.kafka_port}",
                "LFS_KAFKA_BROKER_PORT_BASE": str(first.node_port - NODE),
            }
        )
        for proxy in (first, second):
            self.addCleanup(in_thread, proxy.close)
            await in_thread(proxy.start)
        self.proxy = second
        topic = await self.servers.new_topic("replicas")
        (told,) = await in_thread(librdkafka, first.bootstrap, topic, [lfs(b"blob")], Mode())
        self.assertEqual(told.offset, 0)
        self.assertEqual((await in_thread(first.metrics))['lfsproxy_kafka_requests_total{api="Produce"}'], 0)
        self.assertEqual((await in_thread(second.metrics))['lfsproxy_kafka_requests_total{api="Produce"}'], 1)

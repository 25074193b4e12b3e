"""Brokers that hang, go, move and come back: nobody else waits for them, and they serve at once again.

Every broker that hangs is stopped by SIGSTOP: its system goes on taking connections.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from typing import Any

from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from lfsproxy.devstack.ports import HOST, free_port
from tests.integration.clients.python import librdkafka
from tests.integration.clients.records import Mode, Record
from tests.integration.cluster import ClusterStack, cluster, leaders
from tests.integration.proxy import ProxyProcess, own_proxy
from tests.integration.stack import in_thread, own_kafka, stack

SOON = 2.0
"""Seconds within which a broker that is back serves."""


def upload(
    proxy: ProxyProcess, topic: str, partition: int, body: bytes = b"blob"
) -> tuple[int, dict[str, Any]]:
    """Upload a blob; the status and the answer. Blocks."""
    connection = http.client.HTTPConnection(HOST, proxy.http_port, timeout=60)
    try:
        connection.request("POST", f"/v1/topics/{topic}/records?partition={partition}", body)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def download(proxy: ProxyProcess, topic: str, partition: int, offset: int = 0) -> int:
    """The status of a download. Blocks."""
    connection = http.client.HTTPConnection(HOST, proxy.http_port, timeout=60)
    try:
        connection.request("GET", f"/v1/topics/{topic}/partitions/{partition}/records/{offset}")
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def timed(call: Any, *arguments: Any) -> tuple[Any, float]:
    """What a call gives, and how many seconds it took. Blocks."""
    began = time.monotonic()
    return call(*arguments), time.monotonic() - began


class HungAddressTests(TestCase):
    """An address of LFS_KAFKA_BROKERS that takes connections and never answers."""

    timeout = 120

    async def test_it_holds_up_nobody(self) -> None:
        servers = await stack()
        topic = await servers.new_topic("hung")
        with socket.create_server((HOST, 0)) as hung:
            brokers = f"{HOST}:{hung.getsockname()[1]},{servers.kafka.bootstrap}"
            proxy = await own_proxy(self, servers, LFS_KAFKA_BROKERS=brokers)
            for _ in range(4):
                (status, _), seconds = await in_thread(timed, upload, proxy, topic, 0)
                self.assertEqual(status, 201)
                self.assertLess(seconds, SOON)
            for number in range(4):
                # A new client each time.
                sent = Record(b"plain %d" % number)
                _, seconds = await in_thread(timed, librdkafka, proxy.bootstrap, topic, [sent], Mode())
                self.assertLess(seconds, 5)


class ClusterTests(TestCase):
    timeout = 240
    servers: ClusterStack
    proxy: ProxyProcess
    topic: str

    async def setUp(self) -> None:  # type: ignore[override]
        self.servers = await cluster()
        self.topic = await self.servers.new_topic("hung", partitions=6)
        self.proxy = await own_proxy(self, self.servers)
        led = await in_thread(leaders, self.servers.kafka.port, self.topic)
        self.led = {node: partition for partition, node in led.items()}
        self.assertEqual(set(self.led), {1, 2, 3}, "each node leads a partition")
        for partition in self.led.values():
            self.assertEqual((await in_thread(upload, self.proxy, self.topic, partition))[0], 201)

    async def test_a_broker_that_hangs(self) -> None:
        node = self.servers.nodes[3]
        await in_thread(node.pause)
        self.addCleanup(in_thread, node.resume)
        stuck = in_thread(timed, upload, self.proxy, self.topic, self.led[3])
        # Uploads to the others wait for Kafka itself: acks=all, until it has noticed that a replica is gone.
        for other in (1, 2):
            status, seconds = await in_thread(timed, download, self.proxy, self.topic, self.led[other])
            self.assertEqual(status, 200)
            self.assertLess(seconds, SOON)
        (status, answer), _ = await stuck
        # Another node leads by then, and knows whether it has the record.
        self.assertEqual(status, 201, answer)
        for other in (1, 2):
            (status, _), seconds = await in_thread(timed, upload, self.proxy, self.topic, self.led[other])
            self.assertEqual(status, 201)
            self.assertLess(seconds, SOON)
        await in_thread(node.resume)
        self.assertEqual(await in_thread(download, self.proxy, self.topic, self.led[3]), 200)

    async def test_a_broker_that_comes_back_at_another_port_serves_at_once(self) -> None:
        node = self.servers.nodes[2]
        await in_thread(node.kill)
        tries = [in_thread(download, self.proxy, self.topic, self.led[2]) for _ in range(2)]
        node.port = free_port()
        await in_thread(node.start)
        began = time.monotonic()
        # A broker that was killed may say for a moment that the record is not committed yet.
        while await in_thread(download, self.proxy, self.topic, self.led[2]) == 404:
            self.assertLess(time.monotonic() - began, SOON)
        self.assertEqual(await in_thread(download, self.proxy, self.topic, self.led[2]), 200)
        self.assertEqual((await in_thread(upload, self.proxy, self.topic, self.led[2]))[0], 201)
        self.assertLess(time.monotonic() - began, SOON)
        await gatherResults(tries)


class AwayTests(TestCase):
    timeout = 120

    async def test_the_only_broker_serves_as_soon_as_it_is_back(self) -> None:
        kafka = await own_kafka(self)
        await in_thread(kafka.create_topic, "demo")
        servers = await stack()
        proxy = await own_proxy(self, servers, LFS_KAFKA_BROKERS=kafka.bootstrap)
        self.assertEqual((await in_thread(upload, proxy, "demo", 0))[0], 201)
        await in_thread(kafka.kill)
        meanwhile = in_thread(download, proxy, "demo", 0)
        await in_thread(kafka.start)
        began = time.monotonic()
        self.assertEqual(await in_thread(download, proxy, "demo", 0), 200)
        self.assertEqual((await in_thread(upload, proxy, "demo", 0))[0], 201)
        self.assertLess(time.monotonic() - began, SOON)
        await meanwhile

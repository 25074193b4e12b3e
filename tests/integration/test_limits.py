"""Limits of a running proxy: connections, silence, file descriptors, and whose turn it is."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import statistics
import struct
import time
from collections.abc import Iterator

from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from lfsproxy.devstack.ports import HOST
from tests.integration import frames
from tests.integration.greedy import greedy, upload
from tests.integration.proxy import ProxyProcess, own_proxy
from tests.integration.raw import RawClient
from tests.integration.slow_link import SlowLink
from tests.integration.stack import in_thread, stack

MIB = 1024 * 1024
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
API_VERSIONS = frames.frame(frames.head(18, 0))
OTHER = "127.0.0.2"
CROWD = 24
"""Connections that upload all the time. There is memory for six of them."""


def connect(port: int, source: str = HOST) -> socket.socket:
    return socket.create_connection((HOST, port), timeout=20, source_address=(source, 0))


def is_closed(client: socket.socket) -> bool:
    """Whether the next thing that comes is the connection's end. Blocks until it comes."""
    try:
        return client.recv(1) == b""
    except ConnectionError:
        return True


def seconds_until_closed(port: int, *pieces: bytes, pause: float = 0) -> float:
    """How long a connection lives on which these bytes come. Blocks."""
    with connect(port) as client:
        began = time.monotonic()
        for piece in pieces:
            try:
                client.sendall(piece)
            except ConnectionError:
                break
            time.sleep(pause)
        with contextlib.suppress(ConnectionError):
            while client.recv(65536):
                pass
        return time.monotonic() - began


def ask(client: socket.socket, request: bytes) -> bool:
    """Whether a request is answered. Blocks."""
    try:
        client.sendall(request)
        return bool(client.recv(65536))
    except ConnectionError:
        return False


@contextlib.contextmanager
def many(port: int, count: int, source: str = HOST) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as opened:
        yield [opened.enter_context(connect(port, source)) for _ in range(count)]


class SilenceTests(TestCase):
    timeout = 60

    async def test_what_is_begun_and_not_ended_is_ended_by_the_proxy(self) -> None:
        proxy = await own_proxy(
            self, await stack(), LFS_STALL_TIMEOUT="2", LFS_KAFKA_MAX_IDLE="3", LFS_HTTP_KEEP_ALIVE="3"
        )
        huge = struct.pack(">ihhih", 2**31 - 1, 0, 9, 1, -1)
        upload_head = (
            b"POST /v1/topics/t/records HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n" + bytes(9)
        )
        cases: tuple[tuple[str, int, list[bytes], float, float, float], ...] = (
            ("half a length", proxy.kafka_port, [b"\0\0"], 0.0, 1.5, 6),
            ("a frame of 2 GiB", proxy.kafka_port, [huge], 0.0, 1.5, 6),
            ("a head that drips", proxy.kafka_port, [bytes([each]) for each in huge], 0.5, 1.5, 8),
            ("nothing asked", proxy.kafka_port, [], 0.0, 2.5, 8),
            ("nothing more asked", proxy.kafka_port, [API_VERSIONS], 0.0, 2.5, 8),
            ("slow headers", proxy.http_port, [bytes([each]) for each in HEALTH[:20]], 0.3, 1.5, 8),
            # It is answered, and has some time to take the answer.
            ("a slow body", proxy.http_port, [upload_head], 0.0, 1.5, 16),
            ("no request", proxy.http_port, [], 0.0, 2.5, 8),
        )
        lived = await gatherResults(
            [
                in_thread(seconds_until_closed, port, *pieces, pause=pause)
                for _, port, pieces, pause, *_ in cases
            ]
        )
        for (name, *_, low, high), took in zip(cases, lived, strict=True):
            self.assertTrue(low < took < high, f"{name}: {took:.1f} s")
        counts = await in_thread(proxy.metrics)
        self.assertEqual(counts['lfsproxy_kafka_closed_total{reason="stalled"}'], 3)
        self.assertEqual(counts['lfsproxy_kafka_closed_total{reason="max_idle"}'], 2)
        for reason in ("head", "body"):
            self.assertGreater(counts[f'lfsproxy_http_closed_total{{reason="{reason}"}}'], 0)


class ConnectionTests(TestCase):
    timeout = 60

    async def proxy(self, **settings: str) -> ProxyProcess:
        return await own_proxy(self, await stack(), **settings)

    async def test_in_all_and_from_one_address(self) -> None:
        proxy = await self.proxy(LFS_KAFKA_MAX_CONNECTIONS="5", LFS_KAFKA_MAX_CONNECTIONS_PER_IP="3")

        def steps() -> None:
            with many(proxy.kafka_port, 3) as here:
                self.assertTrue(all(ask(client, API_VERSIONS) for client in here))
                with connect(proxy.kafka_port) as one_more:
                    self.assertTrue(is_closed(one_more))
                with many(proxy.node_port, 2, OTHER) as there:
                    self.assertTrue(all(ask(client, API_VERSIONS) for client in there))
                    with connect(proxy.kafka_port, OTHER) as one_more:
                        self.assertTrue(is_closed(one_more))
            counts = proxy.metrics()
            for reason in ("address", "all"):
                name = f'lfsproxy_connections_refused_total{{door="kafka",reason="{reason}"}}'
                self.assertEqual(counts[name], 1)
            # Those that are gone have left their places.
            while not ask_once(proxy):
                time.sleep(0.05)

        await in_thread(steps)

    async def test_a_probe_gets_in_where_idle_clients_take_all_places(self) -> None:
        proxy = await self.proxy(LFS_HTTP_MAX_CONNECTIONS="10")

        def steps() -> None:
            with many(proxy.http_port, 10) as idle:
                self.assertTrue(all(ask(client, HEALTH) for client in idle))
                with connect(proxy.http_port) as probe:
                    self.assertTrue(ask(probe, HEALTH))
                self.assertEqual(sum(is_closed(client) for client in idle[:1]), 1)
            counts = proxy.metrics()
            self.assertEqual(counts['lfsproxy_http_closed_total{reason="room"}'], 1)

        await in_thread(steps)

    async def test_a_crowd_leaves_file_descriptors_for_those_who_are_there(self) -> None:
        servers = await stack()
        topic = await servers.new_topic()
        proxy = await self.proxy()
        resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (160, 160))

        def steps() -> None:
            with many(proxy.kafka_port, 200) as kafka, many(proxy.http_port, 200) as web:
                time.sleep(1)
                used = len(os.listdir(f"/proc/{proxy.pid}/fd"))
                self.assertTrue(100 < used < 160, used)
                cpu = cpu_seconds(proxy.pid)
                time.sleep(1)
                self.assertLess(cpu_seconds(proxy.pid) - cpu, 0.5)
                self.assertTrue(ask(kafka[0], API_VERSIONS))
                counts = proxy.metrics()
                for door in ("kafka", "http"):
                    name = f'lfsproxy_connections_refused_total{{door="{door}",reason="descriptors"}}'
                    self.assertGreater(counts[name], 0)
                # S3 and Kafka are reached for a client who is there.
                head = f"POST /v1/topics/{topic}/records HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
                web[0].sendall(head.encode() + os.urandom(100))
                self.assertIn(b" 201 ", web[0].recv(65536))

        await in_thread(steps)


def ask_once(proxy: ProxyProcess) -> bool:
    with RawClient(proxy.bootstrap) as client:
        return client.send(API_VERSIONS) and client.answer() is not None


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class FairnessTests(TestCase):
    timeout = 90

    async def test_one_who_uploads_now_and_then_does_not_wait_behind_a_crowd(self) -> None:
        servers = await stack()
        topic = await servers.new_topic()
        link = self.enterContext(SlowLink(servers.s3.endpoint, 10 * MIB))
        proxy = await own_proxy(
            self,
            servers,
            LFS_S3_ENDPOINT=link.endpoint,
            LFS_S3_PART_SIZE="5MiB",
            LFS_MAX_PASSTHROUGH_SIZE="1MiB",
            LFS_UPLOAD_MEMORY="12MiB",
        )
        size = 3 * MIB // 2

        def steps() -> tuple[float, float]:
            with greedy(proxy, topic, size, [OTHER], CROWD) as theirs:
                while len(theirs) < CROWD:
                    time.sleep(0.1)
                ours = [upload(proxy, topic, os.urandom(size), HOST) for _ in range(3)]
            return statistics.median(ours), statistics.median(theirs[CROWD:])

        ours, theirs = await in_thread(steps)
        self.assertLess(ours, theirs / 2)

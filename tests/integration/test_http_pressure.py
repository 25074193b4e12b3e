"""Back-pressure of uploads over HTTP: a slow store, many clients at once, and some that stall among them.

The proxy is a process of its own with default settings, and its memory is held to the formula of
docs/architecture.md: base + LFS_UPLOAD_MEMORY + connections x buffers.
"""

from __future__ import annotations

import contextlib
import hashlib
import select
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from tests.integration.http_door import MIB, keys_below, read_records
from tests.integration.proxy import ProxyProcess
from tests.integration.slow_link import SlowLink
from tests.integration.stack import in_thread
from tests.integration.tus import TusTestCase, create, patch

UPLOAD_MEMORY = 128 * MIB
PART = 8 * MIB
IN_FLIGHT = 4
BUFFERS = 256 * 1024
"""Read ahead for each HTTP client."""
CLIENTS = 64
SIZE = 12 * MIB
BODY = hashlib.sha256(b"pressure").digest() * (SIZE // 32)


def connect(proxy: ProxyProcess, topic: str, length: int) -> socket.socket:
    """A connection that has sent the head of an upload."""
    client = socket.create_connection(("127.0.0.1", proxy.http_port), timeout=60)
    head = f"POST /v1/topics/{topic}/records HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
    client.sendall(head.encode())
    return client


def status(client: socket.socket) -> int:
    return int(client.recv(65536).split(b" ")[1])


def plain(proxy: ProxyProcess, topic: str) -> int:
    """A whole upload; its status."""
    with connect(proxy, topic, SIZE) as client:
        client.sendall(BODY)
        return status(client)


def resumable(proxy: ProxyProcess, topic: str) -> int:
    """The same by tus, in two pieces; 201 where it was published."""
    path = create(proxy, topic, SIZE)
    half = SIZE // 2
    replies = [patch(proxy, path, at, BODY[at : at + half]) for at in (0, half)]
    return 201 if "lfs-record" in replies[1].headers else replies[1].status


@contextlib.contextmanager
def stalled(proxy: ProxyProcess, topic: str, count: int) -> Iterator[list[socket.socket]]:
    """Clients that have sent 1 MiB each of a large body, as far as it is taken, and then nothing."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(proxy, topic, SIZE)) for _ in range(count)]
        for client in clients:
            client.sendall(BODY[:MIB])
        yield clients


class PressureTests(TusTestCase):
    timeout = 120

    def assertBounded(self, proxy: ProxyProcess, base: int, held: int, clients: int) -> None:
        """Its peak is within the formula."""
        self.assertLess(proxy.peak_memory - base, held + clients * BUFFERS)

    async def test_a_slow_store_slows_its_client(self) -> None:
        rate, seconds = 2 * MIB, 8.0
        link = self.enterContext(SlowLink(self.servers.s3.endpoint, rate))
        proxy = await self.proxy(LFS_S3_ENDPOINT=link.endpoint)
        base = proxy.memory
        with connect(proxy, self.topic, 512 * MIB) as client:

            def send() -> int:
                """As fast as it is taken, for some seconds; how many bytes that was."""
                client.setblocking(False)
                sent, end = 0, time.monotonic() + seconds
                while (left := end - time.monotonic()) > 0:
                    if select.select([], [client], [], left)[1]:
                        sent += client.send(BODY[:MIB])
                return sent

            sent = await in_thread(send)
            # What S3 took, what the upload may hold, and what the kernels' buffers do (16 MiB at most).
            self.assertLess(sent, IN_FLIGHT * rate * seconds + (IN_FLIGHT + 1) * PART + 16 * MIB)
            self.assertGreater(sent, rate * seconds)
            self.assertBounded(proxy, base, (IN_FLIGHT + 1) * PART, 1)

    async def test_many_clients_share_the_memory_and_all_finish(self) -> None:
        proxy = await self.proxy()
        base = proxy.memory
        with ThreadPoolExecutor(CLIENTS) as pool:
            started = time.monotonic()
            jobs = [
                pool.submit(resumable if number % 4 == 0 else plain, proxy, self.topic)
                for number in range(CLIENTS)
            ]
            self.assertEqual(await in_thread(outcomes, jobs), [201] * CLIENTS)
            self.assertLess(time.monotonic() - started, 60)
        self.assertBounded(proxy, base, UPLOAD_MEMORY, CLIENTS)
        self.assertEqual(len(await in_thread(read_records, self.servers, self.topic)), CLIENTS)
        self.assertEqual(len(await in_thread(keys_below, self.servers, self.topic)), CLIENTS)

    async def test_clients_that_stall_are_evicted_and_hold_nobody_up(self) -> None:
        # Enough for two rounds of eviction; without others that wait, only the timeout would end them.
        proxy = await self.proxy(LFS_STALL_TIMEOUT="10")
        base, half = proxy.memory, CLIENTS // 2
        with ThreadPoolExecutor(half) as pool, stalled(proxy, self.topic, half) as silent:
            started = time.monotonic()
            jobs = [
                pool.submit(resumable if number % 4 == 0 else plain, proxy, self.topic)
                for number in range(half)
            ]
            self.assertEqual(await in_thread(outcomes, jobs), [201] * half)
            self.assertLess(time.monotonic() - started, 40)
            answers = await in_thread(lambda: [status(client) for client in silent])
        self.assertEqual(answers, [408] * half)
        self.assertIn("loses its", proxy.log)
        self.assertBounded(proxy, base, UPLOAD_MEMORY, CLIENTS)
        self.assertEqual(len(await in_thread(read_records, self.servers, self.topic)), half)
        self.assertEqual(len(await in_thread(keys_below, self.servers, self.topic)), half)
        self.assertEqual((await in_thread(proxy.metrics))["lfsproxy_upload_memory_bytes"], 0)


def outcomes(jobs: list[Future[int]]) -> list[int]:
    return [job.result(100) for job in jobs]

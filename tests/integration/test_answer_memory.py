"""Memory of the proxy under large Metadata answers: a broker of the test's own, clients that read late.

The bound is that of docs/architecture.md: each connection costs its buffers, however long its answer is.
"""

from __future__ import annotations

import socketserver
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from zlib import crc32

from twisted.trial.unittest import TestCase

from lfsproxy.devstack.ports import HOST
from lfsproxy.wire import addresses
from lfsproxy.wire.apis import KafkaApi
from tests.integration.frames import MIB
from tests.integration.proxy import NODE, ProxyProcess
from tests.integration.raw import RawClient
from tests.integration.stack import in_thread
from tests.relay.broker import metadata
from tests.relay.records import request

CONNECTIONS = 50
VERSION = 9
TOPICS = bytes(range(256)) * 4096
"""A megabyte of what stands behind the brokers, which the proxy does not look into."""
ANSWER = 30
"""Times that it does so."""
BUFFERS = 2 * MIB
"""Of each client's two connections, and what Python and the allocator add."""


class _Broker(socketserver.ThreadingTCPServer):
    """Answers Metadata: the proxy's own briefly, a client's at length. ``sent`` counts bytes."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__((HOST, 0), _Connection)
        self.port = self.server_address[1]
        self.brokers = {NODE: (HOST, self.port)}
        self.sent = 0
        self.lock = threading.Lock()

    @property
    def front(self) -> bytes:
        """A long answer's beginning, from behind the correlation id on."""
        return metadata(VERSION, self.brokers)[:-3]


class _Connection(socketserver.BaseRequestHandler):
    server: _Broker

    def handle(self) -> None:
        while len(size := self._read(4)) == 4:
            frame = self._read(struct.unpack(">i", size)[0])
            key, version, correlation_id, _ = struct.unpack_from(">hhih", frame)
            if key != KafkaApi.METADATA or version != VERSION:
                body = metadata(version, self.server.brokers) if key == KafkaApi.METADATA else b"\0\0\0\0\0\0"
                self.request.sendall(struct.pack(">ii", 4 + len(body), correlation_id) + body)
                continue
            front = self.server.front
            length = len(front) + ANSWER * len(TOPICS)
            self.request.sendall(struct.pack(">ii", 4 + length, correlation_id) + front)
            for _ in range(ANSWER):
                self.request.sendall(TOPICS)
                with self.server.lock:
                    self.server.sent += len(TOPICS)

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count and (some := self.request.recv(count - len(data))):
            data += some
        return data


class MetadataMemoryTests(TestCase):
    timeout = 600

    def setUp(self) -> None:
        self.broker = _Broker()
        self.addCleanup(self.broker.server_close)
        self.addCleanup(self.broker.shutdown)
        threading.Thread(target=self.broker.serve_forever, daemon=True).start()
        self.proxy = ProxyProcess(
            {
                "AWS_EC2_METADATA_DISABLED": "true",
                "AWS_ACCESS_KEY_ID": "none",
                "AWS_SECRET_ACCESS_KEY": "none",
                "LFS_S3_BUCKET": "none",
                "LFS_S3_ENDPOINT": f"http://{HOST}:9",
                "LFS_KAFKA_BROKERS": f"{HOST}:{self.broker.port}",
            }
        )
        self.addCleanup(self.proxy.close)

    async def test_30_mb_each_for_50_clients_cost_no_more_than_their_buffers(self) -> None:
        await in_thread(self.proxy.start, 60, lambda: "the brokers' addresses are known" in self.proxy.log)
        before, most = await in_thread(self.ask_all)
        self.assertLess(most - before, CONNECTIONS * BUFFERS)
        self.assertEqual(self.broker.sent, CONNECTIONS * ANSWER * len(TOPICS))

    def ask_all(self) -> tuple[int, int]:
        """The process's memory before, and the most that it took. Blocks."""
        self.read_all([self.connect()])
        self.broker.sent = 0
        before = self.proxy.peak_memory
        clients = [self.connect() for _ in range(CONNECTIONS)]
        sent = -1
        while sent < self.broker.sent:
            sent = self.broker.sent
            time.sleep(2)
        self.assertLess(sent, CONNECTIONS * ANSWER * len(TOPICS) // 2, "nobody waits for the clients")
        self.read_all(clients)
        return before, self.proxy.peak_memory

    def connect(self) -> RawClient:
        """A client that has asked, and has not read yet."""
        client = RawClient(self.proxy.bootstrap, 64 * 1024)
        client.socket.settimeout(300)
        client.send(request(KafkaApi.METADATA, VERSION, 1, b"\0"))
        return client

    def read_all(self, clients: list[RawClient]) -> None:
        """Read every answer, which has the proxy's address and all the topics."""
        told = (HOST, self.proxy.node_port)
        head = addresses.rewrite(KafkaApi.METADATA, VERSION, 1, self.broker.front, lambda *_: told)
        length = len(head) + ANSWER * len(TOPICS)
        expected = crc32(struct.pack(">i", length - 4) + head[4:])
        for _ in range(ANSWER):
            expected = crc32(TOPICS, expected)

        def read(client: RawClient) -> int:
            crc = left = 0
            with client:
                left = length
                while left and (data := client.socket.recv(MIB)):
                    crc = crc32(data, crc)
                    left -= len(data)
            return crc

        with ThreadPoolExecutor(len(clients)) as threads:
            self.assertEqual(list(threads.map(read, clients)), [expected] * len(clients))

"""The proxy put together with doubles for S3 and Kafka, and how it is asked over HTTP."""

from __future__ import annotations

import socket
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any, cast

import attrs
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from lfsproxy.backends import Backends
from lfsproxy.metrics import PrometheusMetrics
from lfsproxy.net.listening import BoundPorts, IListener
from lfsproxy.service import LfsProxy
from lfsproxy.settings import load_settings
from lfsproxy.testing import MemoryPublisher
from lfsproxy.testing.downloads import MemoryLog
from lfsproxy.testing.store import MemoryStore

RECORDS = "/v1/topics/demo-topic/records"
ANY_PORT = {
    "LFS_HTTP_ADDR": "127.0.0.1:0",
    "LFS_METRICS_ADDR": "127.0.0.1:0",
    "LFS_KAFKA_ADDR": "127.0.0.1:0",
}


@attrs.frozen
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def blocking_request(
    port: int, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> Answer:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def ask(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> Deferred[Answer]:
    return deferToThread(blocking_request, port, method, path, body, headers)


class FakeServer:
    """Listens on the loopback interface; ``first_bytes`` is what the first client sends at first."""

    def __init__(self, test: TestCase, answer: bytes = b"") -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(20)
        self.port: int = self._listener.getsockname()[1]
        test.addCleanup(self._listener.close)

    def first_bytes(self) -> Deferred[bytes]:
        return deferToThread(self._serve)

    def _serve(self) -> bytes:
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(20)
            received = connection.recv(65536)
            connection.sendall(self._answer)
            return received


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class ProxyTestCase(TestCase):
    def setUp(self) -> None:
        self.bucket = MemoryStore(Clock(), part_size=8 * 2**20)
        self.store = self.bucket.blobs
        self.listener: IListener = BoundPorts(cast(Any, reactor))
        self.publisher = MemoryPublisher()
        self.closed: list[str] = []

    async def close(self) -> None:
        self.closed.append("closed")

    def proxy(self, **environment: str) -> LfsProxy:
        """The proxy with doubles for S3 and Kafka; no broker answers."""
        nowhere = {"LFS_KAFKA_BROKERS": f"127.0.0.1:{unused_port()}"}
        loaded = load_settings({**ANY_PORT, **nowhere, **environment}, {})
        return LfsProxy(
            reactor,
            loaded,
            Backends(self.bucket, self.publisher, MemoryLog(self.publisher), [self.close]),
            PrometheusMetrics("1.2.3"),
            self.listener,
        )

    def start(self, proxy: LfsProxy) -> LfsProxy:
        proxy.privilegedStartService()
        proxy.startService()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.stop(proxy)))
        return proxy

    async def stop(self, proxy: LfsProxy) -> None:
        if proxy.running:
            await proxy.stopService()

    def begin_stop(self, proxy: LfsProxy) -> Deferred[None]:
        return Deferred.fromCoroutine(proxy.stopService())

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait for other threads and sockets; trial's timeout ends a wait in vain."""
        while not reached():
            await deferLater(cast(Any, reactor), 0.005)

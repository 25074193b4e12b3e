"""What load balancers do to see whether a port is open is no trouble: one debug line, no alarm, no count."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from prometheus_client import generate_latest
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import LogLevel, capturedLogs, formatEvent

from lfsproxy.service import LfsProxy
from tests.certificates import Authority
from tests.service import ProxyTestCase, unused_port

Probe = Callable[[socket.socket], None]


def leave(_: socket.socket) -> None:
    """Connect and close."""


def reset(connection: socket.socket) -> None:
    """Connect and reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def half_close(connection: socket.socket) -> None:
    """Say that nothing will come, and wait for the other side to close."""
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)


def say_hello(connection: socket.socket, size: int | None = None) -> None:
    """Begin a TLS handshake and leave when the server has answered, or in the middle of our first bytes."""
    out = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        connection.sendall(out.read()[:size])
    if size is None:
        connection.recv(65536)


def begin_hello(connection: socket.socket) -> None:
    """Leave in the middle of the first bytes of a TLS handshake."""
    say_hello(connection, 40)


class ProbeTestCase(ProxyTestCase):
    timeout = 20

    async def probed(self, proxy: LfsProxy, port: int, probe: Probe) -> list[str]:
        """Probe a port; what was said at debug meanwhile. Fails where more was said, or anything counted."""

        def work() -> None:
            with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
                probe(connection)

        def counted() -> bytes:
            lines = generate_latest(proxy.metrics.registry).splitlines()
            return b"\n".join(line for line in lines if b"_total{" in line and b"process" not in line)

        before = counted()
        with capturedLogs() as events:
            await deferToThread(work)
            await self.until(lambda: any("without a request" in (formatEvent(e) or "") for e in events))
            # Whatever else follows from it would have followed by now.
            await deferLater(cast(Any, reactor), 0.02)
        self.assertEqual(counted(), before)
        loud = [formatEvent(event) for event in events if event["log_level"] != LogLevel.debug]
        self.assertEqual(loud, [])
        return [formatEvent(event) or "" for event in events]


class PlainProbeTests(ProbeTestCase):
    async def test_ports_without_tls(self) -> None:
        broker = cast(Any, reactor).listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
        self.addCleanup(broker.stopListening)
        # Names of brokers are looked up, which takes long enough for a probe to be gone by then.
        brokers = f"127.0.0.1:{broker.getHost().port},localhost:{broker.getHost().port}"
        proxy = self.start(self.proxy(LFS_KAFKA_BROKERS=brokers))
        await self.until(lambda: "S3" not in str(proxy.readiness.problems()))
        for what, port in (
            ("a Kafka client", proxy.relay.bootstrap_port),
            ("an HTTP client", proxy.http_port),
            ("a client of the metrics", proxy.metrics_port),
        ):
            for probe in (leave, reset, half_close):
                (line,) = await self.probed(proxy, port, probe)
                self.assertRegex(line, rf"^{what} \(127\.0\.0\.1(:\d+)?\) left without a request$")

    async def test_a_broker_that_is_away_is_no_news_of_a_probe(self) -> None:
        proxy = self.start(self.proxy(LFS_KAFKA_BROKERS=f"localhost:{unused_port()}"))
        await self.until(lambda: "refused" in str(proxy.readiness.problems()))
        for probe in (leave, reset):
            self.assertEqual(len(await self.probed(proxy, proxy.relay.bootstrap_port, probe)), 1)


class TlsProbeTests(ProbeTestCase):
    async def test_ports_with_tls(self) -> None:
        authority = Authority(Path(self.mktemp()))
        issued = authority.issue("localhost")
        files = {"CERT": str(issued.certificate), "KEY": str(issued.key), "CLIENT_CA": str(authority.file)}
        environment = {
            f"LFS_{door}_TLS_{name}": path
            for door in ("HTTP", "KAFKA_LISTENER")
            for name, path in files.items()
        }
        proxy = self.start(self.proxy(LFS_METRICS_TLS="true", **environment))
        await self.until(lambda: "refused" in str(proxy.readiness.problems()))
        for port in (proxy.relay.bootstrap_port, proxy.http_port, proxy.metrics_port):
            for probe in (leave, reset, half_close, begin_hello, say_hello):
                self.assertEqual(len(await self.probed(proxy, port, probe)), 1)

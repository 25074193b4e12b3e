"""The HTTP door over TLS: handshakes that do not come to an end, clients without TLS, and how it closes."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.logger import capturedLogs, formatEvent
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.test.iosim import FakeTransport, IOPump
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.net.tls import ClientTls, ServerTls
from lfsproxy.settings import DEFAULTS
from lfsproxy.web.channel import HANDSHAKE_SECONDS
from lfsproxy.web.https import ANSWER, over_tls
from tests.certificates import Authority, Issued
from tests.web.doubles import MIB, Door, request


class End(Protocol):
    """A client: what it received, and whether it was closed."""

    def __init__(self) -> None:
        self.received = b""
        self.closed = False

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Any = None) -> None:
        self.closed = True


class Wire:
    """A client's connection to the door, in memory. ``tls`` None: the client speaks plain TCP."""

    def __init__(self, door: Door, server: ServerTls, tls: Any = None) -> None:
        self.door = door
        self.end = End()
        factory: Any = Factory.forProtocol(lambda: self.end)
        if tls is not None:
            factory = TLSMemoryBIOFactory(tls, True, factory, door.clock)
        self.client: Any = factory.buildProtocol(None)
        factory = over_tls(cast(Any, door.site), server, door.clock)
        self.served: Any = factory.buildProtocol(None)
        peer = IPv4Address("TCP", "127.0.0.1", 40000)
        self.ends: tuple[Any, Any] = (
            FakeTransport(self.client, isServer=False),
            FakeTransport(self.served, isServer=True, peerAddress=peer),
        )
        self.pump: Any = cast(Any, IOPump)(self.client, self.served, *self.ends, False)
        self.served.makeConnection(self.ends[1])
        self.client.makeConnection(self.ends[0])
        self.flow()

    def flow(self) -> None:
        """Let everything arrive, also what is written in the reactor's next turn."""
        for _ in range(4):
            self.door.clock.advance(0)
            self.pump.flush()

    def send(self, data: bytes) -> None:
        (self.ends[0] if self.client is self.end else self.client).write(data)
        self.flow()

    def pass_seconds(self, seconds: float) -> None:
        self.door.clock.advance(seconds)
        self.flow()


class HttpsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.authority = Authority(Path(self.mktemp()))
        self.own = self.authority.issue("localhost")
        self.door = Door()

    def server(self, client_ca: str = "") -> ServerTls:
        return ServerTls(
            "LFS_HTTP_TLS", str(self.own.certificate), str(self.own.key), client_ca, [b"http/1.1"]
        )

    def connect(self, client_ca: str = "", me: Issued | None = None, **options: Any) -> Wire:
        if me is None:
            trust = trustRootFromCertificates([Certificate.loadPEM(self.authority.file.read_bytes())])
            tls: Any = optionsForClientTLS("localhost", trustRoot=trust, **options)
        else:
            tls = ClientTls("TEST", str(self.authority.file), str(me.certificate), str(me.key)).creator(
                "localhost"
            )
        return Wire(self.door, self.server(client_ca), tls)

    def test_an_upload(self) -> None:
        wire = self.connect()
        wire.send(request(body=b"hello" * 100_000))
        self.assertTrue(wire.end.received.startswith(b"HTTP/1.1 201 Created\r\n"))
        self.assertEqual(self.door.stored, [b"hello" * 100_000])
        self.assertFalse(wire.end.closed)

    def test_http_1_1_is_what_alpn_offers(self) -> None:
        wire = self.connect(acceptableProtocols=[b"h2", b"http/1.1"])
        self.assertEqual(wire.client.negotiatedProtocol, b"http/1.1")
        wire.send(request("GET", "/healthz"))
        self.assertIn(b"200 OK", wire.end.received)

    def test_who_sends_no_certificate_is_turned_away_where_one_is_needed(self) -> None:
        ca = str(self.authority.file)
        wire = self.connect(ca, me=self.authority.issue("me"))
        wire.send(request("GET", "/healthz"))
        self.assertIn(b"200 OK", wire.end.received)
        with capturedLogs() as events:
            wire = self.connect(ca)
            wire.send(request("GET", "/healthz"))
        self.assertEqual(wire.end.received, b"")
        lines = [formatEvent(event) for event in events]
        self.assertTrue(any("turned away: TLS: peer did not return a certificate" in line for line in lines))

    def test_who_speaks_plain_http_is_told(self) -> None:
        wire = Wire(self.door, self.server())
        with capturedLogs() as events:
            wire.send(request("GET", "/healthz"))
            wire.send(request("GET", "/healthz"))
        self.assertEqual((wire.end.received, wire.end.closed), (ANSWER, True))
        said = [formatEvent(event) for event in events]
        self.assertEqual(len(said), 1, said)
        self.assertIn("it speaks plain HTTP to the port of HTTPS", said[0])
        self.successResultOf(self.door.site.drain())

    def test_bytes_that_are_neither_are_logged(self) -> None:
        wire = Wire(self.door, self.server())
        with capturedLogs() as events:
            wire.send(b"\x00" * 100)
        self.assertTrue(wire.end.closed)
        self.assertIn("is turned away: TLS: ", formatEvent(events[0]))

    def test_a_handshake_has_a_limit(self) -> None:
        wire = Wire(self.door, self.server())
        wire.send(b"\x16\x03\x01\x02\x00")
        wire.pass_seconds(HANDSHAKE_SECONDS - 1)
        self.assertFalse(wire.end.closed)
        wire.pass_seconds(1)
        self.assertTrue(wire.end.closed)
        self.successResultOf(self.door.site.drain())

    def test_after_the_handshake_the_connection_may_be_idle(self) -> None:
        wire = self.connect()
        wire.pass_seconds(DEFAULTS.http_keep_alive - 1)
        self.assertFalse(wire.end.closed)
        wire.pass_seconds(1)
        self.assertTrue(wire.end.closed)

    def test_a_drain_does_not_wait_for_a_handshake(self) -> None:
        wire = Wire(self.door, self.server())
        self.door.readiness.drain()
        drained = self.door.site.drain()
        wire.flow()
        self.successResultOf(drained)

    def test_an_idle_client_that_does_not_answer_the_end_of_tls_is_cut(self) -> None:
        wire = self.connect()
        self.door.readiness.drain()
        drained = self.door.site.drain()
        # Nothing is pumped: the client neither reads nor answers.
        self.door.clock.advance(14)
        self.assertFalse(wire.ends[1].disconnected)
        self.door.clock.advance(1)
        wire.flow()
        self.successResultOf(drained)

    def test_a_client_that_ends_tls_leaves_nothing(self) -> None:
        wire = self.connect()
        wire.send(request(body=bytes(MIB))[: -MIB // 2])
        wire.client.loseConnection()
        wire.flow()
        self.assertEqual((self.door.site.in_flight, self.door.budget.used), (0, 0))
        self.assertEqual((self.door.stored, self.door.publisher.records), ([], []))

"""Connections of HTTP clients end, also where the server hangs: over TLS, which waits for its answer."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import CancelledError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.test.iosim import FakeTransport, IOPump
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import URI, Agent

from lfsproxy.ending import END_SECONDS
from lfsproxy.net.http import BodyCollector, BodyTooLong, HttpEndpoints, single_use
from lfsproxy.net.tls import ClientTls, ServerTls
from tests.certificates import Authority

URL = b"https://127.0.0.1/token"


class Server(Protocol):
    """Says what it is told to, and keeps what it heard."""

    def __init__(self) -> None:
        self.heard = b""

    def dataReceived(self, data: bytes) -> None:
        self.heard += data


class EndTests(SynchronousTestCase):
    """``ours`` is the client's socket, which is closed when that is ``disconnecting``."""

    def setUp(self) -> None:
        authority = Authority(Path(self.mktemp()))
        issued = authority.issue("127.0.0.1")
        self.reactor = MemoryReactorClock()
        self.tls = ServerTls("TEST", str(issued.certificate), str(issued.key), "")
        self.endpoints = HttpEndpoints(self.reactor, ClientTls("TEST", str(authority.file)), 5)

    def connected(self) -> None:
        """The client has asked for a connection: it is there, with its handshake."""
        factory: Any = self.reactor.tcpClients.pop()[2]
        wrapped: Any = TLSMemoryBIOFactory(self.tls, False, Factory.forProtocol(Server), self.reactor)
        client, self.served = factory.buildProtocol(None), wrapped.buildProtocol(None)
        self.ours, theirs = FakeTransport(client, isServer=False), FakeTransport(self.served, isServer=True)
        self.pump: Any = cast(Any, IOPump)(client, self.served, self.ours, theirs, False, self.reactor)
        self.served.makeConnection(theirs)
        client.makeConnection(self.ours)
        self.flow()

    def flow(self) -> None:
        """Let everything arrive, also what is written in the reactor's next turn."""
        for _ in range(4):
            self.reactor.advance(0)
            self.pump.flush()

    def hang(self) -> None:
        """From now on the server takes bytes and does nothing."""
        self.patch(self.served, "dataReceived", lambda data: None)

    def connection(self) -> Any:
        """One that is open, by itself."""
        connecting = self.endpoints.endpointForURI(URI.fromBytes(URL)).connect(Factory.forProtocol(Protocol))
        self.connected()
        return self.successResultOf(connecting)

    def collect(self, answer: bytes, limit: int = 100) -> BodyCollector:
        """Ask for a body, of an answer that begins so."""
        agent = Agent.usingEndpointFactory(self.reactor, self.endpoints, single_use(self.reactor))
        asking = agent.request(b"GET", URL)
        self.connected()
        self.assertIn(b"GET /token HTTP/1.1", self.served.wrappedProtocol.heard)
        self.served.write(answer)
        self.flow()
        collector = BodyCollector(limit, lambda: None)
        self.successResultOf(asking).deliverBody(collector)
        self.flow()
        return collector

    def test_a_server_that_answers_the_end_is_waited_for(self) -> None:
        self.connection().transport.loseConnection()
        self.assertFalse(self.ours.disconnecting)
        self.flow()
        self.assertTrue(self.ours.disconnecting)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_a_server_that_does_not_answer_the_end_is_cut(self) -> None:
        connection = self.connection()
        self.hang()
        connection.transport.loseConnection()
        connection.transport.loseConnection()
        self.flow()
        self.reactor.advance(END_SECONDS - 1)
        self.assertFalse(self.ours.disconnecting)
        self.reactor.advance(1)
        self.assertTrue(self.ours.disconnecting)
        self.flow()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_an_answer_that_is_whole_leaves_no_connection_to_a_server_that_hangs(self) -> None:
        collector = self.collect(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab")
        self.hang()
        self.served.write(b"c")
        self.flow()
        self.assertEqual(self.successResultOf(collector.done), b"abc")
        self.reactor.advance(END_SECONDS)
        self.assertTrue(self.ours.disconnecting)

    def test_a_body_that_is_given_up_is_cut_at_once(self) -> None:
        collector = self.collect(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab")
        self.hang()
        collector.done.cancel()
        self.failureResultOf(collector.done, CancelledError)
        self.assertTrue(self.ours.disconnecting)

    def test_a_body_that_is_too_long_is_cut_at_once(self) -> None:
        collector = self.collect(b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n", limit=2)
        self.hang()
        self.served.write(b"abc")
        self.flow()
        self.failureResultOf(collector.done, BodyTooLong)
        self.assertTrue(self.ours.disconnecting)

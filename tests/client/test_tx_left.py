"""tx.BlobReader by treq's own doubles: silence by a clock, and reads that are cancelled in each await."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.web.client import URI, Agent
from twisted.web.iweb import IAgentEndpointFactory
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from lfsproxy.client import tx
from lfsproxy.errors import StoreUnavailable
from tests.client.download_double import DATA, PLACE, SILENT, VALUE, DownloadResource, DownloadTestCase


class SilenceTests(DownloadTestCase):
    def test_no_answer(self) -> None:
        self.blobs = self.reader(tries=2, pause=0)
        self.proxy.answers = [None, None]
        fetching = self.fetch()
        self.clock.advance(SILENT - 1)
        self.assertEqual(len(self.proxy.requests), 1)
        self.settle(2)
        self.assertEqual(len(self.proxy.requests), 2)
        self.settle(SILENT + 1)
        error = self.failureResultOf(fetching, StoreUnavailable).value
        self.assertIn("no answer came for 60 s", str(error))
        self.nothing_is_left()

    def test_connecting_has_a_time_of_its_own(self) -> None:
        memory = MemoryReactorClock()
        self.blobs = self.reader("http://127.0.0.1:8080", agent=None, reactor=memory, connect_timeout=7)
        fetching = self.blobs.fetch(VALUE, record=PLACE)
        memory.advance(2 * SILENT)
        ((_, _, factory, timeout, _),) = memory.tcpClients
        self.assertEqual(timeout, 7)
        protocol: Any = factory.buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        self.assertIn(b"GET /v1/topics/demo", transport.value())
        memory.advance(SILENT - 1)
        self.assertFalse(transport.disconnected)
        memory.advance(1)
        self.assertTrue(transport.disconnected)
        fetching.cancel()
        self.failureResultOf(fetching, CancelledError)

    def test_silence_in_a_body_is_a_lost_connection(self) -> None:
        self.proxy.answers = [0]
        fetching = self.fetch()
        self.settle(SILENT + 10)
        self.assertEqual(self.successResultOf(fetching), DATA)
        self.assertEqual(len(self.proxy.requests), 2)
        self.nothing_is_left()

    def test_a_reader_that_is_slow_is_no_silence(self) -> None:
        stream = self.opened()
        self.settle(10 * SILENT)
        self.assertEqual(self.successResultOf(self.read(stream)), DATA)
        self.assertEqual(len(self.proxy.requests), 1)


class CancelTests(DownloadTestCase):
    def cancelled(self, fetching: Deferred[Any]) -> None:
        asked = len(self.proxy.requests)
        fetching.cancel()
        self.failureResultOf(fetching, CancelledError)
        self.nothing_is_left()
        self.settle(2 * SILENT)
        self.assertEqual(len(self.proxy.requests), asked)
        self.assertEqual(self.results(), ["cancelled"])

    def test_before_the_answer(self) -> None:
        self.proxy.answers = [None]
        self.cancelled(self.fetch())

    def test_in_the_body(self) -> None:
        self.proxy.answers = [0]
        self.cancelled(self.fetch())

    def test_in_the_body_of_a_refusal(self) -> None:
        class Refusing(DownloadResource):
            def render_GET(self, request: Any) -> Any:
                self.requests.append(request)
                request.setResponseCode(403)
                request.setHeader(b"content-length", b"10")
                request.write(b"<")
                return NOT_DONE_YET

        self.agent._serverFactory.resource = self.proxy = Refusing()
        self.cancelled(self.fetch())

    def test_between_two_tries(self) -> None:
        self.proxy.answers = [(503, b"")]
        self.cancelled(self.fetch())

    def test_an_opening(self) -> None:
        self.proxy.answers = [None]
        opening = self.blobs.open(VALUE, record=PLACE)
        self.settle()
        self.cancelled(opening)

    def test_by_its_own_progress(self) -> None:
        fetching: list[Deferred[bytes | None]] = []
        self.proxy.answers = [(503, b"")]
        fetching.append(self.fetch(on_progress=lambda size: fetching[0].cancel()))
        self.settle(2)
        self.failureResultOf(fetching[0], CancelledError)
        self.nothing_is_left()

    def test_while_it_waits_for_its_turn(self) -> None:
        self.blobs = self.reader(threads=1)
        self.proxy.answers = [None]
        first, second, third = (self.fetch() for _ in range(3))
        second.cancel()
        self.failureResultOf(second, CancelledError)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.settle()
        self.assertEqual(self.successResultOf(third), DATA)
        self.assertEqual(len(self.proxy.requests), 2)
        self.assertEqual(self.results(), ["cancelled", "ok"])

    def test_before_a_connection_is_there(self) -> None:
        memory = MemoryReactorClock()

        @implementer(IAgentEndpointFactory)
        class Endpoints:
            def endpointForURI(self, uri: URI) -> Any:
                return TCP4ClientEndpoint(memory, "127.0.0.1", uri.port)

        self.blobs = self.reader(agent=Agent.usingEndpointFactory(memory, Endpoints()))
        fetching = self.fetch()
        (connector,) = memory.connectors
        self.cancelled(fetching)
        self.assertTrue(connector.stoppedConnecting)

    def test_a_poll_that_is_left(self) -> None:
        self.proxy.answers = [None, None]
        record = type("Record", (), {"topic": "t", "partition": 0, "offset": 1, "value": VALUE})
        polled = tx.resolve_records(self.blobs, [record, record])
        waiting = Deferred.fromCoroutine(anext(polled))
        self.settle()
        self.assertEqual(len(self.proxy.requests), 2)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.nothing_is_left()
        self.assertEqual(self.results(), ["cancelled", "cancelled"])

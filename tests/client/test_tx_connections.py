"""tx.BlobReader's connections: real ones, that stall where nobody reads, and that are let go of."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from lfsproxy import ending
from lfsproxy.client import ProxySource, RecordCoordinates, Resolution, tx
from lfsproxy.client.tx_body import HELD_BYTES
from lfsproxy.client.tx_http import READ_BYTES
from lfsproxy.errors import BlobTruncated, StoreUnavailable
from tests.certificates import Authority
from tests.client.doubles import envelope_of

reactor: Any = _reactor
PLACE = RecordCoordinates("demo", 2, 41)
SIZE = 64 * 1024 * 1024
PIECE = bytes(64 * 1024)
SMALL = b"a small blob"


class Endless(Protocol):
    """Answers with SIZE bytes, as fast as they are taken: a push producer that counts them.

    ``asked``, ``begun`` and ``gone`` of its factory fire when a request has come, when a first byte has left,
    and when the client has closed. ``answers`` False: it never answers.
    """

    factory: Any

    def connectionMade(self) -> None:
        self.paused = False
        self.left = SIZE

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        fire(self.factory.asked)
        if self.factory.answers:
            transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
            transport.registerProducer(self, True)
            self.produce()

    def produce(self) -> None:
        transport: Any = self.transport
        while not self.paused and self.left:
            self.left -= len(PIECE)
            transport.write(PIECE)
            self.factory.sent += len(PIECE)
            fire(self.factory.begun)
        if not self.left:
            transport.unregisterProducer()

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False
        self.produce()

    def stopProducing(self) -> None:
        self.left = 0

    def connectionLost(self, reason: object = None) -> None:
        self.paused = True
        fire(self.factory.gone)


class Deaf(Protocol):
    """Answers at once with a small blob, and reads nothing from then on."""

    factory: Any

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        head = b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n" % (self.factory.more, len(SMALL))
        transport.write(head + SMALL)
        transport.pauseProducing()
        self.factory.case.addCleanup(self.hang_up)

    def hang_up(self) -> Deferred[None]:
        self.gone: Deferred[None] = Deferred()
        transport: Any = self.transport
        transport.resumeProducing()
        transport.abortConnection()
        return self.gone if self.connected else succeed(None)

    def connectionLost(self, reason: object = None) -> None:
        self.connected = 0
        fire(self.gone)


def fire(waited_for: Deferred[None]) -> None:
    if not waited_for.called:
        waited_for.callback(None)


class ConnectionTestCase(TestCase):
    timeout = 60
    ca: str | None = None

    def setUp(self) -> None:
        factory: Any = Factory.forProtocol(Endless)
        factory.asked, factory.begun, factory.gone = Deferred(), Deferred(), Deferred()
        factory.sent, factory.answers, factory.case = 0, True, self
        factory.more = b""
        self.factory = factory
        port = self.listen()
        self.addCleanup(port.stopListening)
        self.url = f"{'http' if self.ca is None else 'https'}://localhost:{port.getHost().port}"
        self.told: list[Resolution] = []
        self.value = envelope_of(bytes(SIZE)).to_bytes()

    def listen(self) -> Any:
        return reactor.listenTCP(0, self.factory, interface="127.0.0.1")

    def reader(self, **options: Any) -> tx.BlobReader:
        source = ProxySource(self.url)
        made = tx.BlobReader(source=source, ca_bundle=self.ca, on_resolve=self.told.append, **options)
        self.addCleanup(made.close)
        return made

    async def still(self, counted: Callable[[], int]) -> int:
        """What is counted, once it grows no more."""
        before = -1
        while (now := counted()) != before:
            before = now
            await deferLater(reactor, 0.2, lambda: None)
        return now


class PlainTests(ConnectionTestCase):
    async def test_who_does_not_read_stalls_the_download(self) -> None:
        blob = await self.reader().open(self.value, record=PLACE)
        body: Any = blob.stream._feed.blob._source._body  # type: ignore[union-attr]  # of treq
        sent = await self.still(lambda: int(self.factory.sent))
        self.assertLess(sent, SIZE // 2)
        self.assertLess(body.held, HELD_BYTES + READ_BYTES)
        read, most = 0, 0
        while data := await blob.read(1_000_000):
            read += len(data)
            most = max(most, body.held)
        self.assertEqual((read, self.factory.sent), (SIZE, SIZE))
        self.assertLess(most, HELD_BYTES + READ_BYTES)
        self.assertEqual([one.result for one in self.told], ["ok"])

    async def test_cancelled_before_the_answer(self) -> None:
        self.factory.answers = False
        await self.cancelled(self.factory.asked)

    async def test_cancelled_in_the_body(self) -> None:
        await self.cancelled(self.factory.begun)

    async def cancelled(self, until: Deferred[None]) -> None:
        fetching = self.reader().fetch(self.value, record=PLACE)
        await until
        fetching.cancel()
        await self.assertFailure(fetching, CancelledError)
        await self.factory.gone
        self.assertEqual([one.result for one in self.told], ["cancelled"])

    async def test_closed_while_it_is_stalled(self) -> None:
        blob = await self.reader().open(self.value, record=PLACE)
        await self.still(lambda: int(self.factory.sent))
        await blob.close()
        await self.factory.gone
        self.assertEqual([one.result for one in self.told], ["closed"])

    async def test_closing_waits_for_no_proxy(self) -> None:
        self.factory.protocol = Deaf
        reader = self.reader()
        self.assertEqual(await reader.fetch(envelope_of(SMALL).to_bytes(), record=PLACE), SMALL)
        self.assertEqual(len(self.kept(reader)), 1)
        await reader.close().addTimeout(5, reactor)

    async def test_a_connection_that_is_cut_is_kept_for_nobody(self) -> None:
        self.factory.protocol = Deaf
        reader = self.reader()
        value = envelope_of(SMALL + b"more").to_bytes()
        await self.assertFailure(reader.fetch(value, record=PLACE), BlobTruncated)
        # The rest of the answer is parsed after its head has failed.
        await deferLater(reactor, 0, lambda: None)
        self.assertEqual(self.kept(reader), [])

    def kept(self, reader: tx.BlobReader) -> list[Any]:
        """The connections that are kept for reuse."""
        pool: Any = reader._treq._gets._pool  # type: ignore[union-attr]  # it has asked
        return [each for kept in pool._connections.values() for each in kept]

    async def test_a_proxy_that_never_answers(self) -> None:
        self.factory.answers = False
        reader = self.reader(read_timeout=0.2, tries=1)
        error = await self.assertFailure(reader.fetch(self.value, record=PLACE), StoreUnavailable)
        self.assertIn("no answer came for 0.2 s", str(error))
        await self.factory.gone


class TlsTests(PlainTests):
    """Of TLS the orderly end would wait for the other side."""

    def listen(self) -> Any:
        authority = Authority(Path(self.mktemp()), "office")
        issued = authority.issue("localhost")
        self.ca = str(authority.file)
        pem = issued.certificate.read_bytes() + issued.key.read_bytes()
        options = PrivateCertificate.loadPEM(pem).options()
        return reactor.listenSSL(0, self.factory, options, interface="127.0.0.1")

    async def test_an_orderly_end_is_not_waited_for_without_a_bound(self) -> None:
        lost: Deferred[None] = Deferred()
        connection_lost = ending._Ending.connectionLost

        def note(connection: ending._Ending, reason: Any) -> None:
            connection_lost(connection, reason)
            fire(lost)

        self.patch(ending._Ending, "connectionLost", note)
        self.patch(ending, "END_SECONDS", 0.2)
        self.factory.protocol, self.factory.more = Deaf, b"Connection: close\r\n"
        fetching = self.reader().fetch(envelope_of(SMALL).to_bytes(), record=PLACE)
        self.assertEqual(await fetching, SMALL)
        await lost.addTimeout(5, reactor)


class StrangerTests(ConnectionTestCase):
    """What is not HTTP, in the words of the blocking reader."""

    async def test_a_port_that_speaks_something_else(self) -> None:
        class Mail(Protocol):
            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.write(b"220 mail ready\r\n\r\n")
                self.transport.loseConnection()

        class Silent(Protocol):
            def dataReceived(self, data: bytes) -> None:
                assert self.transport is not None
                self.transport.loseConnection()

        for protocol, said in (
            (Mail, "no HTTP server, its answer begins with '220 mail"),
            (Silent, "closed without an answer"),
        ):
            port = reactor.listenTCP(0, Factory.forProtocol(protocol), interface="127.0.0.1")
            self.addCleanup(port.stopListening)
            self.url = f"http://127.0.0.1:{port.getHost().port}"
            reader = self.reader(tries=1)
            error = await self.assertFailure(reader.fetch(self.value, record=PLACE), StoreUnavailable)
            self.assertIn(said, str(error))

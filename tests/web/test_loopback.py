"""Uploads over a real socket: what is held of a fast client while the store is slow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.internet.task import cooperate
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from lfsproxy.budget import MemoryBudget
from lfsproxy.checksums import Buffer
from lfsproxy.claimcheck import ClaimCheck
from lfsproxy.downloads import Downloads
from lfsproxy.interfaces import IBlobUpload
from lfsproxy.net.peers import beneath
from lfsproxy.net.tls import ClientTls, ServerTls
from lfsproxy.readiness import Readiness
from lfsproxy.settings import Settings
from lfsproxy.testing import MemoryBlobStore, MemoryMetrics, MemoryPublisher
from lfsproxy.testing.downloads import MemoryBlobSource, MemoryLog
from lfsproxy.web.door import make_site
from lfsproxy.web.feeding import LARGE_READ_BYTES
from lfsproxy.web.https import over_tls
from lfsproxy.web.request import StreamingRequest
from lfsproxy.web.site import LfsSite
from tests.certificates import Authority

MIB = 1024 * 1024
SIZE = 32 * MIB


class SlowStore(MemoryBlobStore):
    """Lets the client wait after every write, and forgets the bytes. Knows the most that came unwritten."""

    def __init__(self) -> None:
        super().__init__()
        self.request: StreamingRequest | None = None
        self.written = 0
        self.most_unwritten = 0
        self.read_size = 0

    def begin(self, *arguments: Any) -> IBlobUpload:
        upload: Any = super().begin(*arguments)
        upload.write = self.slow_write
        return upload  # type: ignore[no-any-return]

    def slow_write(self, data: Buffer) -> Deferred[None]:
        assert self.request is not None
        self.read_size = cast(Any, beneath(self.request.transport)).bufferSize
        self.written += len(data)
        written = self.written
        done: Deferred[None] = Deferred()

        def proceed(turns: int) -> None:
            # Give the client every chance to send what nobody has asked for.
            assert self.request is not None
            self.most_unwritten = max(self.most_unwritten, self.request.body.received - written)
            if turns:
                reactor.callLater(0, proceed, turns - 1)
            else:
                done.callback(None)

        proceed(10)
        return done


class FastClient(Protocol):
    """Sends its pieces as fast as the socket takes them; ``done`` fires with the response."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.received = b""
        self.done: Deferred[bytes] = Deferred()
        self.room: Deferred[None] | None = None

    def connectionMade(self) -> None:
        cast(Any, self.transport).registerProducer(self, True)
        self.sending = cooperate(self.send())

    def send(self) -> Any:
        assert self.transport is not None
        for piece in self.pieces:
            self.transport.write(piece)
            yield self.room

    def pauseProducing(self) -> None:
        self.room = Deferred()

    def resumeProducing(self) -> None:
        room, self.room = self.room, None
        if room is not None:
            room.callback(None)

    def stopProducing(self) -> None:
        """The connection is gone; connectionLost says so."""

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.done.callback(self.received)


class LoopbackTests(TestCase):
    def endpoints(self, site: LfsSite) -> tuple[ServerFactory[Any], Callable[[Any], Any]]:
        """What to listen with, and what a client's endpoint is wrapped in."""
        return cast(ServerFactory[Any], site), lambda endpoint: endpoint

    async def upload(self, head: bytes, piece: bytes, tail: bytes) -> SlowStore:
        """Send ``piece`` until SIZE bytes of payload were sent, to a store that is slow."""
        store, settings = SlowStore(), Settings()
        budget = MemoryBudget(reactor, settings.upload_memory, settings.s3_part_size, 30)
        claims = ClaimCheck(store, MemoryMetrics(), reactor)
        publisher, metrics = MemoryPublisher({"t": 1}), MemoryMetrics()
        downloads = Downloads(MemoryLog(publisher), MemoryBlobSource(store), budget, metrics, reactor)
        site = make_site(
            reactor, settings, claims, publisher, budget, metrics, Readiness(reactor, {}), downloads
        )
        prepare = site.prepare

        def prepared(request: StreamingRequest) -> None:
            store.request = request
            prepare(request)

        self.patch(site, "prepare", prepared)
        factory, wrapped = self.endpoints(site)
        port: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        head = b"POST /v1/topics/t/records HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + head
        client = FastClient([head, *[piece] * (SIZE // MIB), tail])
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
        await connectProtocol(wrapped(endpoint), client)
        answer = await client.done
        self.assertIn(b"HTTP/1.1 201 Created", answer)
        self.assertEqual(store.written, SIZE)
        return store

    def assertFlat(self, store: SlowStore) -> None:
        self.assertGreater(store.most_unwritten, 0, "the client was not faster than the store")
        self.assertLessEqual(store.most_unwritten, 2 * LARGE_READ_BYTES)
        self.assertEqual(store.read_size, LARGE_READ_BYTES)

    async def test_raw_body(self) -> None:
        head = b"Content-Length: %d\r\n\r\n" % SIZE
        self.assertFlat(await self.upload(head, bytes(MIB), b""))

    async def test_chunked_body(self) -> None:
        piece = b"%x\r\n%s\r\n" % (MIB, bytes(MIB))
        self.assertFlat(await self.upload(b"Transfer-Encoding: chunked\r\n\r\n", piece, b"0\r\n\r\n"))

    async def test_form(self) -> None:
        start = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        end = b"\r\n--b--\r\n"
        length = len(start) + SIZE + len(end)
        head = b"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n" % length
        self.assertFlat(await self.upload(head + start, bytes(MIB), end))


class TlsLoopbackTests(LoopbackTests):
    """The same over TLS, which hands over all that one read of the socket brought."""

    def endpoints(self, site: LfsSite) -> tuple[ServerFactory[Any], Callable[[Any], Any]]:
        authority = Authority(Path(self.mktemp()))
        own = authority.issue("localhost")
        server = ServerTls("LFS_HTTP_TLS", str(own.certificate), str(own.key), "")
        client = ClientTls("TEST", str(authority.file), "", "").creator("localhost")
        return over_tls(cast(Any, site), server, reactor), lambda endpoint: wrapClientTLS(client, endpoint)

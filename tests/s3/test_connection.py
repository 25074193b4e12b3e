"""How a store reaches its server: names below localhost, and what is open when it is closed."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.tcp import Client
from twisted.trial.unittest import TestCase
from twisted.web._newclient import HTTPClientParser

from lfsproxy.budget import HeldMemory
from lfsproxy.checksums import new_checksum
from lfsproxy.net.writing import Piece, write_through
from lfsproxy.s3 import connection, store
from lfsproxy.s3.connection import S3Connections
from lfsproxy.s3.signing import S3Location
from lfsproxy.wakeups import all_of
from tests.s3.bucket import BUCKET, StoredObject
from tests.s3.helpers import FakeS3TestCase, reactor

KEY = "lfs/default/t/0/0-x.bin"
BLOB = bytes(range(256)) * 200
LARGE = BLOB * 200


class ConnectionTests(FakeS3TestCase):
    async def test_a_bucket_below_localhost_is_on_this_machine(self) -> None:
        self.use_store(location=S3Location(BUCKET, endpoint=f"http://localhost:{self.port}"))
        await self.s3.blobs.check()
        self.assertEqual(f"{BUCKET}.localhost:{self.port}", self.fake.requests[0].headers["host"])

    async def test_a_small_blob_leaves_with_the_head_of_its_request(self) -> None:
        sent = self.watch()
        upload = self.s3.blobs.begin(KEY, "", {}, new_checksum("sha256"), 3, HeldMemory())
        upload.write(b"abc")
        await upload.seal()
        await upload.commit({})
        self.assertEqual([(each[:4], each[-7:]) for each in sent], [(b"PUT ", b"\r\n\r\nabc")])

    async def test_a_request_without_a_body_leaves_at_once(self) -> None:
        sent = self.watch()
        await self.s3.blobs.check()
        self.assertEqual({each[-4:] for each in sent}, {b"\r\n\r\n"})

    def watch(self) -> list[bytes]:
        """What is written to the store, each time together."""
        sent: list[bytes] = []

        def note(transport: object, pieces: Sequence[Piece]) -> None:
            sent.append(b"".join(pieces))
            write_through(transport, pieces)

        self.patch(connection, "write_through", note)
        return sent


class SmallBlobTests(FakeS3TestCase):
    """What a consumer costs that gets small blobs, 32 at once."""

    async def read(self, count: int) -> None:
        """Read a blob so many times at once."""

        async def one() -> bytes:
            download = await self.s3.source.open(KEY, len(BLOB), 0, len(BLOB))
            data = b""
            while piece := await download.read():
                data += piece
            return data

        self.fake.objects[KEY] = StoredObject(BLOB, {}, None)
        self.assertEqual(await all_of([Deferred.fromCoroutine(one()) for _ in range(count)]), [BLOB] * count)

    async def test_connections_serve_the_next_ones_however_few_parts_are_sent_at_once(self) -> None:
        self.use_store(concurrency=1)
        for _ in range(3):
            await self.read(32)
        self.assertEqual(self.fake.connected, 32)

    async def test_more_at_once_need_no_new_connections_where_there_are_descriptors(self) -> None:
        for kept, connected in ((200, 100), (64, 168)):
            self.patch(store, "kept_now", lambda kept=kept: kept)
            await self.s3.close()
            self.use_store()
            before = self.fake.connected
            for _ in range(2):
                await self.read(100)
            self.assertEqual(self.fake.connected - before, connected)

    async def test_a_reader_that_keeps_up_does_not_pause_the_socket(self) -> None:
        paused: list[Client] = []
        self.patch(Client, "pauseProducing", lambda client: paused.append(client))
        await self.read(3)
        self.assertEqual(paused, [])

    async def test_a_body_that_comes_with_its_head_is_not_taken_for_lines(self) -> None:
        # Twisted copies what follows a line for each line.
        taken: list[bytes] = []
        take = HTTPClientParser.dataReceived

        def note(parser: HTTPClientParser, data: bytes) -> None:
            taken.append(data)
            take(parser, data)  # type: ignore[no-untyped-call]  # of Twisted

        self.patch(HTTPClientParser, "dataReceived", note)
        await self.read(1)
        head, *body = taken
        self.assertEqual((head[-4:], b"".join(body)), (b"\r\n\r\n", BLOB))

    async def test_a_reader_that_is_slow_pauses_the_socket_until_it_reads_on(self) -> None:
        self.fake.objects[KEY] = StoredObject(LARGE, {}, None)
        download = await self.s3.source.open(KEY, len(LARGE), 0, len(LARGE))
        # What came is read, but not what is still to come.
        data = await download.read()
        for _ in range(10):
            await deferLater(reactor, 0)
        self.assertEqual([one for one in reactor.getReaders() if isinstance(one, Client)], [])
        while piece := await download.read():
            data += piece
        self.assertEqual(data, LARGE)


class _Deaf(Protocol):
    def connectionMade(self) -> None:
        self.transport.pauseProducing()  # type: ignore[union-attr]  # a connection has one


class CloseTests(TestCase):
    async def test_a_connection_with_bytes_that_nobody_reads_is_not_open_when_all_are_closed(self) -> None:
        listening = reactor.listenTCP(0, Factory.forProtocol(_Deaf), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(listening.stopListening)
        connections = S3Connections(reactor, 1)
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", listening.getHost().port)
        connection = await connections.getConnection("here", endpoint)
        assert connection.transport is not None
        connection.transport.write(b"x" * 32 * 2**20)
        connection.transport.loseConnection()
        await connections.close_all()
        sockets = [*reactor.getReaders(), *reactor.getWriters()]
        self.assertEqual([], [one for one in sockets if isinstance(one, Client)])

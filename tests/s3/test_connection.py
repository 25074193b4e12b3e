"""How a store reaches its server: names below localhost, and what is open when it is closed."""

from __future__ import annotations

from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Client
from twisted.trial.unittest import TestCase

from lfsproxy.s3.connection import S3Connections
from lfsproxy.s3.signing import S3Location
from tests.s3.bucket import BUCKET
from tests.s3.helpers import FakeS3TestCase, reactor


class ConnectionTests(FakeS3TestCase):
    async def test_a_bucket_below_localhost_is_on_this_machine(self) -> None:
        self.use_store(location=S3Location(BUCKET, endpoint=f"http://localhost:{self.port}"))
        await self.s3.blobs.check()
        self.assertEqual(f"{BUCKET}.localhost:{self.port}", self.fake.requests[0].headers["host"])


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

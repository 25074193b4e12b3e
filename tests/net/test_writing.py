"""Bytes written past the reactor's next turn: all of them, in their order, whatever the socket takes."""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lfsproxy.net.writing import MOST_PIECES, write_at_once, write_through


class Side(Protocol):
    """One end of a connection. ``received`` is all that came."""

    transport: Any

    def __init__(self) -> None:
        self.received = bytearray()
        self.wanted = 0
        self.complete: Deferred[None] = Deferred()
        self.lost: Deferred[object] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if len(self.received) >= self.wanted and not self.complete.called:
            self.complete.callback(None)

    def connectionLost(self, reason: Any = None) -> None:
        self.lost.callback(reason.type)


class SocketTests(TestCase):
    async def connect(self) -> None:
        self.server, self.client = Side(), Side()
        factory = Factory.forProtocol(lambda: self.server)
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), self.client)
        await deferLater(reactor, 0)

        def close() -> Deferred[object]:
            self.client.transport.abortConnection()
            return self.client.lost

        self.addCleanup(close)

    async def arrived(self, data: bytes) -> None:
        self.server.wanted = len(data)
        if len(self.server.received) < len(data):
            await self.server.complete
        self.assertTrue(bytes(self.server.received) == data)

    async def test_it_has_left_before_the_next_turn(self) -> None:
        await self.connect()
        peer = self.server.transport.getHandle()
        write_through(self.client.transport, [b"one ", memoryview(b"two")])
        peer.setblocking(True)
        peer.settimeout(5)
        self.assertEqual(b"one two", peer.recv(100, socket.MSG_PEEK))
        await self.arrived(b"one two")

    async def test_what_the_socket_does_not_take_follows_in_order(self) -> None:
        await self.connect()
        self.server.transport.pauseProducing()
        pieces = [os.urandom(300_000) for _ in range(40)]
        for first in range(0, len(pieces), 4):
            write_through(self.client.transport, pieces[first : first + 4])
        self.assertGreater(self.client.transport._tempDataLen, 0)
        self.server.transport.resumeProducing()
        await self.arrived(b"".join(pieces))
        write_through(self.client.transport, [b"end"])
        self.server.complete = Deferred()
        await self.arrived(b"".join(pieces) + b"end")

    async def test_what_the_socket_does_not_take_now_is_given_back_uncopied(self) -> None:
        await self.connect()
        self.server.transport.pauseProducing()
        pieces = [os.urandom(300_000) for _ in range(40)]
        rest = write_at_once(self.client.transport, pieces)
        whole = b"".join(pieces)
        left = sum(map(len, rest))
        self.assertTrue(0 < left < len(whole))
        self.assertEqual((self.client.transport._tempDataLen, self.client.transport.dataBuffer), (0, b""))
        memory = [piece.obj if isinstance(piece, memoryview) else piece for piece in rest]
        self.assertTrue(all(any(each is piece for piece in pieces) for each in memory))
        write_through(self.client.transport, rest)
        self.assertEqual(write_at_once(self.client.transport, [b"end"]), [b"end"])
        write_through(self.client.transport, [b"end"])
        self.server.transport.resumeProducing()
        await self.arrived(whole + b"end")
        self.assertEqual(write_at_once(self.client.transport, [b"all of it"]), ())

    async def test_what_was_written_the_usual_way_goes_first(self) -> None:
        await self.connect()
        self.client.transport.write(b"first")
        write_through(self.client.transport, [b"second"])
        await self.arrived(b"firstsecond")

    async def test_more_pieces_than_one_call_takes(self) -> None:
        await self.connect()
        pieces = [b"%d " % number for number in range(2 * MOST_PIECES + 7)]
        write_through(self.client.transport, pieces)
        await self.arrived(b"".join(pieces))

    async def test_a_producer_is_paused_as_by_any_write(self) -> None:
        await self.connect()
        self.server.transport.pauseProducing()
        told = []

        class Producer:
            def pauseProducing(self) -> None:
                told.append("pause")

            def resumeProducing(self) -> None:
                told.append("resume")

            def stopProducing(self) -> None:
                return None

        self.client.transport.registerProducer(Producer(), True)
        data = bytes(20_000_000)
        write_through(self.client.transport, [data])
        self.assertEqual(["pause"], told)
        self.server.transport.resumeProducing()
        await self.arrived(data)
        self.assertEqual(["pause", "resume"], told)

    async def test_a_broken_connection_is_told_as_by_any_write(self) -> None:
        await self.connect()
        self.server.transport.abortConnection()
        await self.server.lost
        while not self.client.lost.called:
            write_through(self.client.transport, [b"into the void"])
            await deferLater(reactor, 0)
        self.assertIn(self.client.lost.result, (ConnectionLost, ConnectionDone))
        write_through(self.client.transport, [b"nobody listens"])


class OtherTransportTests(SynchronousTestCase):
    def test_what_is_no_sockets_own_transport_gets_it_in_one_piece(self) -> None:
        transport = StringTransport()
        write_through(transport, [b"one ", memoryview(b"two")])
        self.assertEqual(b"one two", transport.value())

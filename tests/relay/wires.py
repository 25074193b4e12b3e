"""In-memory TCP connections: a real protocol of the relay at one end, a scripted peer at the other.

Nothing moves before ``deliver`` is called, as nothing does before a reactor's next turn. A wire keeps what a
socket would: it pauses its producer when the peer does not read, and is silent about a hang-up while paused.
"""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Protocol

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.python.failure import Failure
from zope.interface import implementer

SEGMENT = 64 * 1024


def _connected_sockets() -> tuple[socket.socket, socket.socket]:
    """Both ends of a TCP connection, whose state the kernel tells."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    return ours, theirs


class Peer(Protocol):
    """Whoever is at the other end of a wire."""

    def connected(self, wire: Wire) -> None: ...

    def received(self, data: bytes) -> None: ...

    def lost(self) -> None: ...


@implementer(ITCPTransport)
class Wire:
    """The transport of a protocol under test. ``peer_reads`` False: the peer takes no more bytes.

    ``most_unread`` is the most that was ever written and not yet taken by the peer, in bytes. ``on_ended`` is
    called when the protocol has ended its own side only, and the peer has taken everything.
    """

    def __init__(
        self, peer: Peer, host: str = "127.0.0.1", port: int = 19092, peer_port: int = 40000
    ) -> None:
        self.peer = peer
        self.open = True
        self.peer_reads = True
        self.bufferSize = SEGMENT
        self.paused = False
        self.most_unread = 0
        self._host = IPv4Address("TCP", host, port)
        self._peer_address = IPv4Address("TCP", "127.0.0.1", peer_port)
        self._out = bytearray()
        self._in: deque[bytes] = deque()
        self._more: Iterator[bytes] = iter(())
        self._producer: Any = None
        self._producer_paused = False
        self._closing = ""
        self._hung_up = False
        self._half_closing = False
        self.on_ended: Callable[[], None] = lambda: None
        self._sockets: tuple[socket.socket, socket.socket] | None = None

    def join(self, protocol: Any) -> None:
        """Connect the protocol."""
        self.protocol = protocol
        self.peer.connected(self)
        protocol.makeConnection(self)

    # The peer's side

    def arrive(self, data: bytes) -> None:
        """The peer sends bytes."""
        self._in.extend(data[start : start + SEGMENT] for start in range(0, len(data), SEGMENT))

    def arrive_bit_by_bit(self, pieces: Iterator[bytes]) -> None:
        """The peer sends bytes that exist only when they are read: for more than a test should hold."""
        self._more = pieces

    def hang_up(self) -> None:
        """The peer closes the connection."""
        self._hung_up = True
        if self._sockets is not None:
            self._sockets[1].close()

    @property
    def unread(self) -> int:
        """Bytes that the protocol has not taken."""
        return sum(map(len, self._in))

    def deliver(self) -> bool:
        """Move one step; whether there was one to make."""
        if not self.open:
            return False
        if self._closing == "abort":
            self._lose(ConnectionLost())
            return True
        if self._out and self.peer_reads:
            data, self._out = bytes(self._out), bytearray()
            self.peer.received(data)
            if self._producer_paused:
                self._producer_paused = False
                self._producer.resumeProducing()
            return True
        if self._closing == "lose" and not self._out:
            self._lose(ConnectionDone())
            return True
        if self._half_closing and not self._out:
            self._half_closing = False
            self.on_ended()
            return True
        if not self.paused and not self._in:
            self._in.extend(islice(self._more, 1))
        if self.paused or not (self._in or self._hung_up):
            return False
        if self._in:
            self.protocol.dataReceived(self._in.popleft())
        else:
            self._lose(ConnectionDone())
        return True

    def _lose(self, reason: Exception) -> None:
        self.open = False
        self._out.clear()
        self._in.clear()
        if self._sockets is not None:
            for each in self._sockets:
                each.close()
        self.protocol.connectionLost(Failure(reason))
        self.peer.lost()

    # The protocol's side

    def write(self, data: bytes) -> None:
        if not isinstance(data, bytes):
            raise TypeError(f"a transport takes bytes, got {type(data)}")
        if not self.open or self._closing == "abort":
            return
        self._out += data
        self.most_unread = max(self.most_unread, len(self._out))
        if self._producer is not None and not self._producer_paused and len(self._out) > self.bufferSize:
            self._producer_paused = True
            self._producer.pauseProducing()

    def writeSequence(self, pieces: Any) -> None:
        self.write(b"".join(pieces))

    def loseConnection(self) -> None:
        self._closing = self._closing or "lose"

    def abortConnection(self) -> None:
        self._closing = "abort"

    def loseWriteConnection(self) -> None:
        self._half_closing = True

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:
        assert self._producer is None and streaming
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None
        self._producer_paused = False

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        if self.open and not self._closing:
            self.paused = False

    def stopProducing(self) -> None:
        self.loseConnection()

    def getHandle(self) -> socket.socket:
        """A real socket whose peer has closed when ours has, for what asks the system."""
        if self._sockets is None:
            self._sockets = _connected_sockets()
            if self._hung_up:
                self._sockets[1].close()
        return self._sockets[0]

    def getPeer(self) -> IPv4Address:
        return self._peer_address

    def getHost(self) -> IPv4Address:
        return self._host

    def setTcpNoDelay(self, enabled: bool) -> None:
        return None

    def getTcpNoDelay(self) -> bool:
        return True

    def setTcpKeepAlive(self, enabled: bool) -> None:
        return None

    def getTcpKeepAlive(self) -> bool:
        return True


def _tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of one real connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    return ours, theirs

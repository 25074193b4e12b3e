"""One TCP connection of the relay: frames come in as events, bytes go out with back-pressure, both ways.

Both of a session's connections are one of these. Reading is by ``await next_event()``; while nobody asks, at
most ``READ_AHEAD`` bytes and one read are held, then the socket is paused, so that the peer waits. Writing is
by ``write`` and ``await drained()``: the latter waits while the peer does not take what was written.

What is written while bytes of the peer are being taken in leaves when they were: so many small answers to
many small requests are one packet. Anything else leaves at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast
from typing import Protocol as Shape

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import implementer

from lfsproxy.net.peers import bytes_acknowledged, has_unread, peer_is_gone, plain_host
from lfsproxy.net.writing import resume_when_writable, write_at_once, write_through
from lfsproxy.wakeups import Condition
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.frames import FrameBytes, FrameEnd, RequestStart, ResponseStart

READ_AHEAD = 256 * 1024
"""Bytes that may wait to be taken before the socket is paused."""
READ_SIZE = 256 * 1024
"""Bytes of one read, at most: fewer turns for as many bytes than with Twisted's 64 KiB."""
LARGE_READ_SIZE = 1024 * 1024
"""The same of what is left of a request that has its lease: fewer turns for as many bytes."""
WRITE_SIZE = 256 * 1024
"""Bytes that are written ahead of the peer, at most."""
GATHER_SIZE = 32 * 1024
"""Bytes that may wait to leave together."""

Event = RequestStart | ResponseStart | FrameBytes | FrameEnd


class Frames(Shape):
    """RequestFrames or ResponseFrames of lfsproxy.wire.frames."""

    @property
    def buffered(self) -> int: ...

    def feed(self, data: bytes) -> None: ...

    def next_event(self) -> Event | None: ...

    def whole_body(self) -> bytes | None: ...

    def skip_body(self) -> None: ...

    def put_back(self, start: Any) -> None: ...


class ConnectionGone(Exception):
    """The peer's connection is closed; no more events come."""


@implementer(IPushProducer)
class FrameStream(Protocol):
    """A connection that is read and written by coroutines.

    ``peer`` is its address for people, ``local_host`` the address of ours that it is connected to; IPv4 is
    written as IPv4. ``received`` counts the bytes that came. ``on_lost`` is called when the connection is
    closed, after the waiting reader was told. ``take_at_once`` is called when bytes have come while a reader
    waits for an event: it may take some, and says whether the reader need not be woken.
    """

    def __init__(self, frames: Frames, clock: IReactorTime) -> None:
        self.frames = frames
        self.connected_to_peer = False
        self.peer = ""
        self.local_host = ""
        self.reading_paused = False
        self.received = 0
        self._finished = False
        self._closed = False
        self._aborted = False
        self._more: Deferred[None] | None = None
        self._writable = True
        self._drained = Condition(clock)
        self._over = Condition(clock)
        self._gathers = False
        self._gathered: list[Piece] = []
        self._gathered_size = 0
        self._joined: FrameStream | None = None
        self.on_lost: Callable[[], None] = lambda: None
        self.take_at_once: Callable[[], bool] = lambda: False

    def connectionMade(self) -> None:
        self.connected_to_peer = True
        transport = cast(Any, self.transport)
        peer = transport.getPeer()
        self.peer = f"{plain_host(peer.host)}:{peer.port}"
        self.local_host = plain_host(transport.getHost().host)
        transport.bufferSize = READ_SIZE
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
        transport.registerProducer(self, True)

    def read_size(self, size: int) -> None:
        """Read up to ``size`` bytes at once from the socket. Over TLS a read has its own size."""
        if not self._closed:
            cast(Any, self.transport).bufferSize = size

    def join(self, other: FrameStream) -> None:
        """What is taken in here is mostly written there, and the other way round."""
        self._joined, other._joined = other, self

    def dataReceived(self, data: bytes) -> None:
        if self._finished:
            return
        self.received += len(data)
        self.frames.feed(data)
        streams = (self,) if self._joined is None else (self, self._joined)
        for stream in streams:
            stream._gathers = True
        if self._more is not None and not self.take_at_once():
            self._wake()
        for stream in streams:
            stream._gathers = False
            stream._send_gathered()
        if self.frames.buffered > READ_AHEAD and not self.reading_paused and not self._closed:
            self.reading_paused = True
            cast(Any, self.transport).pauseProducing()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._closed = True
        self._writable = True
        self._gathered.clear()
        self._wake()
        self._drained.wake()
        self.on_lost()
        self._over.wake()

    async def over(self) -> None:
        """Wait until the connection is gone."""
        if self.connected_to_peer and not self._closed:
            await self._over.wait()

    @property
    def closed(self) -> bool:
        """Whether the connection is gone."""
        return self._closed

    @property
    def awaits_bytes(self) -> bool:
        """Whether a reader waits for more bytes of the peer."""
        return self._more is not None

    @property
    def is_given_up(self) -> bool:
        """Whether nothing that is written reaches the peer: the connection is gone, or about to be."""
        return self._closed or self._aborted

    @property
    def left(self) -> bool:
        """Whether the connection is gone, and not by what was done at this side."""
        return self._closed and not self._aborted and not self._finished

    async def next_event(self) -> Event:
        """The next event of the peer's stream. Raises ConnectionGone at its end, or FramingError."""
        while True:
            event = self.frames.next_event()
            if event is not None:
                return event
            if self._closed:
                raise ConnectionGone
            if self.reading_paused:
                self.reading_paused = False
                cast(Any, self.transport).resumeProducing()
            self._more = Deferred()
            await self._more

    def _wake(self) -> None:
        waiting, self._more = self._more, None
        if waiting is not None:
            waiting.callback(None)

    def write(self, data: bytes | memoryview) -> None:
        """Hand bytes to the socket, not more than WRITE_SIZE between two calls of ``drained``."""
        if self.is_given_up:
            return
        self._gathered.append(data)
        self._gathered_size += len(data)
        if not self._gathers or self._gathered_size >= GATHER_SIZE:
            self._send_gathered()

    def write_at_once(self, pieces: Sequence[Piece]) -> Sequence[Piece]:
        """Hand any number of bytes to the socket as far as it takes them now. The rest, to be sent next."""
        if self.is_given_up:
            return ()
        self._send_gathered()
        return write_at_once(self.transport, pieces)

    def _send_gathered(self) -> None:
        if self._gathered:
            pieces, self._gathered, self._gathered_size = self._gathered, [], 0
            write_through(self.transport, pieces)

    @property
    def is_drained(self) -> bool:
        """Whether the peer takes more, as far as is known."""
        return self._writable

    @property
    def acknowledged(self) -> int | None:
        """How many bytes the peer has taken of all that were sent; None where that is not known."""
        return bytes_acknowledged(self.transport)

    async def drained(self) -> None:
        """Wait until the peer takes more. Returns at once after a close: the reader learns of that."""
        if not self._writable and not self._closed:
            await self._drained.wait()

    async def send_all(self, pieces: Sequence[Piece]) -> None:
        """Write any number of bytes, as the peer takes them. Ends early after a close.

        A socket is given them as they are, when it has room. Over TLS they are copied: WRITE_SIZE at a time.
        """
        rest = self.write_at_once(pieces)
        while rest and resume_when_writable(self.transport):
            self._writable = False
            await self.drained()
            rest = self.write_at_once(rest)
        for piece in rest:
            # A piece is sliced only where it is larger: whole ones are written without a copy.
            for start in range(0, len(piece), WRITE_SIZE):
                self.write(
                    piece if len(piece) <= WRITE_SIZE else memoryview(piece)[start : start + WRITE_SIZE]
                )
                await self.drained()

    def pauseProducing(self) -> None:
        self._writable = False

    def resumeProducing(self) -> None:
        self._writable = True
        self._drained.wake()

    def stopProducing(self) -> None:
        self._writable = True
        self._drained.wake()

    @property
    def has_unread(self) -> bool:
        """Whether bytes have come that nobody has taken."""
        return self.frames.buffered > 0 or has_unread(self.transport)

    def finish(self) -> None:
        """End our side behind what was written. What still comes is dropped, until the peer closes, or
        ``close`` is called.

        To close a socket with unread bytes resets the connection: the peer could lose what it has not read.
        """
        if not self.connected_to_peer or self._closed or self._finished:
            return
        self._finished = True
        self._send_gathered()
        transport = cast(Any, self.transport)
        transport.unregisterProducer()
        if self.reading_paused:
            self.reading_paused = False
            transport.resumeProducing()
        if isinstance(transport, ProtocolWrapper):
            # TLS has an end of its own, which is answered by the peer's.
            transport.loseConnection()
        else:
            transport.loseWriteConnection()

    def close(self) -> None:
        """Close after what was written is sent."""
        if self.connected_to_peer and not self._closed:
            self._send_gathered()
            transport = cast(Any, self.transport)
            transport.unregisterProducer()
            transport.loseConnection()

    def abort(self) -> None:
        """Close at once. Nothing that is written from now on leaves: the peer may have a part of a frame, and
        would take it for the rest."""
        if self.connected_to_peer and not self._closed:
            self._aborted = True
            self._gathered.clear()
            cast(Any, self.transport).abortConnection()

    def peer_hung_up(self) -> bool:
        """Whether the peer has closed, which a paused socket does not tell by itself."""
        return self._closed or peer_is_gone(self.transport)


def uncancelled(deferred: Deferred[Any]) -> Deferred[None]:
    """A Deferred that fires after another one does, and that can be cancelled only by itself."""
    after: Deferred[None] = Deferred()

    def fire(result: object) -> object:
        if not after.called:
            after.callback(None)
        return result

    deferred.addBoth(fire)
    return after


async def shielded(deferred: Deferred[Any]) -> bool:
    """Wait until a Deferred fires, even where the waiter is cancelled; whether that happened."""
    was_cancelled = False
    while not deferred.called:
        try:
            await uncancelled(deferred)
        except CancelledError:
            was_cancelled = True
    return was_cancelled

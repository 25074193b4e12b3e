"""One TCP connection of the relay: frames come in as events, bytes go out with back-pressure, both ways.

Both of a session's connections are one of these. Reading is by ``await next_event()``; while nobody asks, at
most ``READ_AHEAD`` bytes and one read are held, then the socket is paused, so that the peer waits. Writing is
by ``write`` and ``await drained()``: the latter waits while the peer does not take what was written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast
from typing import Protocol as Shape

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from lfsproxy.net.peers import peer_is_gone, plain_host
from lfsproxy.wakeups import Condition
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.frames import FrameBytes, FrameEnd, RequestStart, ResponseStart

READ_AHEAD = 256 * 1024
"""Bytes that may wait to be taken before the socket is paused."""
READ_SIZE = 256 * 1024
"""Bytes of one read, at most: fewer turns for as many bytes than with Twisted's 64 KiB."""
WRITE_SIZE = 256 * 1024
"""Bytes that are written ahead of the peer, at most."""

Event = RequestStart | ResponseStart | FrameBytes | FrameEnd


class Frames(Shape):
    """RequestFrames or ResponseFrames of lfsproxy.wire.frames."""

    @property
    def buffered(self) -> int: ...

    def feed(self, data: bytes) -> None: ...

    def next_event(self) -> Event | None: ...


class ConnectionGone(Exception):
    """The peer's connection is closed; no more events come."""


@implementer(IPushProducer)
class FrameStream(Protocol):
    """A connection that is read and written by coroutines.

    ``peer`` is its address for people, ``local_host`` the address of ours that it is connected to; IPv4 is
    written as IPv4. ``on_lost`` is called when the connection is closed, after the waiting reader was told.
    """

    def __init__(self, frames: Frames, clock: IReactorTime) -> None:
        self.frames = frames
        self.connected_to_peer = False
        self.peer = ""
        self.local_host = ""
        self.reading_paused = False
        self._closed = False
        self._more: Deferred[None] | None = None
        self._writable = True
        self._drained = Condition(clock)
        self._over = Condition(clock)
        self.on_lost: Callable[[], None] = lambda: None

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

    def dataReceived(self, data: bytes) -> None:
        self.frames.feed(data)
        self._wake()
        if self.frames.buffered > READ_AHEAD and not self.reading_paused and not self._closed:
            self.reading_paused = True
            cast(Any, self.transport).pauseProducing()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._closed = True
        self._writable = True
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
        """Whether the connection is gone, or was given up."""
        return self._closed

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
        if not self._closed:
            cast(Any, self.transport).write(bytes(data))

    async def drained(self) -> None:
        """Wait until the peer takes more. Returns at once after a close: the reader learns of that."""
        if not self._writable and not self._closed:
            await self._drained.wait()

    async def send_all(self, pieces: Sequence[Piece]) -> None:
        """Write any number of bytes, WRITE_SIZE ahead of the peer at most. Ends early after a close."""
        for piece in pieces:
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

    def close(self) -> None:
        """Close after what was written is sent."""
        if self.connected_to_peer and not self._closed:
            transport = cast(Any, self.transport)
            transport.unregisterProducer()
            transport.loseConnection()

    def abort(self) -> None:
        """Close at once."""
        if self.connected_to_peer and not self._closed:
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

"""What is written to a session's broker: one whole request after the other, the proxy's own among them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from lfsproxy.kafka.identity import Ask
from lfsproxy.kafka.stream import ConnectionGone, FrameStream, shielded
from lfsproxy.relay.line import Place
from lfsproxy.relay.order import Expected, Order
from lfsproxy.wakeups import Semaphore
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.frames import FrameBytes, RequestStart


class Forwarding:
    """The broker's connection, whose turn it is to write to it, and whether anything may be written at all.

    Every method that writes raises ConnectionGone before ``begin``, after ``stop`` or the end of the broker's
    connection, and after a request that was not written to its end: the broker would take whatever follows
    for the rest of it.
    """

    def __init__(self, clock: IReactorTime, order: Order) -> None:
        self._order = order
        self._writing = Semaphore(clock, 1)
        self._broker: FrameStream | None = None

    def begin(self, broker: FrameStream) -> None:
        """There is a broker to write to."""
        self._broker = broker

    def stop(self) -> None:
        """Nothing is written any more, except for the rest of what was begun."""
        self._broker = None

    async def send(
        self, expected: Expected | None, pieces: Sequence[Piece], begun: Callable[[], None] = lambda: None
    ) -> None:
        """Write a whole request. ``expected`` None: it has no answer (acks=0).

        ``begun`` is called just before the first byte is written.
        Raises ConnectionGone, or is cancelled, only before the first byte is written. After that it goes on
        for as long as the broker's connection does, whatever becomes of the client.
        """
        await self._writing.acquire()
        try:
            broker = self._to_write(expected)
        except ConnectionGone:
            self._writing.release()
            raise
        begun()
        sending = Deferred.fromCoroutine(broker.send_all(pieces))
        sending.addBoth(lambda _: self._writing.release())
        await shielded(sending)

    async def send_in_turn(self, place: Place, expected: Expected, pieces: Sequence[Piece]) -> None:
        """Write a whole request when every earlier one of its client was forwarded."""
        try:
            await place.turn()
            await self.send(expected, pieces)
        except BaseException:
            place.give_up()
            raise
        finally:
            place.leave()

    @property
    def takes_at_once(self) -> bool:
        """Whether a request can be written now: nothing else is, and the broker takes more."""
        broker, writing = self._broker, self._writing
        is_free = writing.free > 0 and not writing.waiting
        return is_free and broker is not None and not broker.closed and broker.is_drained

    def send_small(self, expected: Expected, pieces: Sequence[Piece]) -> None:
        """Write a whole small request, where ``takes_at_once``."""
        broker = self._to_write(expected)
        for piece in pieces:
            broker.write(piece)

    def send_at_once(self, expected: Expected, pieces: Sequence[Piece]) -> Deferred[None] | None:
        """Write a whole request, where ``takes_at_once``. What fires when all is written, None if it is."""
        broker = self._to_write(expected)
        rest = broker.write_at_once(pieces)
        return Deferred.fromCoroutine(self._send_rest(broker, rest)) if rest else None

    async def _send_rest(self, broker: FrameStream, rest: Sequence[Piece]) -> None:
        async with self._writing:
            await broker.send_all(rest)

    async def relay(self, expected: Expected, start: RequestStart, client: FrameStream) -> None:
        """Write a request as its bytes arrive. Raises what ends the client's stream too."""
        await self._writing.acquire()
        try:
            broker = self._to_write(expected)
            try:
                broker.write(start.head)
                while isinstance(event := await client.next_event(), FrameBytes):
                    broker.write(event.data)
                    await broker.drained()
            except BaseException:
                self.stop()
                raise
        finally:
            self._writing.release()

    async def ask(self, frame: bytes) -> bytes:
        """Ask the broker something of the proxy's own, when it is its turn. Gives the answer's body.

        A caller that is cancelled waits no more: the question is not asked if it was not yet, or nobody takes
        the answer. Raises ConnectionGone where there is none.
        """
        reply: Deferred[bytes] = Deferred()
        sending = Deferred.fromCoroutine(self.send(_question(reply), [frame]))
        sending.addErrback(lambda failure: None if reply.called else reply.errback(failure))
        try:
            return await reply
        finally:
            sending.cancel()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[Ask]:
        """Ask several things with nothing else in between."""

        async def ask(frame: bytes) -> bytes:
            reply: Deferred[bytes] = Deferred()
            self._to_write(_question(reply)).write(frame)
            return await reply

        async with self._writing:
            yield ask

    def _to_write(self, expected: Expected | None) -> FrameStream:
        broker = self._broker
        if broker is None or broker.closed:
            raise ConnectionGone
        if expected is not None:
            self._order.expect(expected)
        return broker


def _question(reply: Deferred[bytes]) -> Expected:
    """Fires ``reply``, which nobody may wait for any more."""

    async def take(body: bytes) -> None:
        if not reply.called:
            reply.callback(body)

    def lost() -> None:
        if not reply.called:
            reply.errback(ConnectionGone())

    return Expected(None, None, take, lost=lost)

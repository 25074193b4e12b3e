"""A request's body out of a list of buffers, sent only as fast as the connection takes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from twisted.web.iweb import IBodyProducer, IResponse
from zope.interface import implementer

from lfsproxy.checksums import Buffer

MAX_WRITE = 256 * 1024
"""Bytes handed to the transport at once: what it copies of a part is never more."""


@implementer(IBodyProducer)
class BufferBody:
    """Writes at most MAX_WRITE bytes at a time, and waits while the transport is full.

    The buffers are the caller's: they are read again when the request is. ``progressed`` is called when the
    transport has taken what it was given. Agent's request and its producer refer to each other, so
    ``release`` has to be called when the request is over, or the buffers live until the next collection.
    ``answered`` is set by the code that waits for the answer, and called with one that comes before the
    body's end. The connection that sends sets ``takes_views`` where it takes memoryviews, as Twisted's own
    transports do not, and ``unacknowledged``.
    """

    def __init__(self, buffers: Sequence[Buffer], progressed: Callable[[], None]) -> None:
        self.length = sum(len(buffer) for buffer in buffers)
        self.answered: Callable[[IResponse], Deferred[bytes]] | None = None
        self.unacknowledged: Callable[[], int | None] = lambda: None
        self.takes_views = False
        self.finished = False
        self._buffers = buffers
        self._progressed = progressed
        self._index = 0
        self._offset = 0
        self._consumer: IConsumer | None = None
        self._paused = False
        self._done: Deferred[None] = Deferred()

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        self._consumer = consumer
        self._write()
        return self._done

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._progressed()
        self._write()

    def stopProducing(self) -> None:
        self.release()

    def release(self) -> None:
        """Let go of the buffers; nothing more is written."""
        self._buffers = ()
        self._consumer = None

    def _write(self) -> None:
        while self._consumer is not None and not self._paused:
            if self._index == len(self._buffers):
                self.finished = True
                self.release()
                self._done.callback(None)
                return
            buffer = self._buffers[self._index]
            end = min(self._offset + MAX_WRITE, len(buffer))
            # A chunk as it was received goes on as it is, without a copy.
            piece: Buffer = buffer
            if not isinstance(buffer, bytes) or end - self._offset < len(buffer):
                piece = memoryview(buffer)[self._offset : end]
                if not self.takes_views:
                    piece = bytes(piece)
            self._index, self._offset = (self._index + 1, 0) if end == len(buffer) else (self._index, end)
            if piece:
                self._consumer.write(piece)  # type: ignore[arg-type]  # see takes_views

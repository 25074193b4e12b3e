"""The body of an answer, read bit by bit: the socket is paused while nobody reads."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone

from lfsproxy.words import error_text


class BodyBroken(Exception):
    """The body ended before its end, or came to a halt. The text says why."""


class BodyStream(Protocol):
    """Holds at most what one read of the socket brings, and nothing while its reader is at work on that.

    ``stall``: seconds without a byte while one reads. Its transport is a CuttableClient's.
    """

    def __init__(self, clock: IReactorTime, stall: float) -> None:
        self._clock = clock
        self._stall = stall
        self._chunks: list[bytes] = []
        self._reader: Deferred[bytes] | None = None
        self._silence: IDelayedCall | None = None
        self._ended = False
        self._error: BodyBroken | None = None

    def read(self) -> Deferred[bytes]:
        """The next bytes, none at the end. Fails with BodyBroken. One read at a time; may be cancelled."""
        if self._reader is not None:
            raise RuntimeError("the body is being read already")
        if self._chunks:
            data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
            self._chunks.clear()
            return succeed(data)
        if self._error is not None:
            return fail(self._error)
        if self._ended:
            return succeed(b"")
        self._reader = Deferred(self._stop_reading)
        self._transport.resumeProducing()
        if self._silence is None:
            self._silence = self._clock.callLater(self._stall, self._silent)
        else:
            self._silence.reset(self._stall)
        return self._reader

    def close(self) -> None:
        """Let go of the connection: it is kept for others only when the body was read to its end."""
        self._chunks.clear()
        self._stop_silence()
        if not self._over:
            self._error = BodyBroken("the body was closed")
            # An orderly end of TLS would wait for an answer that is not read.
            self._transport.abortConnection()

    @property
    def _over(self) -> bool:
        return self._ended or self._error is not None

    def dataReceived(self, data: bytes) -> None:
        if self._over:
            return
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.callback(data)
        else:
            self._chunks.append(data)
        # A reader that keeps up has read on by now: then the socket is not touched.
        if self._reader is None and not self._over:
            self._transport.pauseProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_silence()
        if self._over:
            return
        if reason.check(ResponseDone):
            self._ended = True
        else:
            self._error = BodyBroken(error_text(reason.value))
        reader, self._reader = self._reader, None
        if reader is not None and self._ended:
            reader.callback(b"")
        elif reader is not None:
            reader.errback(self._error)

    @property
    def _transport(self) -> Any:
        """What may be paused, also when it is, and cut."""
        return self.transport

    def _stop_reading(self, _: Deferred[bytes]) -> None:
        self._reader = None

    def _silent(self) -> None:
        self._silence = None
        reader, self._reader = self._reader, None
        if reader is None:
            return
        self.close()
        self._error = BodyBroken(f"no byte came for {self._stall:.0f} s")
        reader.errback(self._error)

    def _stop_silence(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None

"""The body of an answer on Twisted's reactor, taken as its reader wants it: who does not read stalls it."""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss

from lfsproxy.client.sources import TryAgain
from lfsproxy.words import error_text

HELD_BYTES = 256 * 1024
"""So many bytes that nobody has taken, and the connection is paused: one read of the socket comes on top."""


class Body(Protocol):
    """``seconds``: so long nothing may come while one waits.

    Who has not read to the end has to ``close``, which closes the connection.
    """

    def __init__(self, clock: Any, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._pieces: deque[bytes] = deque()
        self._first = 0
        """Bytes of the first piece that were taken."""
        self.held = 0
        self._paused = False
        self._waiting: Deferred[None] | None = None
        self._silence: IDelayedCall | None = None
        self._error: TryAgain | None = None
        self._over = False
        """Whether nothing more is to come: at the end, after a failure, or when it is closed."""

    @property
    def ended(self) -> bool:
        """Whether all was taken, and no more is to come."""
        return self._over and not self.held and self._error is None

    def take(self, most: int) -> bytes:
        """Up to ``most`` bytes (more than 0) of what has come; none where nothing has."""
        if not self.held:
            return b""
        piece = self._pieces[0]
        data = piece[self._first : self._first + most] if self._first or len(piece) > most else piece
        self._first += len(data)
        if self._first == len(piece):
            self._pieces.popleft()
            self._first = 0
        self.held -= len(data)
        if self._paused and self.held < HELD_BYTES:
            self._paused = False
            self._connection.resumeProducing()
        return data

    def more(self) -> Deferred[None]:
        """Fires when there is something to take, or the end. May be cancelled. Fails with TryAgain."""
        if self.held:
            return succeed(None)
        if self._error is not None:
            return fail(self._error)
        if self._over:
            return succeed(None)
        if self._silence is None:
            self._silence = self._clock.callLater(self._seconds, self._silent)
        else:
            self._silence.reset(self._seconds)
        self._waiting = Deferred(self._cancelled)
        return self._waiting

    def close(self) -> None:
        """Let go of the connection. One whose body was read to its end is another request's by now."""
        self._forget()
        if not self._over:
            self._over = True
            # Not loseConnection: of TLS that waits for the other side, which is not listened to any more.
            # Agents that are not ours cannot cut it.
            getattr(self._connection, "abortConnection", self._connection.stopProducing)()

    def dataReceived(self, data: bytes) -> None:
        if self._over:
            return
        self._pieces.append(data)
        self.held += len(data)
        self._wake()
        if self.held >= HELD_BYTES and not self._over:
            # Each time: Twisted resumes a connection whose body has just got its protocol.
            self._paused = True
            self._connection.pauseProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._over:
            return
        self._over = True
        if not reason.check(ResponseDone, PotentialDataLoss):
            self._error = TryAgain(_why(reason.value))
        self._stop_silence()
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and (self._error is None or self.held):
            waiting.callback(None)
        elif waiting is not None:
            waiting.errback(self._error)

    def _silent(self) -> None:
        self._silence = None
        if self._waiting is not None:
            self._error = TryAgain(f"no byte came for {self._seconds:g} s")
            self._wake()

    def _cancelled(self, waiting: Deferred[None]) -> None:
        self._waiting = None

    def _forget(self) -> None:
        self._pieces.clear()
        self._first = self.held = 0
        self._stop_silence()

    def _stop_silence(self) -> None:
        silence, self._silence = self._silence, None
        if silence is not None:
            silence.cancel()

    @property
    def _connection(self) -> Any:
        """What Twisted hands to a body's protocol: a push producer, though its type does not say so."""
        return self.transport


def _why(error: BaseException | None) -> str:
    """Of several reasons the first is that of the connection, the next that the body is not whole."""
    causes = getattr(error, "reasons", None)
    return _why(causes[0].value) if causes else error_text(error)

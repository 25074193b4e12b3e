"""A request's body as a handler reads it: chunk by chunk, with back-pressure and a limit on silence.

While nobody reads, the body keeps at most what one read of the socket brings; then the socket is paused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lfsproxy.errors import ClientGone, LfsError, Stalled


class BodySource(Protocol):
    """Where a body comes from: the connection, as far as a body needs it."""

    def body_wanted(self) -> None:
        """The handler reads for the first time: a client that waits for 100 Continue may send."""

    def pause_body(self) -> None:
        """Read no more from the socket. May be called while it is paused."""

    def resume_body(self) -> None:
        """Read on."""

    def body_read_size(self, size: int) -> None:
        """Read up to ``size`` bytes at once from the socket."""


class RequestBody:
    """The body of one request.

    ``length`` is in bytes, None where the client does not say. ``read`` gives the next bytes, and none at
    the end. A client that sends nothing for ``stall_timeout`` seconds while a reader waits is Stalled.
    ``on_bytes`` may be set: it is called with the number of bytes that came, read or not.
    """

    def __init__(
        self, clock: IReactorTime, stall_timeout: float, length: int | None, source: BodySource
    ) -> None:
        self.length = length
        self.received = 0
        self.ended = False
        self.on_bytes: Callable[[int], None] | None = None
        self._clock = clock
        self._stall_timeout = stall_timeout
        self._source = source
        self._wanted = False
        self._discarding = False
        self._paused = False
        self._chunks: list[bytes] = []
        self._reader: Deferred[bytes] | None = None
        self._error: LfsError | None = None
        self._silence: IDelayedCall | None = None

    def read(self) -> Deferred[bytes]:
        """The next bytes, ``b""`` at the end. One read at a time; cancel the Deferred to stop waiting.

        Fails with ClientGone, Stalled, or what else was wrong with the body.
        """
        if self._reader is not None:
            raise RuntimeError("the body is being read already")
        if not self._wanted:
            self._wanted = True
            if not self.received and not self.ended:
                self._source.body_wanted()
        if self._error is not None:
            return fail(self._error)
        if self._chunks:
            data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
            self._chunks.clear()
            self._resume()
            return succeed(data)
        if self.ended:
            return succeed(b"")
        self._reader = Deferred(self._stop_reading)
        if self._silence is None:
            self._silence = self._clock.callLater(self._stall_timeout, self._silent)
        else:
            self._silence.reset(self._stall_timeout)
        return self._reader

    def read_size(self, size: int) -> None:
        """Ask for up to ``size`` bytes per read: for a reader that has the memory for it."""
        self._source.body_read_size(size)

    def discard(self) -> None:
        """Nobody will read: drop what is there and what comes."""
        self._discarding = True
        self._chunks.clear()
        self._stop_silence()
        self._resume()

    def feed(self, data: bytes) -> None:
        """Bytes came."""
        self.received += len(data)
        if self._discarding or self._error is not None:
            return
        if self.on_bytes is not None:
            self.on_bytes(len(data))
        reader = self._reader
        if reader is not None:
            self._reader = None
            reader.callback(data)
            return
        self._chunks.append(data)
        if not self._paused:
            self._paused = True
            self._source.pause_body()

    def end(self) -> None:
        """The body is whole."""
        self.ended = True
        self._stop_silence()
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.callback(b"")

    def fail(self, error: LfsError) -> None:
        """The body will never be whole. What was not read yet is dropped."""
        if self.ended or self._error is not None:
            return
        self._error = error
        self._chunks.clear()
        self._stop_silence()
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.errback(error)

    def lost(self) -> None:
        """The connection is gone."""
        self.fail(ClientGone(f"the connection was lost after {self.received} bytes of the body"))

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._source.resume_body()

    def _stop_reading(self, _: Deferred[bytes]) -> None:
        self._reader = None

    def _silent(self) -> None:
        self._silence = None
        if self._reader is not None:
            self.fail(
                Stalled(f"no byte came for {self._stall_timeout:g} s (LFS_STALL_TIMEOUT)"),
            )

    def _stop_silence(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None

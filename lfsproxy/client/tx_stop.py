"""Ends a read on Twisted's reactor, as ``Cancellation`` does one in a thread."""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred

from lfsproxy.errors import ReadInterrupted

T = TypeVar("T")


class Stop:
    """What a read waits for is cancelled when it is stopped, and it goes on no further.

    ``given_up`` is how it was ended, for the hook: closed by its reader, or cancelled. None: it was not.
    """

    def __init__(self) -> None:
        self.given_up: str | None = None
        self._waiting: Deferred[object] | None = None

    def stop(self, given_up: str = "cancelled") -> None:
        """End the read. May be called at any moment, also by what the read itself calls, and again."""
        self.given_up = self.given_up or given_up
        if self._waiting is not None:
            self._waiting.cancel()

    def check(self) -> None:
        """Raise ReadInterrupted if it was stopped."""
        if self.given_up:
            raise ReadInterrupted(f"the read of the blob was {self.given_up}")

    async def over(self, waiting: Deferred[T]) -> T:
        """The result of ``waiting``. Raises ReadInterrupted when stopped."""
        if self.given_up:
            waiting.addErrback(lambda failure: None)
            waiting.cancel()
            self.check()
        self._waiting = waiting  # type: ignore[assignment]  # it is only cancelled
        try:
            return await waiting
        except CancelledError:
            self.check()
            raise
        finally:
            self._waiting = None

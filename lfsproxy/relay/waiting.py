"""Waiting until something is so, of which the only thing known is when it may have changed."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from lfsproxy.wakeups import Wakeups


class Condition:
    """Where one coroutine waits at a time. ``changed`` may be called at any time, and resumes nobody."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._wakeups = Wakeups(clock)
        self._is_so: Callable[[], bool] = lambda: True
        self._waiter: Deferred[None] | None = None

    async def until(self, is_so: Callable[[], bool], seconds: float | None = None) -> None:
        """Wait until ``is_so`` says so, which is asked when something has changed; ``seconds`` at most."""
        if is_so():
            return
        self._is_so, self._waiter = is_so, Deferred()
        if seconds is not None:
            self._waiter.addTimeout(seconds, self._clock, lambda *_: None)
        await self._waiter
        self._waiter = None

    def changed(self) -> None:
        """Something has changed that may be waited for."""
        if self._waiter is not None and not self._waiter.called and self._is_so():
            waiter, self._waiter = self._waiter, None
            self._wakeups.fire(waiter, None)

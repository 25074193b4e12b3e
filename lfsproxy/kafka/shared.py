"""Work that several want at the same time is done once, and each of them may stop waiting for it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from lfsproxy.wakeups import Wakeups

K = TypeVar("K")
T = TypeVar("T")


class Shared(Generic[K, T]):
    """``work(key)`` runs at most once at a time for each key, to its end unless ``stop`` ends it."""

    def __init__(self, clock: IReactorTime, work: Callable[[K], Coroutine[Deferred[Any], Any, T]]) -> None:
        self._work = work
        self._wakeups = Wakeups(clock)
        self._waiting: dict[K, list[Deferred[T]]] = {}
        self._running: dict[K, Deferred[T]] = {}

    def get(self, key: K) -> Deferred[T]:
        """What the work gives, or why it failed."""
        waiter: Deferred[T] = Deferred()
        self._waiting.setdefault(key, []).append(waiter)
        if len(self._waiting[key]) == 1:
            self._running[key] = running = Deferred.fromCoroutine(self._work(key))
            running.addBoth(self._done, key)
        return waiter

    def _done(self, result: T | Failure, key: K) -> None:
        self._running.pop(key, None)
        for waiter in self._waiting.pop(key, ()):
            self._wakeups.fire(waiter, result)

    def stop(self) -> None:
        """End all of it; whoever waits gets CancelledError."""
        for running in list(self._running.values()):
            running.cancel()

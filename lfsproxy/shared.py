"""Work that several want at the same time is done once, and each of them may stop waiting for it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from lfsproxy.wakeups import Wakeups

K = TypeVar("K")
T = TypeVar("T")


@attrs.define(eq=False)
class _Work(Generic[T]):
    running: Deferred[None] | None = None
    waiting: list[Deferred[T]] = attrs.Factory(list)


class Shared(Generic[K, T]):
    """``work(key)`` runs at most once at a time for each key, to its end unless ``stop`` ends it.

    ``abandons``: it also ends when the last one stops waiting for it.
    """

    def __init__(
        self,
        clock: IReactorTime,
        work: Callable[[K], Coroutine[Deferred[Any], Any, T]],
        abandons: bool = False,
    ) -> None:
        self._work = work
        self._abandons = abandons
        self._wakeups = Wakeups(clock)
        self._works: dict[K, _Work[T]] = {}

    def get(self, key: K) -> Deferred[T]:
        """What the work gives, or why it failed."""
        work = self._works.get(key)
        if work is not None:
            return self._wait(key, work)
        self._works[key] = work = _Work()
        waiter = self._wait(key, work)
        work.running = Deferred.fromCoroutine(self._work(key)).addBoth(self._done, key, work)
        return waiter

    def _wait(self, key: K, work: _Work[T]) -> Deferred[T]:
        waiter: Deferred[T] = Deferred(lambda waiter: self._leave(waiter, key, work))
        work.waiting.append(waiter)
        return waiter

    def _leave(self, waiter: Deferred[T], key: K, work: _Work[T]) -> None:
        if self._works.get(key) is not work:
            return
        work.waiting.remove(waiter)
        if self._abandons and not work.waiting and work.running is not None:
            # Who comes from now on begins anew, though this one may take a moment to end.
            del self._works[key]
            work.running.cancel()

    def _done(self, result: T | Failure, key: K, work: _Work[T]) -> None:
        if self._works.get(key) is work:
            del self._works[key]
            for waiter in work.waiting:
                self._wakeups.fire(waiter, result)

    def stop(self) -> None:
        """End all of it; whoever waits gets CancelledError."""
        for work in list(self._works.values()):
            if work.running is not None:
                work.running.cancel()

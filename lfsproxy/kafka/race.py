"""The first of several that succeeds: tried side by side, each begun a little after the last (RFC 8305).

One that hangs costs the others STAGGER_SECONDS, not its own patience.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Final, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from lfsproxy.errors import BrokerUnavailable, SignInRefused

K = TypeVar("K")
T = TypeVar("T")

STAGGER_SECONDS: Final = 0.25
"""How long one is waited for before the next one is tried beside it: RFC 8305's Connection Attempt Delay."""


class Race(Generic[K, T]):
    """``attempt(target)`` for each of ``targets``, until one succeeds. The others are cancelled then.

    ``slow`` is told of each target that had begun earlier than the winner, and had not come to an end.
    ``result`` fails with BrokerUnavailable where all have failed, with SignInRefused as soon as one is
    refused, as another address would refuse the same credentials. Cancel it to give up all of them.
    """

    def __init__(
        self,
        clock: IReactorTime,
        targets: Iterable[K],
        attempt: Callable[[K], Coroutine[Deferred[Any], Any, T]],
        slow: Callable[[K], None] = lambda target: None,
    ) -> None:
        self.result: Deferred[T] = Deferred(lambda _: self._end())
        self._clock = clock
        self._left = deque(targets)
        self._attempt = attempt
        self._slow = slow
        self._running: dict[K, Deferred[T]] = {}
        self._next: IDelayedCall | None = None
        self._troubles: list[BrokerUnavailable] = []
        self._is_over = False
        self._begin_next()

    def _begin_next(self) -> None:
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = None
        if not self._left:
            if not self._running:
                self._lose(_one_of(self._troubles))
            return
        target = self._left.popleft()
        if self._left:
            self._next = self._clock.callLater(STAGGER_SECONDS, self._begin_next)
        self._running[target] = running = Deferred.fromCoroutine(self._attempt(target))
        running.addCallbacks(self._won, self._failed, callbackArgs=(target,), errbackArgs=(target,))

    def _won(self, found: T, target: K) -> None:
        if self._is_over:
            return
        for other in self._running:
            if other == target:
                break
            self._slow(other)
        del self._running[target]
        self._end()
        self.result.callback(found)

    def _failed(self, failure: Failure, target: K) -> None:
        if self._is_over:
            return
        del self._running[target]
        error = failure.value
        if isinstance(error, BrokerUnavailable) and not isinstance(error, SignInRefused):
            self._troubles.append(error)
            self._begin_next()
        else:
            self._lose(failure)

    def _lose(self, error: Exception | Failure) -> None:
        self._end()
        self.result.errback(error)

    def _end(self) -> None:
        self._is_over = True
        if self._next is not None and self._next.active():
            self._next.cancel()
        running, self._running = self._running, {}
        for each in running.values():
            each.cancel()


def _one_of(troubles: Sequence[BrokerUnavailable]) -> BrokerUnavailable:
    way_out = troubles[0].way_out if len(troubles) == 1 else ""
    return BrokerUnavailable(all_of(map(str, troubles)) or "no broker's address is known", way_out=way_out)


def all_of(troubles: Iterable[str]) -> str:
    """In an order of its own: whose turn it is first changes, and would look like other trouble."""
    return "; ".join(sorted(troubles))

"""What was learnt of something a while ago, and only then: bounded in time and in number."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from twisted.internet.interfaces import IReactorTime

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Lately(Generic[K, V]):
    """Values by their keys, each for ``seconds``; beyond ``most`` of them the first one is forgotten."""

    def __init__(self, clock: IReactorTime, seconds: float, most: int) -> None:
        self._clock = clock
        self._seconds = seconds
        self._most = most
        self._learnt: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def put(self, key: K, value: V) -> None:
        """Learn a value, in place of what was known of its key."""
        self._learnt.pop(key, None)
        if len(self._learnt) >= self._most:
            self._learnt.popitem(last=False)
        self._learnt[key] = self._clock.seconds() + self._seconds, value

    def get(self, key: K) -> V | None:
        """What was learnt lately, None where nothing was."""
        if key not in self._learnt:
            return None
        until, value = self._learnt[key]
        if until > self._clock.seconds():
            return value
        del self._learnt[key]
        return None

    def forget(self, key: K) -> None:
        """It is so no more."""
        self._learnt.pop(key, None)

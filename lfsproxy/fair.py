"""A queue in which no address waits behind another one's crowd.

First come those whose address holds nothing of what is waited for, in the order in which that began. Then
come the other addresses in turn, one of each. Those of one address are served in the order they came. So who
has something already goes on with that, and who has nothing waits for as many others as there are addresses
with nothing before it, however many requests each of these has.

Behind a load balancer all have one address, and the queue is first come, first served.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Waiter = TypeVar("Waiter", bound=Hashable)


class FairQueue(Generic[Waiter]):
    """Waiters by their address, each for ``size`` bytes. ``bytes`` are all that is waited for."""

    def __init__(self) -> None:
        self.bytes = 0
        self._waiting: dict[Waiter, str] = {}
        self._held: dict[str, int] = {}
        self._without: OrderedDict[str, OrderedDict[Waiter, int]] = OrderedDict()
        self._others: OrderedDict[str, OrderedDict[Waiter, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, waiter: Waiter, host: str, size: int) -> None:
        """Begin to wait."""
        self._waiting[waiter] = host
        self._line_of(host).setdefault(host, OrderedDict())[waiter] = size
        self.bytes += size

    @property
    def first(self) -> int:
        """For how many bytes the next one waits. There has to be one."""
        waiters: OrderedDict[Waiter, int] = next(iter((self._without or self._others).values()))
        return next(iter(waiters.values()))

    def pop(self) -> tuple[Waiter, str, int]:
        """The next one, its address, and for how many bytes it waits."""
        line = self._without or self._others
        host, waiters = next(iter(line.items()))
        waiter = next(iter(waiters))
        line.move_to_end(host)
        return waiter, host, self._remove(waiter)

    def leave(self, waiter: Waiter) -> bool:
        """Wait no more; whether it did."""
        is_there = waiter in self._waiting
        if is_there:
            self._remove(waiter)
        return is_there

    def taken(self, host: str) -> None:
        """The address holds one more."""
        held = self._held.get(host, 0)
        self._held[host] = held + 1
        if not held and host in self._without:
            self._others[host] = self._without.pop(host)

    def given_back(self, host: str) -> None:
        """The address holds one less."""
        left = self._held.pop(host) - 1
        if left:
            self._held[host] = left
            return
        if host in self._others:
            self._without[host] = self._others.pop(host)

    def _line_of(self, host: str) -> OrderedDict[str, OrderedDict[Waiter, int]]:
        return self._others if host in self._held else self._without

    def _remove(self, waiter: Waiter) -> int:
        host = self._waiting.pop(waiter)
        line = self._line_of(host)
        size = line[host].pop(waiter)
        if not line[host]:
            del line[host]
        self.bytes -= size
        return size

"""The two places of the process in which batches are searched, and the order of searches.

A search runs in a thread, which cannot be stopped, and a few bytes may be many records. So each begins as a
short one: it may use SHORT_SECONDS of processor time, and if it needs more, it is dropped and begun anew when
it is the turn of a long one. One place is for short searches only; in the other a long one comes first. Both
take the connection that has used the least of late, and no connection has both: whatever others send, a short
search waits for one short search of each of them at most.
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorThreads, IReactorTime
from twisted.internet.threads import deferToThreadPool

from lfsproxy.errors import LfsError
from lfsproxy.kafka.stream import shielded
from lfsproxy.wakeups import WakeLoop
from lfsproxy.wire.records import Pace

SHORT_SECONDS = 0.02
"""Seconds of processor time after which a search counts as a long one."""
AT_ONCE_SECONDS = 0.005
"""Seconds of processor time that a search may take in the reactor's own thread."""
HALF_LIFE = 10.0
"""Seconds after which half of what a connection has used is forgotten."""

T = TypeVar("T")


class TakesLong(Exception):
    """Raised by ``Pace``: the search has used its time."""


@attrs.define(eq=False)
class Share:
    """One connection's searches that wait, and how much processor time it has used of late.

    ``rank`` orders connections by that at any later time too, since all forget alike; it never falls.
    ``listed``: with which kinds of searches (True: long ones) it stands in line.
    """

    short: deque[Deferred[None]] = attrs.field(factory=deque)
    long: deque[Deferred[None]] = attrs.field(factory=deque)
    running: bool = False
    rank: float = -math.inf
    listed: set[bool] = attrs.field(factory=set)

    def used(self, now: float) -> float:
        """The seconds that are not forgotten."""
        return math.exp2(self.rank - now / HALF_LIFE)

    def add(self, seconds: float, now: float) -> None:
        """It has had a place, and used some more."""
        used = self.used(now) + seconds
        if used > 0:
            self.rank = math.log2(used) + now / HALF_LIFE


class _Waits(NamedTuple):
    """In a heap: a connection with a search that waits, by the rank that it had then."""

    rank: float
    order: int
    share: Share


@attrs.define(eq=False)
class _Place:
    """``takes_long``: whether long searches may have it."""

    takes_long: bool
    taken: bool = False


class Scans(WakeLoop):
    """Gives out the places. ``cpu`` tells the processor time of the calling thread, in seconds."""

    def __init__(self, reactor: IReactorTime, cpu: Callable[[], float] = time.thread_time) -> None:
        super().__init__(reactor)
        self._reactor = reactor
        self._cpu = cpu
        self._places = (_Place(takes_long=False), _Place(takes_long=True))
        self._short: list[_Waits] = []
        self._long: list[_Waits] = []
        self._order = itertools.count()
        self._given: dict[Deferred[None], _Place] = {}
        self._left = 0

    @property
    def running(self) -> int:
        """How many searches run."""
        return sum(place.taken for place in self._places)

    @property
    def listed(self) -> int:
        """How many entries order the connections that wait: for each at most one of each kind."""
        return len(self._short) + len(self._long)

    def at_once(self, search: Callable[[Pace], T]) -> T:
        """Run ``search`` here, since little is expected of it. Raises what it raises, and TakesLong where it
        needs more than AT_ONCE_SECONDS."""
        return search(self._pace(AT_ONCE_SECONDS))

    def _pace(self, limit: float) -> Pace:
        started = self._cpu()

        def pace() -> None:
            if self._cpu() - started > limit:
                raise TakesLong

        return pace

    async def run(self, share: Share, search: Callable[[Pace], T]) -> T | LfsError:
        """Run ``search`` in a thread, again where the time of a short one was not enough.

        An LfsError is returned. Where the caller is cancelled this ends, by CancelledError, when the thread
        does.
        """
        found = await self._run(share, search, is_long=False)
        if isinstance(found, TakesLong):
            found = await self._run(share, search, is_long=True)
            assert not isinstance(found, TakesLong)
        return found

    async def _run(
        self, share: Share, search: Callable[[Pace], T], *, is_long: bool
    ) -> T | LfsError | TakesLong:
        limit = math.inf if is_long else SHORT_SECONDS
        seconds = 0.0

        def timed() -> T | LfsError | TakesLong:
            nonlocal seconds
            started = self._cpu()
            try:
                return search(self._pace(limit))
            except (LfsError, TakesLong) as error:
                # A value: a failed Deferred cannot be awaited from its own callbacks, where ``shielded`` goes
                # on. Without its traceback, which holds what was found so far.
                return error.with_traceback(None)
            finally:
                seconds = self._cpu() - started

        place = await self._wait(share, is_long)
        try:
            reactor = cast(Any, self._reactor)
            running = deferToThreadPool(cast(IReactorThreads, reactor), reactor.getThreadPool(), timed)
            # A thread cannot be stopped, and holds the batch: the caller's memory is needed until it ends.
            if await shielded(running):
                running.addErrback(lambda _: None)
                raise CancelledError
            return await running
        finally:
            place.taken = share.running = False
            share.add(seconds, self._reactor.seconds())
            for kind in (False, True):
                self._put(share, kind)
            self.ask()

    # Which search is next

    async def _wait(self, share: Share, is_long: bool) -> _Place:
        if not self.is_due and not share.running:
            # Where a place is free, no search waits that could have it.
            for place in self._places:
                if not place.taken and (place.takes_long or not is_long):
                    place.taken = share.running = True
                    return place
        queue = share.long if is_long else share.short
        waiting: Deferred[None] = Deferred()
        queue.append(waiting)
        if len(queue) == 1:
            self._put(share, is_long)
        self.ask()
        try:
            await waiting
        except CancelledError:
            queue.remove(waiting)
            self._one_left()
            raise
        return self._given.pop(waiting)

    def _one_left(self) -> None:
        """A search waits no more. From time to time the connections that have none leave the line."""
        self._left += 1
        if 2 * self._left <= self.listed:
            return
        self._left = 0
        for is_long, heap in ((False, self._short), (True, self._long)):
            waiting, heap[:] = sorted(heap), []
            for entry in waiting:
                entry.share.listed.discard(is_long)
                self._put(entry.share, is_long)

    def _put(self, share: Share, is_long: bool) -> None:
        """Have it stand in line, once."""
        queue = share.long if is_long else share.short
        if queue and not share.running and is_long not in share.listed:
            share.listed.add(is_long)
            entry = _Waits(share.rank, next(self._order), share)
            heapq.heappush(self._long if is_long else self._short, entry)

    def _wake_next(self) -> bool:
        for place in self._places:
            waiting = self._next(is_long=True) if place.takes_long and not place.taken else None
            if waiting is None and not place.taken:
                waiting = self._next(is_long=False)
            if waiting is not None:
                place.taken = True
                self._given[waiting] = place
                waiting.callback(None)
                return True
        return False

    def _next(self, is_long: bool) -> Deferred[None] | None:
        """The next search: of the connection that has used the least, or the first of several."""
        heap = self._long if is_long else self._short
        while heap:
            entry = heapq.heappop(heap)
            share = entry.share
            share.listed.discard(is_long)
            if entry.rank < share.rank:
                # It has had a place since then.
                self._put(share, is_long)
                continue
            queue = share.long if is_long else share.short
            if queue and not share.running:
                share.running = True
                return queue.popleft()
        return None

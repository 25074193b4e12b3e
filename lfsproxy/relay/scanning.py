"""The two places of the process in which batches are searched for LFS records, and who has them next.

A search runs in a thread, which cannot be stopped, and a few bytes may be many records. So each begins as a
short one: it may use SHORT_SECONDS of processor time, and if it needs more, it is dropped and begun anew when
it is the turn of a long one. One place is for short searches only; in the other a long one comes first. Both
take the connection that has used the least of late, and no connection has both: whatever others send, a short
search waits for one short search of each of them at most.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorThreads, IReactorTime
from twisted.internet.threads import deferToThreadPool

from lfsproxy.errors import LfsError
from lfsproxy.relay.stream import shielded
from lfsproxy.wire.scan import BatchScan

SHORT_SECONDS = 0.05
HALF_LIFE = 10.0
"""Seconds after which half of what a connection has used is forgotten."""

Pace = Callable[[], None]
"""To be called by a search every few milliseconds."""
Search = Callable[[Pace], BatchScan | None]
Found = BatchScan | LfsError | None


class TakesLong(Exception):
    """Raised by ``Pace``: the search has used its time."""


@attrs.define(eq=False)
class Share:
    """One connection's searches that wait, and the seconds of processor time that it has used of late."""

    short: deque[Deferred[None]] = attrs.field(factory=deque)
    long: deque[Deferred[None]] = attrs.field(factory=deque)
    running: bool = False
    _used: float = 0.0
    _used_at: float = 0.0

    def used(self, now: float) -> float:
        """What is not forgotten of it."""
        return self._used * 0.5 ** ((now - self._used_at) / HALF_LIFE)

    def add(self, seconds: float, now: float) -> None:
        """It has used some more."""
        self._used, self._used_at = self.used(now) + seconds, now


@attrs.define(eq=False)
class _Place:
    """``takes_long``: whether long searches may have it."""

    takes_long: bool
    taken: bool = False


class Scans:
    """Gives out the places. ``cpu`` tells the processor time of the calling thread, in seconds."""

    def __init__(self, reactor: IReactorTime, cpu: Callable[[], float] = time.thread_time) -> None:
        self._reactor = reactor
        self._cpu = cpu
        self._places = (_Place(takes_long=False), _Place(takes_long=True))
        self._waiting: dict[Share, None] = {}
        self._given: dict[Deferred[None], _Place] = {}
        self._will_give = False

    @property
    def running(self) -> int:
        """How many searches run."""
        return sum(place.taken for place in self._places)

    async def run(self, share: Share, search: Search) -> Found:
        """Run ``search`` in a thread, again where the time of a short one was not enough.

        An LfsError is returned. Where the caller is cancelled this ends by CancelledError when the thread does.
        """
        found = await self._run(share, share.short, search, SHORT_SECONDS)
        if isinstance(found, TakesLong):
            found = await self._run(share, share.long, search, float("inf"))
            assert not isinstance(found, TakesLong)
        return found

    async def _run(
        self, share: Share, queue: deque[Deferred[None]], search: Search, limit: float
    ) -> Found | TakesLong:
        seconds = 0.0

        def timed() -> Found | TakesLong:
            nonlocal seconds
            started = self._cpu()

            def pace() -> None:
                if self._cpu() - started > limit:
                    raise TakesLong

            try:
                return search(pace)
            except (LfsError, TakesLong) as error:
                # A value: a failed Deferred cannot be awaited from its own callbacks, where ``shielded`` goes
                # on. Without its traceback, which holds what was found so far.
                return error.with_traceback(None)
            finally:
                seconds = self._cpu() - started

        place = await self._wait(share, queue)
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
            self._give_soon()

    # Who is next

    async def _wait(self, share: Share, queue: deque[Deferred[None]]) -> _Place:
        waiting: Deferred[None] = Deferred()
        queue.append(waiting)
        self._waiting[share] = None
        self._give_soon()
        try:
            await waiting
        except CancelledError:
            queue.remove(waiting)
            raise
        return self._given.pop(waiting)

    def _give_soon(self) -> None:
        """Not now: who gets a place must not go on inside the steps of whoever leaves one."""
        if not self._will_give:
            self._will_give = True
            self._reactor.callLater(0, self._give)

    def _give(self) -> None:
        self._will_give = False
        for place in self._places:
            for may, queue in ((place.takes_long, _long), (True, _short)):
                if may and not place.taken and (share := self._next(queue)) is not None:
                    waiting = queue(share).popleft()
                    place.taken = share.running = True
                    self._given[waiting] = place
                    waiting.callback(None)

    def _next(self, queue: Callable[[Share], deque[Deferred[None]]]) -> Share | None:
        """Who waits in this queue, runs none, and has used the least; of several who came first."""
        self._waiting = {share: None for share in self._waiting if share.short or share.long}
        now = self._reactor.seconds()
        ready = [share for share in self._waiting if queue(share) and not share.running]
        return min(ready, key=lambda share: share.used(now), default=None)


def _short(share: Share) -> deque[Deferred[None]]:
    return share.short


def _long(share: Share) -> deque[Deferred[None]]:
    return share.long

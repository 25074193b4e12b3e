"""Places for answers that hold records. Each needs memory for a batch, so that there are few."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from lfsproxy.settings import DEFAULTS
from lfsproxy.wakeups import Semaphore, to_its_end

T = TypeVar("T")


class Lookups:
    """Lets ``most`` look-ups run at once, and the others wait in their order. docs/architecture.md has the
    memory that each takes."""

    def __init__(self, clock: IReactorTime, most: int = DEFAULTS.max_lookups) -> None:
        self._places = Semaphore(clock, most)

    async def run(self, look_up: Callable[[], Coroutine[Deferred[Any], Any, T]]) -> T:
        """Look up when there is a place.

        A caller that stops waiting leaves the look-up to its end: its place is free when its memory is.
        """
        await self._places.acquire()

        async def steps() -> T:
            try:
                return await look_up()
            finally:
                self._places.release()

        return await to_its_end(steps())

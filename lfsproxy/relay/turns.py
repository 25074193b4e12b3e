"""Long work in the reactor's thread, a few steps at a time, so that everybody else has a turn in between."""

from __future__ import annotations

import math
from typing import Any, cast

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater


class Turns:
    """Call ``step`` after each step: it waits for a turn of the reactor after ``steps`` of them, or when this
    turn has taken ``seconds``."""

    def __init__(self, reactor: IReactorTime, steps: int, seconds: float = math.inf) -> None:
        self._reactor = reactor
        self._steps = steps
        self._seconds = seconds
        self._left = steps
        self._since = reactor.seconds()

    def begin(self) -> None:
        """A turn begins in which nothing was done yet: the work has waited for something else."""
        self._since = self._reactor.seconds()

    async def step(self) -> None:
        """A step is done."""
        self._left -= 1
        if self._left <= 0 or self._reactor.seconds() - self._since > self._seconds:
            await self.let_others_run()

    async def let_others_run(self) -> None:
        """Go on in another turn of the reactor."""
        await deferLater(cast(Any, self._reactor), 0)
        self._left = self._steps
        self._since = self._reactor.seconds()

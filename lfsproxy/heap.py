"""Gives memory back to the system when uploads and downloads have come to an end.

glibc keeps what was freed for the next time, up to all that was ever in use. To give it back at once would
cost a quarter more CPU for each byte that passes, so that is done when nothing has passed for a while.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from lfsproxy.budget import MemoryBudget

SECONDS = 10.0
"""Between two looks. Memory goes back when the budget did not change between two of them."""


def system_trim() -> Callable[[], object] | None:
    """What gives free memory back: ``malloc_trim`` of glibc; None where the C library has no such thing."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return None if trim is None else lambda: trim(0)


class HeapTrim:
    """Calls ``trim`` once after each time that the budget was used, and is not any more."""

    def __init__(
        self, clock: IReactorTime, budget: MemoryBudget, trim: Callable[[], object] | None = None
    ) -> None:
        self._budget = budget
        self._trim = trim or system_trim()
        self._changes = 0
        self._is_due = False
        self._looks: Any = LoopingCall(self._look)
        self._looks.clock = clock

    def start(self) -> None:
        """Look from now on."""
        if self._trim is not None:
            self._looks.start(SECONDS, now=False)

    def stop(self) -> None:
        """Look no more."""
        if self._looks.running:
            self._looks.stop()

    def _look(self) -> None:
        budget = self._budget
        if budget.changes != self._changes:
            self._changes = budget.changes
            self._is_due = True
        elif self._is_due and not budget.used and self._trim is not None:
            self._is_due = False
            self._trim()

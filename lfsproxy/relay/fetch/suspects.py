"""Blobs that turned out wrong when most of their bytes had left: no consumer gets them for a while.

Otherwise it would fetch such a blob again and again, to have its connection closed each time. Meanwhile it is
answered CORRUPT_MESSAGE, which it hands to its application.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from twisted.internet.interfaces import IReactorTime

SECONDS: Final = 300.0
"""How long a blob counts as wrong. It is written once, but whoever runs the store may put it right."""
MOST: Final = 1024
"""Blobs that are remembered; beyond it the first one is forgotten."""


class Suspects:
    """Keys of blobs, each with what was wrong."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._wrong: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def add(self, key: str, why: str) -> None:
        """A blob has turned out wrong."""
        self._wrong.pop(key, None)
        if len(self._wrong) >= MOST:
            self._wrong.popitem(last=False)
        self._wrong[key] = self._clock.seconds() + SECONDS, why

    def why(self, key: str) -> str | None:
        """What was wrong with a blob, None where nothing is known."""
        until, why = self._wrong.get(key, (0.0, ""))
        if not why or until > self._clock.seconds():
            return why or None
        del self._wrong[key]
        return None

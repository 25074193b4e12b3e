"""Blobs that turned out wrong when most of their bytes had left: no consumer gets them for a while.

Otherwise it would fetch such a blob again and again, to have its connection closed each time. Meanwhile it is
answered CORRUPT_MESSAGE, which it hands to its application.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IReactorTime

from lfsproxy.relay.fetch.lately import Lately

SECONDS: Final = 300.0
"""How long a blob counts as wrong. It is written once, but whoever runs the store may put it right."""
MOST: Final = 1024
"""Blobs that are remembered; beyond it the first one is forgotten."""


class Suspects:
    """Keys of blobs, each with what was wrong."""

    def __init__(self, clock: IReactorTime) -> None:
        self._wrong: Lately[str, str] = Lately(clock, SECONDS, MOST)

    def add(self, key: str, why: str) -> None:
        """A blob has turned out wrong."""
        self._wrong.put(key, why)

    def why(self, key: str) -> str | None:
        """What was wrong with a blob, None where nothing is known."""
        return self._wrong.get(key)

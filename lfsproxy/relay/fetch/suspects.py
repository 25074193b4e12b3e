"""Blobs that turned out wrong when most of their bytes had left: no consumer gets them for a while.

Otherwise it would fetch such a blob again and again, to have its connection closed each time. Meanwhile it is
answered CORRUPT_MESSAGE, which it hands to its application. The while is short at first, as the bytes may
have been changed on their way only, and longer each time.
"""

from __future__ import annotations

from typing import Final

import attrs
from twisted.internet.interfaces import IReactorTime

from lfsproxy.relay.fetch.lately import Lately

FIRST: Final = 5.0
LONGEST: Final = 300.0
"""Seconds that a blob counts as wrong. It is written once, but whoever runs the store may put it right."""
MOST: Final = 1024
"""Blobs that are remembered; beyond it the first one is forgotten."""


@attrs.frozen
class _Wrong:
    """What was wrong, for how long it counts, and until when."""

    why: str
    seconds: float
    until: float


class Suspects:
    """Keys of blobs, each with what was wrong."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._wrong: Lately[str, _Wrong] = Lately(clock, 2 * LONGEST, MOST)

    def add(self, key: str, why: str) -> None:
        """A blob has turned out wrong. Where it counts as wrong already, nothing changes: others were given
        it at the same time."""
        now = self._clock.seconds()
        last = self._wrong.get(key)
        if last is not None and now < last.until:
            return
        seconds = FIRST if last is None else min(2 * last.seconds, LONGEST)
        self._wrong.put(key, _Wrong(why, seconds, now + seconds))

    def why(self, key: str) -> str | None:
        """What was wrong with a blob, None where it may be tried."""
        wrong = self._wrong.get(key)
        return None if wrong is None or self._clock.seconds() >= wrong.until else wrong.why

"""How often, and for how long, a blob is asked for again."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable

import attrs

TRIES = 5
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0


@attrs.frozen
class Retry:
    """``tries`` GETs in a row without one byte of progress, then the read fails.

    Before the second one waits ``pause`` seconds; the pause is doubled each time, up to 5 s, and shortened by
    chance by up to a half. With a ``retry_time`` (seconds) no try begins later than this after the last
    progress. ``sleep`` replaces the wait, which a cancellation ends.
    """

    tries: int = TRIES
    pause: float = FIRST_PAUSE
    retry_time: float = 0
    sleep: Callable[[float], None] | None = None
    rng: random.Random = attrs.field(factory=random.Random)
    clock: Callable[[], float] = time.monotonic

    def __attrs_post_init__(self) -> None:
        if type(self.tries) is not int or self.tries < 1:
            raise ValueError(f"tries is {self.tries}, a whole number from 1 is needed")
        check_seconds("pause", self.pause)
        check_seconds("retry_time", self.retry_time)

    def pause_after(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        longest: float = min(max(LONGEST_PAUSE, self.pause), self.pause * 2.0 ** min(failures - 1, 30))
        return longest * self.rng.uniform(0.5, 1.0)


def check_seconds(name: str, value: float, zero: bool = True) -> None:
    """Raise ValueError for a time that is negative, no number, or without an end."""
    if (
        not isinstance(value, int | float)
        or not math.isfinite(value)
        or value < 0
        or (not zero and not value)
    ):
        raise ValueError(f"{name} is {value}, {'0 or more' if zero else 'more than 0'} seconds are needed")

"""When a client's connection is old: clients that connect anew find replicas that were added meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

JITTER: Final = 0.1
"""By which part of itself an age differs at most, so that connections of one moment do not end in one."""


def old_at(now: float, most: float, random: Callable[[], float]) -> float:
    """When a connection that is made now is old. ``most``: its age in seconds; 0: it never is.

    ``random`` gives numbers from 0 to 1.
    """
    return now + most * (1 + JITTER * (2 * random() - 1)) if most else math.inf

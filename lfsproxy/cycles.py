"""How often Python looks for cycles of objects that nobody uses any more.

By default it looks after each 700 objects that are made and not freed. Where hundreds of requests are at work
at once, all of their objects are alive, so that it looks at each of them several times, in vain, and at all
that the process has again and again: a request cost up to twice as much among a thousand others as by itself.
"""

from __future__ import annotations

import gc
from typing import Final

OBJECTS: Final = 10_000
"""Objects that are made, and not freed, before the youngest are looked at: a few MB, if they are garbage."""


def collect_seldom() -> None:
    """Look less often from now on, in the whole process."""
    gc.set_threshold(OBJECTS, *gc.get_threshold()[1:])

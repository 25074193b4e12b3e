"""How often Python looks for cycles of objects that nobody uses any more.

By default it looks after each 700 objects that are made and not freed. Where hundreds of requests are at work
at once, all of their objects are alive, and each look is at more of them, in vain: a request among a thousand
others cost up to twice as much as by itself.
"""

from __future__ import annotations

import gc
from typing import Final

OBJECTS: Final = 10_000
"""Objects that are made, and not freed, before the youngest are looked at."""
YOUNG, OLD = 5, 3
"""Looks at younger objects before older ones are looked at too, and before all are: after some 240,000 new
objects, and not before these are a quarter of the older ones. If all of 240,000 were garbage, they would take
some 45 MB; by default it is a third of that."""


def collect_seldom() -> None:
    """Look less often from now on, in the whole process."""
    gc.set_threshold(OBJECTS, YOUNG, OLD)

"""What the world and its replicas have in common: one upload with one blob, and requests that wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from lfsproxy.resumable.fence import FENCE_SECONDS

ID = "0" * 32
STATE = f"lfs-uploads/{ID}/"
BLOB = "lfs/default/t/0/0-00000000-0000-4000-8000-000000000000.bin"
BYTES = b"blob"
OTHER_BYTES = b"BLOB"
SIGNS = "~%+!*"
EXPIRY = 7200.0
PUBLISH_SECONDS = 45.0
TICK = 2.0
JUMP = 100.0
"""More than PUBLISH_SECONDS and the grace behind it."""

LONG = EXPIRY + FENCE_SECONDS

Choice = tuple[Any, ...]


@attrs.define
class Asked:
    """A request that waits for its fate. ``land`` carries it out; ``changes``: whether that can be seen."""

    replica: int
    what: str
    changes: bool
    land: Callable[[], Any]
    answer: Deferred[Any]


class BrokenPromise(AssertionError):
    """One of the two promises does not hold; the message has the steps that led here."""

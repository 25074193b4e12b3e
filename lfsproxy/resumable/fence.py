"""Which request may publish an upload, or remove its blob: what the objects beside it say.

    intent-00000001   its creator, and nobody else, may publish the upload; or it says that the upload is
                      given up: then nobody may, and its blob may go
    void-{nonce}      by the intent with that nonce nothing was published, and never will be
    result            the upload is published: this is its record
    unknown           the process that was publishing died, and the log does not show the envelope

Only the intent with the highest number holds, and the next one is created only after it is void:

    free ──intent──▶ taken ──result──▶ published          free ──intent that gives up──▶ given up
     ▲                 │ └───unknown──▶ unknown
     └─────void────────┘

No name is ever used twice: each is created once (If-None-Match), and none is deleted while a request about
the upload may still be under way. So a request that is late or repeated finds its name taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from typing import Any

import attrs

INTENT = "intent-"
VOID = "void-"
RESULT = "result"
UNKNOWN = "unknown"
_INTENT = re.compile(INTENT + r"(\d{8})")
"""A store that was killed may list a temporary file of its own, with more behind the name."""

FENCE_SECONDS = 3600.0
"""How long the fence stays behind an upload that was removed. A request to S3 lands within 15 minutes of its
signing or not at all ("RequestTimeTooSkewed" in the Amazon S3 API reference)."""


class Stand(Enum):
    """Where an upload stands between its last byte and its record."""

    FREE = "nobody publishes it"
    TAKEN = "somebody may be publishing it"
    GIVEN_UP = "nobody publishes it any more"
    PUBLISHED = "the log has its record"
    UNKNOWN = "whether the log has its record is not known"


@attrs.frozen
class Fence:
    """``number`` is that of the intent that holds, 0 where there is none, and ``intent`` what it says."""

    stand: Stand
    number: int = 0
    intent: dict[str, Any] | None = None

    @property
    def next_intent(self) -> str:
        """The name of the intent that would hold after this one."""
        return intent_name(self.number + 1)

    @property
    def name(self) -> str:
        """The name of the intent that holds."""
        return intent_name(self.number)

    @property
    def given_up(self) -> str:
        """Why the upload was given up; empty where it was not."""
        return str((self.intent or {}).get("given_up", ""))


def intent_name(number: int) -> str:
    """The name of the intent with that number."""
    return f"{INTENT}{number:08d}"


def void_name(nonce: str) -> str:
    """The name of what says that the intent with that nonce is void."""
    return f"{VOID}{nonce}"


def last_intent(names: Iterable[str]) -> int:
    """The number of the intent that holds, 0 where there is none."""
    found = (_INTENT.fullmatch(name) for name in names)
    return max((int(each[1]) for each in found if each is not None), default=0)


def judge(names: Iterable[str], intent: dict[str, Any] | None) -> Fence:
    """What the objects of these names say; ``intent`` is what the last intent says."""
    present = set(names)
    number = last_intent(present)
    if RESULT in present:
        return Fence(Stand.PUBLISHED, number, intent)
    if UNKNOWN in present:
        return Fence(Stand.UNKNOWN, number, intent)
    if intent is None or void_name(intent["nonce"]) in present:
        return Fence(Stand.FREE, number, intent)
    return Fence(Stand.GIVEN_UP if intent.get("given_up") else Stand.TAKEN, number, intent)


def is_fence(name: str) -> bool:
    """Whether the object of that name keeps others from publishing or removing."""
    return is_attempt(name) or name in (RESULT, UNKNOWN)


def is_attempt(name: str) -> bool:
    """Whether the object of that name tells of an attempt to publish: that keeps no upload from expiring."""
    return name.startswith((INTENT, VOID))

"""When a client's connection is old enough to be closed, and how: ``LFS_KAFKA_MAX_CONNECTION_AGE``. No I/O.

Clients keep their connections for as long as they live, so that a new replica would get none of them. A
Kafka client takes the end of a connection for no error where it waits for no answer, and connects again. So
from its age on a connection is closed at its first moment of silence. One that is never silent (a consumer
asks again as soon as it is answered) is held after PATIENCE_SECONDS: it is read no further, until everything
that had arrived is answered. The end of the connection then follows the last answer.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Final

PATIENCE_SECONDS: Final = 10.0
"""How long a moment of silence is waited for before the connection is held."""
HOLD_SECONDS: Final = 10.0
"""How long a held connection waits for its answers at most. After that it is read again, and a moment of
silence is waited for once more: an answer may take minutes (JoinGroup), and is never cut."""


class Step(Enum):
    """What a look at a connection's age comes to."""

    STAY = auto()
    """Nothing is done."""
    CLOSE = auto()
    """It is old, and silent: nobody would notice."""
    HOLD = auto()
    """It is old, and never silent."""


class Age:
    """The age of one connection, which is looked at about each second. ``old_at``: when it is old."""

    def __init__(self, old_at: float) -> None:
        self._old_at = old_at
        self._hold_at = old_at + PATIENCE_SECONDS
        self._received = -1

    def look(self, now: float, received: int, is_idle: Callable[[], bool]) -> Step:
        """``received``: bytes that ever came; ``is_idle``: whether all that was asked is answered.

        A connection is silent when it is idle, and nothing came since the last look.
        """
        before, self._received = self._received, received
        if now < self._old_at:
            return Step.STAY
        if received == before and is_idle():
            return Step.CLOSE
        if now < self._hold_at:
            return Step.STAY
        self._hold_at = now + HOLD_SECONDS + PATIENCE_SECONDS
        return Step.HOLD

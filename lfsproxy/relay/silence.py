"""How long a client may let its connection lie: LFS_STALL_TIMEOUT and LFS_KAFKA_MAX_IDLE. No I/O.

Three silences have an end. In the middle of a request the next byte has to come within LFS_STALL_TIMEOUT, and
a request's first bytes, through the client id, all of them, however they drip. A client that does not take
its answers has LFS_KAFKA_MAX_IDLE for the next byte of them. So has one that asks for nothing. Whatever is
asked and not answered yet is no silence: a long poll may take as long as it likes.
"""

from __future__ import annotations

from enum import Enum, auto


class Silent(Enum):
    """What a look at a connection comes to."""

    NO = auto()
    """There is nothing to end."""
    WITHIN_A_REQUEST = auto()
    """A request was begun, and does not come."""
    BEFORE_ITS_ANSWERS = auto()
    """The client does not take what it has asked for."""
    IDLE = auto()
    """Nothing is asked, and nothing comes."""


class Silence:
    """The silence of one connection, which is looked at about each second. Times are in seconds; ``max_idle``
    0: for ever."""

    def __init__(self, now: float, stall_timeout: float, max_idle: float) -> None:
        self._stall_timeout = stall_timeout
        self._max_idle = max_idle
        self._consumed = self._received = self._taken = -1
        self._consumed_at = self._asked_at = self._taken_at = now

    def look(
        self,
        now: float,
        *,
        received: int,
        buffered: int,
        is_awaited: bool,
        is_idle: bool,
        taken: int | None,
    ) -> Silent:
        """``received``: bytes that ever came, of which the last ``buffered`` are too few for anything, where
        ``is_awaited``: a request was begun, and its next bytes are waited for. ``is_idle``: whether all that
        was asked is answered. ``taken``: bytes that the client ever took, where it has to take more before
        anything goes on.
        """
        consumed = received - buffered
        if consumed != self._consumed or not is_awaited:
            self._consumed, self._consumed_at = consumed, now
        if received != self._received or not is_idle:
            self._received, self._asked_at = received, now
        if taken is None or taken != self._taken:
            self._taken, self._taken_at = -1 if taken is None else taken, now
        if now - self._consumed_at >= self._stall_timeout:
            return Silent.WITHIN_A_REQUEST
        if not self._max_idle:
            return Silent.NO
        if now - self._taken_at >= self._max_idle:
            return Silent.BEFORE_ITS_ANSWERS
        return Silent.IDLE if now - self._asked_at >= self._max_idle else Silent.NO

"""How much memory the records of one request that are to be offloaded may need beside their bytes."""

from __future__ import annotations

from typing import Final

USUAL_PLANS: Final = 64 * 1024
"""Bytes for plans that even the smallest request may have."""


class Plans:
    """Memory for the plans of a request's held batches, in bytes.

    Usually as much as the request itself, and a little. What needs more waits for its turn among all such
    requests, and may then have ``hold_limit`` bytes. What needs more than that is too large.
    """

    def __init__(self, size: int, hold_limit: int) -> None:
        self.used = 0
        self._usual = min(size, hold_limit) + USUAL_PLANS
        self._most = hold_limit

    def room(self, is_usual: bool) -> int:
        """Bytes left."""
        return (self._usual if is_usual else self._most) - self.used

    def have_no_more_room(self, is_usual: bool) -> None:
        """A batch needs more, so that no other one is to be read only to find that out again."""
        if is_usual:
            self._usual = 0
        else:
            self._most = 0

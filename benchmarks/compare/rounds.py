"""Who goes first: each target is at each place equally often, and follows different ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def order(targets: Sequence[T], number: int) -> list[T]:
    """The order of round ``number`` (from 0): rotated every other round, and backwards in between.

    After twice as many rounds as there are targets, each was at each place twice.
    """
    start = number // 2 % max(len(targets), 1)
    rotated = [*targets[start:], *targets[:start]]
    return rotated[::-1] if number % 2 else rotated

"""A few pieces of work at a time, out of many."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred

from lfsproxy.wakeups import all_of

T = TypeVar("T")

LISTS_AT_ONCE: Final = 8
"""Lists of the bucket that are read at once. Each holds a page of a thousand names."""
PARTITIONS_AT_ONCE: Final = 4
"""Partitions that are read at once. Each holds an answer: LFS_MAX_PASSTHROUGH_SIZE at most."""


async def some_at_once(
    most: int, items: Iterable[T], work: Callable[[T], Coroutine[Deferred[Any], Any, None]]
) -> None:
    """``work`` on each of ``items``, ``most`` at a time. The first failure ends all of it, and is raised."""
    left = iter(items)

    async def worker() -> None:
        for item in left:
            await work(item)

    await all_of([Deferred.fromCoroutine(worker()) for _ in range(most)])

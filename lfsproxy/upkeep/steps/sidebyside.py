"""Several coroutines at once, each of which cleans up behind itself before anybody goes on."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure


async def side_by_side(coroutines: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run them until the last one has ended, also when this is cancelled, which cancels all of them.

    Raises what the first of them in their order raised.
    """
    running = [Deferred.fromCoroutine(each) for each in coroutines]
    for _, outcome in await DeferredList(running, consumeErrors=True):
        if isinstance(outcome, Failure):
            outcome.raiseException()

"""What a session does beside the reading of requests: uploads, and requests that wait for their turn."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred

Steps = Coroutine[Any, Any, None]


class Works:
    """The works of one session.

    ``guard`` runs steps and raises nothing; ``changed`` is called when a work has ended.
    """

    def __init__(self, guard: Callable[[Steps], Steps], changed: Callable[[], None]) -> None:
        self._guard = guard
        self._changed = changed
        self._running: dict[Deferred[None], bool] = {}

    @property
    def any_left(self) -> bool:
        """Whether one has not ended."""
        return bool(self._running)

    def spawn(self, steps: Steps, is_for_client: bool = True) -> None:
        """Run steps beside everything else. ``is_for_client``: they are given up when the client is gone."""
        work = Deferred.fromCoroutine(self._guard(steps))
        self._running[work] = is_for_client

        def done(_: object) -> None:
            del self._running[work]
            self._changed()

        work.addBoth(done)

    def cancel_for_client(self) -> None:
        """Give up what goes on for the client."""
        for work, is_for_client in list(self._running.items()):
            if is_for_client:
                work.cancel()

    def cancel(self) -> None:
        """Give up everything."""
        for work in list(self._running):
            work.cancel()

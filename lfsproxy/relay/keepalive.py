"""Keeps a broker from closing a connection as idle while a Produce request takes its time.

While its records go to S3 nothing is sent to the broker, which closes a connection without traffic after its
connections.max.idle.ms (ten minutes by default); load balancers in between are quicker. The client would then
send the record again, to the same end. So the broker is asked for its API versions, which anybody may ask at
any time, and the answer is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lfsproxy.wire.metadata import api_versions_request

SECONDS: Final = 20.0
"""Between two questions. Load balancers close what is silent for a minute, some for half of that."""
PROBE: Final = api_versions_request()
"""The whole frame of the question."""


class KeepAlive:
    """Calls ``ask`` every SECONDS while something that was begun has not come to its end."""

    def __init__(self, clock: IReactorTime, ask: Callable[[], None]) -> None:
        self._clock = clock
        self._ask = ask
        self._begun = 0
        self._next: IDelayedCall | None = None

    def begin(self) -> None:
        """Something begins. Most of it is over long before the next call, which is left as it is."""
        self._begun += 1
        if self._next is None:
            self._wait()

    def end(self) -> None:
        """It has come to its end."""
        self._begun -= 1

    def stop(self) -> None:
        """The connection is closed."""
        self._begun = 0
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _wait(self) -> None:
        self._next = self._clock.callLater(SECONDS, self._due)

    def _due(self) -> None:
        self._next = None
        if self._begun > 0:
            self._wait()
            self._ask()

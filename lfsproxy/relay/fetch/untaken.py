"""Blobs that a client did not take: it closed its connection before their answer had come to its end.

Once is how any consumer ends. Twice within a while is a client that cannot take the answer, and asks for it
without end: for its limits a blob is too large, or comes too slowly. Its own log says so, but who runs the
proxy does not see that.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IReactorTime

from lfsproxy.relay.fetch.lately import Lately
from lfsproxy.relay.fetch.plan import Place

SECONDS: Final = 300.0
"""How long a blob that was not taken is remembered: longer than clients wait for an answer."""
MOST: Final = 1024
"""Pairs of a client and a blob that are remembered; beyond it the first one is forgotten."""


class Untaken:
    """Clients, each by its id and host, and the first blob that each did not take."""

    def __init__(self, clock: IReactorTime) -> None:
        self._left: Lately[tuple[str, str, Place], bool] = Lately(clock, SECONDS, MOST)

    def add(self, client: str, host: str, at: Place) -> bool:
        """A client has left before it had taken a blob; whether it did so a while ago too."""
        one = client, host, at
        is_again = self._left.get(one) is not None
        self._left.put(one, True)
        return is_again

"""Names of topics by their ids, for Fetch requests of version 13 and later, which have nothing else.

One table for the process: a topic never gets another name, and who may read it is decided by its broker.
What is not known is asked of the connection's own broker (``relay.questions``), as its client's identity.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

from twisted.internet.defer import Deferred

from lfsproxy.errors import BrokerUnavailable

MOST: Final = 8192
"""Names that are remembered; beyond it what was learnt first is forgotten, and asked again."""

Ask = Callable[[Collection[bytes]], Deferred[Mapping[bytes, str | None] | None] | None]
"""Asks the broker for names; None where it cannot be asked, a result of None where it says nothing."""


class TopicNames:
    """The names that are known."""

    def __init__(self) -> None:
        self._names: dict[bytes, str] = {}

    async def of(self, ids: Collection[bytes], ask: Ask) -> Mapping[bytes, str | None]:
        """The names of topics; None for one that the broker does not have, or does not show this client.

        Raises BrokerUnavailable where it says nothing.
        """
        known: dict[bytes, str | None] = {id: self._names[id] for id in ids if id in self._names}
        unknown = [id for id in ids if id not in known]
        if not unknown:
            return known
        asked = ask(unknown)
        told = await asked if asked is not None else None
        if told is None:
            raise BrokerUnavailable(
                "the broker does not say which topics a consumer has asked for by their ids"
            )
        for id in unknown:
            name = told.get(id)
            known[id] = name
            if name is not None:
                self._learn(id, name)
        return known

    def _learn(self, id: bytes, name: str) -> None:
        if len(self._names) >= MOST:
            del self._names[next(iter(self._names))]
        self._names[id] = name

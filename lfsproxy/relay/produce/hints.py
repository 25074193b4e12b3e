"""The offsets that go into object keys: each partition's next offset as one connection last knew it.

A hint that helps people, not the truth: another producer may append in between. A single producer's keys do
end in its true offsets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container

import attrs
from twisted.internet.defer import Deferred

from lfsproxy.names import LONGEST_TOPIC

MOST_PARTITIONS = 65536
"""Of one connection; beyond it what was learnt first is forgotten."""


Ask = Callable[[str, int], Deferred[int | None] | None]
"""Asks the broker for a partition's next offset; None where it cannot be asked, a result of None where it
says nothing, or not in time."""


@attrs.define
class _Known:
    next_offset: int
    pending: int = 0


class OffsetHints:
    """Next offsets by (topic, partition): the broker's last word plus the records that are on their way."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._known: dict[tuple[str, int], _Known] = {}
        self._topics = Counter[bytes]()

    @property
    def topics(self) -> Container[bytes]:
        """The names of topics of which anything is known, so that records for them have to be counted, also
        those which only pass."""
        return self._topics

    def knows(self, topic: str, partition: int) -> bool:
        """Whether a hint is there; else the broker may be asked."""
        return (topic, partition) in self._known

    async def ask(self, topic: str, partition: int) -> None:
        """Ask the broker for a partition's next offset, where none is known."""
        asked = None if self.knows(topic, partition) else self._ask(topic, partition)
        if asked is None:
            return
        next_offset = await asked
        if next_offset is not None and not self.knows(topic, partition):
            self.learn(topic, partition, next_offset)

    def learn(self, topic: str, partition: int, next_offset: int) -> None:
        """The broker said what the partition's next offset is."""
        self._begin(topic, partition).next_offset = max(next_offset, 0)

    def reserve(self, topic: str, partition: int, count: int) -> int:
        """The hint for the first of ``count`` records that are now on their way."""
        known = self._known.get((topic, partition)) or self._begin(topic, partition)
        hint = known.next_offset + known.pending
        known.pending += max(count, 0)
        return hint

    def _begin(self, topic: str, partition: int) -> _Known:
        if len(self._known) >= MOST_PARTITIONS:
            self._forget(*next(iter(self._known)))
        known = _Known(0)
        if len(topic) <= LONGEST_TOPIC:
            self._topics[_on_the_wire(topic)] += not self.knows(topic, partition)
            self._known[topic, partition] = known
        return known

    def _forget(self, topic: str, partition: int) -> None:
        del self._known[topic, partition]
        name = _on_the_wire(topic)
        self._topics[name] -= 1
        if not self._topics[name]:
            del self._topics[name]

    def settle(self, topic: str, partition: int, count: int, next_offset: int | None) -> None:
        """``count`` records that were reserved are in the log, which goes on at ``next_offset``, or are not.

        Nothing is learnt about a partition whose records were never offloaded.
        """
        known = self._known.get((topic, partition))
        if known is None:
            return
        known.pending = max(known.pending - count, 0)
        if next_offset is not None:
            known.next_offset = next_offset


def _on_the_wire(topic: str) -> bytes:
    """A name as requests have it, which may be no UTF-8."""
    return topic.encode("utf-8", "surrogateescape")

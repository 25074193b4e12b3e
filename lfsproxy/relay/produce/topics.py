"""Whether a connection may upload for a topic: asked of its own broker before the first blob goes to S3.

A broker answers a batch for a topic that it does not have with UNKNOWN_TOPIC_OR_PARTITION, after which the
blob has to stay (``codes.SURELY_NOT_APPENDED``): a client that sends such a batch again and again would fill
the bucket. So the broker's Metadata is asked first, once by connection and topic, on the connection on which
the batch is to go, as the same identity. What it refuses is refused with its code, which is that of the
Produce answer; where it says nothing, or not in time, the batch goes its way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred

from lfsproxy.codes import KafkaCode
from lfsproxy.errors import (
    InvalidTopic,
    NotAuthorised,
    UnknownTopic,
)
from lfsproxy.kafka.stream import uncancelled
from lfsproxy.names import is_topic_name
from lfsproxy.wire.metadata import TopicState

MOST_TOPICS: Final = 4096
"""Of one connection; beyond it what was learnt first is forgotten, and asked again."""
_REFUSALS: Final = (
    KafkaCode.UNKNOWN_TOPIC_OR_PARTITION,
    KafkaCode.INVALID_TOPIC,
    KafkaCode.TOPIC_AUTHORIZATION_FAILED,
)

Ask = Callable[[str], Deferred[TopicState | None] | None]
"""Asks the broker about a topic; None where it cannot be asked, a result of None where it says nothing."""


class Topics:
    """The topics that one connection's broker has, with the number of their partitions."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._known: dict[str, int] = {}
        self._asked: dict[str, Deferred[TopicState | None]] = {}

    async def check(self, topic: str, partition: int) -> None:
        """Raise InvalidTopic, UnknownTopic or NotAuthorised where a batch would surely be refused."""
        if not is_topic_name(topic):
            raise InvalidTopic(
                "a topic's name is 1 to 249 of a-z, A-Z, 0-9, '.', '_' and '-', not '.' or '..'"
            )
        if 0 <= partition < self._known.get(topic, 0):
            return
        state = await self._state(topic)
        if state is None:
            return
        if state.error_code == KafkaCode.TOPIC_AUTHORIZATION_FAILED:
            raise NotAuthorised(state.error_code, f"the broker does not let this client write to {topic}")
        if state.error_code == KafkaCode.INVALID_TOPIC:
            raise InvalidTopic("the broker does not take this name of a topic")
        if state.error_code == KafkaCode.UNKNOWN_TOPIC_OR_PARTITION:
            raise UnknownTopic(f"the broker has no topic {topic}")
        if state.error_code == KafkaCode.NONE and not 0 <= partition < state.partitions:
            raise UnknownTopic(f"topic {topic} has {state.partitions} partitions, there is no {partition}")

    async def _state(self, topic: str) -> TopicState | None:
        """What the broker says; a question asked meanwhile gets the same answer."""
        asked = self._asked.get(topic)
        if asked is None:
            asked = self._ask(topic)
            if asked is None:
                return None
            self._asked[topic] = asked
            asked.addCallback(self._told, topic)
        # One who waits may be cancelled, the others wait on.
        await uncancelled(asked)
        state = asked.result
        return state if isinstance(state, TopicState) else None

    def _told(self, state: TopicState | None, topic: str) -> TopicState | None:
        self._asked.pop(topic, None)
        if state is not None and state.error_code == KafkaCode.NONE and state.partitions:
            self.learn(topic, state.partitions)
        return state

    def learn(self, topic: str, partitions: int) -> None:
        """The broker has the topic, with so many partitions."""
        self._known.pop(topic, None)
        if len(self._known) >= MOST_TOPICS:
            del self._known[next(iter(self._known))]
        self._known[topic] = partitions

    def answered(self, topic: str, code: int) -> None:
        """The broker has answered a batch: where it does not have the topic any more, it is asked again."""
        if code in _REFUSALS:
            self._known.pop(topic, None)

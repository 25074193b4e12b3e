"""What the proxy asks the broker of a connection, on the client's connection and as the client's identity."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from lfsproxy.kafka.stream import ConnectionGone
from lfsproxy.relay.forwarding import Forwarding
from lfsproxy.wire import list_offsets, metadata, topic_ids
from lfsproxy.wire.apis import KafkaApi

HINT_SECONDS: Final = 2.0
"""Within which a broker says where a partition ends, or is not waited for: an object's key can do without."""
TOPIC_SECONDS: Final = 2.0
"""Within which a broker says whether it has a topic, or is not waited for: the batch then goes its way."""
NAMES_SECONDS: Final = 10.0
"""Within which a broker says which topics a consumer has asked for by their ids. Longer than the others:
without it the consumer's connection has to be closed."""

T = TypeVar("T")


class Questions:
    """``ranges`` gives the versions that the broker offers, (lowest, highest) by API key, as far as known.

    What is asked fires with None where the broker says nothing, or not in time; it is None where the broker
    does not speak a version in which it could be asked.
    """

    def __init__(
        self,
        clock: IReactorTime,
        forwarding: Forwarding,
        ranges: Callable[[], Mapping[int, tuple[int, int]]],
    ) -> None:
        self._clock = clock
        self._forwarding = forwarding
        self._ranges = ranges

    def offset(self, topic: str, partition: int) -> Deferred[int | None] | None:
        """A partition's next offset."""
        version = list_offsets.choose_version(self._ranges().get(KafkaApi.LIST_OFFSETS))
        if version is None:
            return None
        frame = list_offsets.encode_request(version, list_offsets.CORRELATION_ID, topic, partition)
        return self._ask(frame, HINT_SECONDS, lambda body: list_offsets.decode_answer(version, body))

    def topic(self, topic: str) -> Deferred[metadata.TopicState | None] | None:
        """Whether there is a topic. A client that asked for no versions is taken to be old."""
        ranges = self._ranges()
        unknown = (-1, -1) if ranges else (metadata.VERSION, metadata.VERSION)
        low, high = ranges.get(KafkaApi.METADATA, unknown)
        if not low <= metadata.VERSION <= high:
            return None
        frame = metadata.metadata_request(topic)
        return self._ask(frame, TOPIC_SECONDS, lambda body: metadata.topic_state(body, topic))

    def names(self, ids: Collection[bytes]) -> Deferred[Mapping[bytes, str | None] | None] | None:
        """Which names topics have, by their ids; None for one that is not there."""
        low, high = self._ranges().get(KafkaApi.METADATA, (topic_ids.VERSION, topic_ids.VERSION))
        if not low <= topic_ids.VERSION <= high:
            return None
        return self._ask(topic_ids.names_request(ids), NAMES_SECONDS, topic_ids.names_told)

    def _ask(self, frame: bytes, seconds: float, decode: Callable[[bytes], T | None]) -> Deferred[T | None]:
        async def ask() -> T | None:
            try:
                return decode(await self._forwarding.ask(frame))
            except ConnectionGone:
                return None

        asked = Deferred.fromCoroutine(ask())
        return asked.addTimeout(seconds, self._clock, lambda *_: None)

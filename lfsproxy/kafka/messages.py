"""What the proxy asks by itself: kafka-python's message classes, in the highest version of both sides.

Produce is not among them: ``lfsproxy.wire`` has its own codec.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
from kafka.protocol.consumer import FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse
from kafka.protocol.metadata import ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, MetadataResponse
from kafka.protocol.producer import InitProducerIdRequest, InitProducerIdResponse

from lfsproxy.errors import BrokerUnavailable, FramingError
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.asking import CLIENT_ID
from lfsproxy.wire.primitives import Reader

Ranges = Mapping[int, tuple[int, int]]
"""The lowest and highest version of each API that a broker has; -1 to -1 is none."""

READ_COMMITTED: Final = 1
READ_UNCOMMITTED: Final = 0
_NO_TIMEOUT: Final = 2**31 - 1
_TIERED_MS: Final = 2000
"""How long a broker may take to read from tiered storage before it answers that it has nothing yet."""


@attrs.frozen
class Api:
    """One of the APIs, in the versions from ``low`` to ``high``. ``most``: bytes of the largest answer."""

    key: KafkaApi
    low: int
    high: int
    request: Any
    response: Any
    most: int = 1024 * 1024

    def version(self, ranges: Ranges) -> int | None:
        """The highest version that both sides speak; None where there is none."""
        return highest(ranges, self.key, self.low, self.high)

    def encode(self, version: int, correlation_id: int, fields: Mapping[str, Any]) -> bytes:
        """The whole frame, its length field included."""
        message = self.request(version=version, **fields)
        message.with_header(correlation_id=correlation_id, client_id=CLIENT_ID)
        return bytes(message.encode(header=True, framed=True))

    def decode(self, version: int, body: bytes) -> Any:
        """The answer; ``body`` follows its correlation id. Raises FramingError where it does not decode."""
        try:
            # The answer to ApiVersions has the older header in every version.
            is_flexible = self.response.flexible_version_q(version) and self.key != KafkaApi.API_VERSIONS
            reader = Reader(body, is_flexible)
            reader.tags()
            return self.response.decode(memoryview(body)[len(body) - reader.left :], version=version)
        except (FramingError, struct.error, ValueError, IndexError, TypeError, AttributeError, KeyError):
            raise FramingError(f"its answer to {self.key.kafka_name} does not decode") from None


def highest(ranges: Ranges, key: int, low: int, high: int) -> int | None:
    """The highest version from ``low`` to ``high`` that the broker has; None where it has none of them."""
    theirs = ranges.get(key, (-1, -1))
    version = min(theirs[1], high)
    return version if version >= max(theirs[0], low) and theirs[0] >= 0 else None


API_VERSIONS: Final = Api(KafkaApi.API_VERSIONS, 0, 0, ApiVersionsRequest, ApiVersionsResponse)
METADATA: Final = Api(KafkaApi.METADATA, 4, 9, MetadataRequest, MetadataResponse, most=16 * 1024 * 1024)
"""Allows from version 4 on to create no topic; an answer about one topic with 100,000 partitions fits."""
TOPICS: Final = Api(KafkaApi.METADATA, 4, 12, MetadataRequest, MetadataResponse, most=64 * 1024 * 1024)
"""The same about all topics; from version 10 on, each has the id that a topic of its name has but once."""
LIST_OFFSETS: Final = Api(KafkaApi.LIST_OFFSETS, 1, 7, ListOffsetsRequest, ListOffsetsResponse)
FETCH: Final = Api(KafkaApi.FETCH, 4, 12, FetchRequest, FetchResponse)
"""From version 13 on, topics are named by their ids."""
INIT_PRODUCER_ID: Final = Api(KafkaApi.INIT_PRODUCER_ID, 0, 4, InitProducerIdRequest, InitProducerIdResponse)

Build = Callable[[int], Mapping[str, Any]]
"""The fields of a request, by its version."""


def metadata_of(topic: str | None, create: bool) -> Build:
    """About one topic, or, without one, about the brokers alone."""

    def build(version: int) -> Mapping[str, Any]:
        topics = [] if topic is None else [MetadataRequest.MetadataRequestTopic(version=version, name=topic)]
        return {"topics": topics, "allow_auto_topic_creation": create}

    return build


def all_topics(version: int) -> Mapping[str, Any]:
    """About every topic that may be described."""
    return {"topics": None, "allow_auto_topic_creation": False}


def offset_of(topic: str, partition: int, which: int, isolation: int = READ_UNCOMMITTED) -> Build:
    """The partition's next offset (``which`` is -1; with READ_COMMITTED its last stable one), its first one
    (-2), or that of the first record of a time, in milliseconds since the epoch."""
    Topic = ListOffsetsRequest.ListOffsetsTopic

    def build(version: int) -> Mapping[str, Any]:
        asked = Topic.ListOffsetsPartition(version=version, partition_index=partition, timestamp=which)
        topics = [Topic(version=version, name=topic, partitions=[asked])]
        return {"replica_id": -1, "isolation_level": isolation, "topics": topics}

    return build


def batches_from(topic: str, partition: int, offset: int, size: int, isolation: int) -> Build:
    """The batch that has the offset, whole whatever its size, and more as long as all have ``size`` bytes."""
    Topic = FetchRequest.FetchTopic

    def build(version: int) -> Mapping[str, Any]:
        asked = Topic.FetchPartition(
            version=version, partition=partition, fetch_offset=offset, partition_max_bytes=size
        )
        return {
            "replica_id": -1,
            # Only what is in tiered storage is waited for: no bytes are enough.
            "max_wait_ms": _TIERED_MS,
            "min_bytes": 0,
            "max_bytes": size,
            "isolation_level": isolation,
            "session_id": 0,
            "session_epoch": -1,
            "topics": [Topic(version=version, topic=topic, partitions=[asked])],
        }

    return build


def new_producer(version: int) -> Mapping[str, Any]:
    """A producer id that nobody has."""
    return {
        "transactional_id": None,
        "transaction_timeout_ms": _NO_TIMEOUT,
        "producer_id": -1,
        "producer_epoch": -1,
    }


def ranges_of(answer: Any) -> Ranges:
    """What an ApiVersions answer tells. Raises BrokerUnavailable for an error."""
    if answer.error_code:
        raise BrokerUnavailable(f"a broker answers error {answer.error_code} to ApiVersions")
    return {each.api_key: (each.min_version, each.max_version) for each in answer.api_keys}

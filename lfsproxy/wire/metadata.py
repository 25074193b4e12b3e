"""The proxy's own questions to a broker: Metadata version 5, and ApiVersions version 0.

::

    Metadata     topics:[string] allow_auto_topic_creation:int8=0
    its answer   throttle_time_ms:int32 [node_id:int32 host:string port:int32 rack:nullable_string]
                 cluster_id:nullable_string controller_id:int32
                 [error_code:int16 name:string is_internal:int8 [error_code:int16 partition:int32
                  leader:int32 replicas:[int32] isr:[int32] offline:[int32]]]
    ApiVersions  (nothing)

Every broker from Kafka 1.0 to 4.x speaks these versions. ApiVersions is answered before any sign-in. No topic
is created because of a question: a producer's own Metadata request has done that, if it wanted.
"""

from __future__ import annotations

import struct
from typing import Final

import attrs

from lfsproxy.errors import FramingError
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.asking import own_request
from lfsproxy.wire.primitives import Reader, put_string

VERSION: Final = 5
"""Of Metadata; see above."""


@attrs.frozen
class TopicState:
    """What a broker says of a topic: an error code, and how many partitions it has."""

    error_code: int
    partitions: int


def metadata_request(topic: str | None = None) -> bytes:
    """The whole frame, its length field included, that asks about one topic, or about none."""
    body = bytearray(struct.pack(">i", topic is not None))
    if topic is not None:
        put_string(body, topic, flexible=False)
    return own_request(KafkaApi.METADATA, VERSION, 0, bytes(body) + b"\0")


def topic_state(body: bytes, topic: str) -> TopicState | None:
    """What an answer says of a topic; ``body`` follows its correlation id. None where it says nothing."""
    reader = Reader(body, flexible=False)
    try:
        reader.int32()
        for _ in range(reader.count(10)):
            reader.int32(), reader.nullable_string(), reader.int32(), reader.nullable_string()
        reader.nullable_string(), reader.int32()
        for _ in range(reader.count(9)):
            error_code, name = reader.int16(), reader.nullable_string()
            reader.raw(1)
            partitions = _partitions(reader)
            if name == topic:
                return TopicState(error_code, partitions)
    except FramingError:
        return None
    return None


def _partitions(reader: Reader) -> int:
    """One more than the highest number of a partition."""
    most = 0
    for _ in range(reader.count(22)):
        reader.int16()
        most = max(most, reader.int32() + 1)
        reader.int32()
        for _ in range(3):
            reader.raw(4 * reader.count(4))
    return most


def api_versions_request() -> bytes:
    """The whole frame, its length field included."""
    return own_request(KafkaApi.API_VERSIONS, 0, 0, b"")


def apis_of(body: bytes) -> frozenset[int]:
    """The keys of the APIs that an ApiVersions answer (version 0) lists; none where it is an error.

    ::

        error_code:int16 api_keys:[api_key:int16 min_version:int16 max_version:int16]
    """
    error, count = struct.unpack_from(">hi", body) if len(body) >= 6 else (-1, 0)
    if error or len(body) < 6 + 6 * count:
        return frozenset()
    return frozenset(struct.unpack_from(">h", body, 6 + 6 * index)[0] for index in range(count))

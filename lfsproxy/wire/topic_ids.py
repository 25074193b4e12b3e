"""The proxy's question which names topics have, by their ids: Metadata version 12.

Request and answer, with compact strings and arrays and the tagged fields of request header 2 and response
header 1 (common/message/MetadataRequest.json and MetadataResponse.json of kafka-clients)::

    header_tags [topic_id:uuid name:nullable_string=null tags] allow_auto_topic_creation:int8=0
    include_topic_authorized_operations:int8=0 tags
    header_tags throttle_time_ms:int32 [node_id:int32 host:string port:int32 rack:nullable_string tags]
    cluster_id:nullable_string controller_id:int32
    [error_code:int16 name:nullable_string topic_id:uuid is_internal:int8
     [error_code:int16 partition:int32 leader:int32 leader_epoch:int32 replicas:[int32] isr:[int32]
      offline:[int32] tags]
     topic_authorized_operations:int32 tags] tags

Every broker that takes Fetch by topic id (version 13, Kafka 3.1) speaks it. A topic never gets another name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from lfsproxy.errors import FramingError
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.asking import own_request
from lfsproxy.wire.primitives import Reader, put_count, put_string, put_tags

VERSION: Final = 12


def names_request(ids: Collection[bytes]) -> bytes:
    """The whole frame that asks for the names of topics."""
    body = bytearray()
    put_tags(body, (), flexible=True)
    put_count(body, len(ids), flexible=True)
    for topic_id in ids:
        body += topic_id
        put_string(body, None, flexible=True)
        put_tags(body, (), flexible=True)
    body += bytes(2)
    put_tags(body, (), flexible=True)
    return own_request(KafkaApi.METADATA, VERSION, 0, bytes(body))


def names_told(body: bytes) -> Mapping[bytes, str | None] | None:
    """Which names an answer tells, by id: None for a topic that is not there, or not for whoever asked.

    ``body`` follows the correlation id. None where it does not decode.
    """
    reader = Reader(body, flexible=True)
    try:
        reader.tags()
        reader.int32()
        for _ in range(reader.count(11)):
            reader.int32(), reader.nullable_string(), reader.int32(), reader.nullable_string(), reader.tags()
        reader.nullable_string(), reader.int32()
        return dict(_topic(reader) for _ in range(reader.count(26)))
    except FramingError:
        return None


def _topic(reader: Reader) -> tuple[bytes, str | None]:
    error_code, name, topic_id = reader.int16(), reader.nullable_string(), bytes(reader.raw(16))
    reader.raw(1)
    for _ in range(reader.count(18)):
        reader.raw(14)
        for _ in range(3):
            reader.raw(4 * reader.count(4))
        reader.tags()
    reader.int32(), reader.tags()
    return topic_id, None if error_code else name

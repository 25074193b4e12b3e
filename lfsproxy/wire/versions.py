"""What the proxy understands of Kafka's APIs: one table, and the ApiVersions answers capped to it.

The table has the APIs that Apache Kafka's brokers offer to clients, each up to the highest version that may
pass: somebody has looked at its messages for what names a broker's address, up to Kafka 4.4. An API or
version that is newer could name an address where nobody looks, so it is withheld.
``make kafka-apis KAFKA=4.5.0`` compares the table with the messages of a release.

An ApiVersions answer, whose response header is always version 0 (KIP-511)::

    v0  error_code:int16 [api_key:int16 min_version:int16 max_version:int16]
    v1  the same, throttle_time_ms:int32
    v3  the same with compact lengths and tagged fields; tags 0 and 2 are the features (KIP-584)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from struct import Struct
from typing import Final

import attrs

from lfsproxy.codes import KafkaCode
from lfsproxy.wire import share_answers
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.primitives import INT16, INT32, Reader, Tag, put_count, put_string, put_tags

_FIRST_FLEXIBLE: Final = 3
_FIRST_FLEXIBLE_PRODUCE: Final = 9
"""The first versions with compact strings and tagged fields: of ApiVersions, and of Produce."""
_LIBRDKAFKA: Final = "rdkafka"
MOST_SOFTWARE: Final = 200
"""Characters of a library's name, and of its version, that are looked at: real ones have less than 50."""
_RANGE = Struct(">hhh")
_SUPPORTED_FEATURES = 0
_FINALIZED_FEATURES = 2
"""Tags of ApiVersions' answer."""


class How(Enum):
    """What the proxy does with an API."""

    RELAY = "relay"
    """Requests and answers pass as their bytes arrive."""
    ADDRESSES = "addresses"
    """The answer names brokers, whose addresses are rewritten."""
    BLOTTED = "blotted"
    """The answer ends with brokers, which are blotted out."""
    PRODUCE = "produce"
    """Requests are looked into for LFS records, answers are rewritten."""
    VERSIONS = "versions"
    """The answer is capped to this table."""
    WITHHELD = "withheld"
    """Not offered to clients."""


@attrs.frozen
class Api:
    """An API: the versions that the proxy understands, both included, and what it does with them.

    ``looked_at`` is the highest version that somebody has looked at, and ``why`` the reason where that is not
    offered, or the API is not. ``name`` is Kafka's: ListOffsets.
    """

    key: KafkaApi
    max_version: int
    how: How = How.RELAY
    min_version: int = 0
    looked_at: int = attrs.field(
        default=attrs.Factory(lambda self: self.max_version, takes_self=True), kw_only=True
    )
    why: str = attrs.field(default="", kw_only=True)
    name: str = attrs.field(
        default=attrs.Factory(lambda self: self.key.kafka_name, takes_self=True), init=False
    )


_AMONG_BROKERS: Final = "brokers send it to each other"

_TABLE = (
    Api(
        KafkaApi.PRODUCE,
        12,
        How.PRODUCE,
        looked_at=13,
        why="from 13 on topics are named by id: their names would have to be asked for first",
    ),
    Api(
        KafkaApi.FETCH,
        15,
        looked_at=18,
        why="from 16 on the brokers' endpoints follow the records, and 17 and 18 add what replicas need",
    ),
    Api(KafkaApi.LIST_OFFSETS, 11),
    Api(KafkaApi.METADATA, 13, How.ADDRESSES),
    Api(KafkaApi.OFFSET_COMMIT, 10),
    Api(KafkaApi.OFFSET_FETCH, 10),
    Api(KafkaApi.FIND_COORDINATOR, 6, How.ADDRESSES),
    Api(KafkaApi.JOIN_GROUP, 9),
    Api(KafkaApi.HEARTBEAT, 4),
    Api(KafkaApi.LEAVE_GROUP, 5),
    Api(KafkaApi.SYNC_GROUP, 5),
    Api(KafkaApi.DESCRIBE_GROUPS, 6),
    Api(KafkaApi.LIST_GROUPS, 5),
    # Version 0 is followed by tokens without headers, in which nobody could tell where a sign-in ends.
    Api(KafkaApi.SASL_HANDSHAKE, 1, min_version=1),
    Api(KafkaApi.API_VERSIONS, 5, How.VERSIONS),
    Api(KafkaApi.CREATE_TOPICS, 7),
    Api(KafkaApi.DELETE_TOPICS, 6),
    Api(KafkaApi.DELETE_RECORDS, 2),
    Api(KafkaApi.INIT_PRODUCER_ID, 6),
    Api(KafkaApi.OFFSET_FOR_LEADER_EPOCH, 4),
    Api(KafkaApi.ADD_PARTITIONS_TO_TXN, 5),
    Api(KafkaApi.ADD_OFFSETS_TO_TXN, 4),
    Api(KafkaApi.END_TXN, 5),
    Api(KafkaApi.WRITE_TXN_MARKERS, 2),
    Api(KafkaApi.TXN_OFFSET_COMMIT, 6),
    Api(KafkaApi.DESCRIBE_ACLS, 3),
    Api(KafkaApi.CREATE_ACLS, 3),
    Api(KafkaApi.DELETE_ACLS, 3),
    Api(KafkaApi.DESCRIBE_CONFIGS, 4),
    Api(KafkaApi.ALTER_CONFIGS, 2),
    Api(KafkaApi.ALTER_REPLICA_LOG_DIRS, 2),
    Api(KafkaApi.DESCRIBE_LOG_DIRS, 5),
    Api(KafkaApi.SASL_AUTHENTICATE, 2),
    Api(KafkaApi.CREATE_PARTITIONS, 3),
    Api(KafkaApi.CREATE_DELEGATION_TOKEN, 3),
    Api(KafkaApi.RENEW_DELEGATION_TOKEN, 2),
    Api(KafkaApi.EXPIRE_DELEGATION_TOKEN, 2),
    Api(KafkaApi.DESCRIBE_DELEGATION_TOKEN, 3),
    Api(KafkaApi.DELETE_GROUPS, 3),
    Api(KafkaApi.ELECT_LEADERS, 2),
    Api(KafkaApi.INCREMENTAL_ALTER_CONFIGS, 1),
    Api(KafkaApi.ALTER_PARTITION_REASSIGNMENTS, 1),
    Api(KafkaApi.LIST_PARTITION_REASSIGNMENTS, 0),
    Api(KafkaApi.OFFSET_DELETE, 0),
    Api(KafkaApi.DESCRIBE_CLIENT_QUOTAS, 1),
    Api(KafkaApi.ALTER_CLIENT_QUOTAS, 1),
    Api(KafkaApi.DESCRIBE_USER_SCRAM_CREDENTIALS, 0),
    Api(KafkaApi.ALTER_USER_SCRAM_CREDENTIALS, 0),
    # Its listeners are the controllers', which no client of the proxy can or need reach.
    Api(KafkaApi.DESCRIBE_QUORUM, 2),
    Api(KafkaApi.UPDATE_FEATURES, 2),
    Api(KafkaApi.DESCRIBE_CLUSTER, 2, How.ADDRESSES),
    Api(KafkaApi.DESCRIBE_PRODUCERS, 0),
    Api(KafkaApi.UNREGISTER_BROKER, 0),
    Api(KafkaApi.DESCRIBE_TRANSACTIONS, 0),
    Api(KafkaApi.LIST_TRANSACTIONS, 2),
    Api(KafkaApi.CONSUMER_GROUP_HEARTBEAT, 1),
    Api(KafkaApi.CONSUMER_GROUP_DESCRIBE, 1),
    Api(KafkaApi.GET_TELEMETRY_SUBSCRIPTIONS, 0),
    Api(KafkaApi.PUSH_TELEMETRY, 0),
    Api(KafkaApi.LIST_CONFIG_RESOURCES, 1),
    Api(KafkaApi.DESCRIBE_TOPIC_PARTITIONS, 0),
    # Version 0 of these was of an early access, and its answers are other ones.
    Api(KafkaApi.SHARE_GROUP_HEARTBEAT, 1, min_version=1),
    Api(KafkaApi.SHARE_GROUP_DESCRIBE, 1),
    Api(KafkaApi.SHARE_FETCH, share_answers.MAX_VERSION, How.BLOTTED, min_version=share_answers.MIN_VERSION),
    Api(
        KafkaApi.SHARE_ACKNOWLEDGE,
        share_answers.MAX_VERSION,
        How.BLOTTED,
        min_version=share_answers.MIN_VERSION,
    ),
    Api(KafkaApi.ADD_RAFT_VOTER, 1),
    Api(KafkaApi.REMOVE_RAFT_VOTER, 0),
    # Its endpoints are those of the application's own instances.
    Api(KafkaApi.STREAMS_GROUP_HEARTBEAT, 1),
    Api(KafkaApi.STREAMS_GROUP_DESCRIBE, 1),
    Api(KafkaApi.DESCRIBE_SHARE_GROUP_OFFSETS, 1),
    Api(KafkaApi.ALTER_SHARE_GROUP_OFFSETS, 0),
    Api(KafkaApi.DELETE_SHARE_GROUP_OFFSETS, 0),
    Api(KafkaApi.STREAMS_GROUP_TOPOLOGY_DESCRIPTION_UPDATE, 0),
    Api(KafkaApi.UNREGISTER_CONTROLLER, 0),
    Api(KafkaApi.INITIALIZE_SHARE_GROUP_STATE, -1, How.WITHHELD, looked_at=0, why=_AMONG_BROKERS),
    Api(KafkaApi.READ_SHARE_GROUP_STATE, -1, How.WITHHELD, looked_at=0, why=_AMONG_BROKERS),
    Api(KafkaApi.WRITE_SHARE_GROUP_STATE, -1, How.WITHHELD, looked_at=1, why=_AMONG_BROKERS),
    Api(KafkaApi.DELETE_SHARE_GROUP_STATE, -1, How.WITHHELD, looked_at=0, why=_AMONG_BROKERS),
    Api(KafkaApi.READ_SHARE_GROUP_STATE_SUMMARY, -1, How.WITHHELD, looked_at=1, why=_AMONG_BROKERS),
)
APIS: Final[Mapping[int, Api]] = {api.key: api for api in _TABLE}

_FEATURE_NEEDS: Final = {"share.version": KafkaApi.SHARE_FETCH}
"""Features that are withheld together with an API. ``transaction.version`` stays as the broker has it: with
its level 2 a client sends no AddPartitionsToTxn but Produce 12, EndTxn 5 and TxnOffsetCommit 5, and all
three are offered."""


_CONSUMES: Final = (KafkaApi.SHARE_FETCH, KafkaApi.SHARE_ACKNOWLEDGE)
"""What a consumer of a share group needs besides ShareGroupHeartbeat: one that could join but not fetch would
be told nothing, and poll for ever."""


def find(api_key: int) -> Api | None:
    """The table's row of an API that is offered, None of one that is not."""
    api = APIS.get(api_key)
    return None if api is None or api.how is How.WITHHELD else api


@attrs.frozen
class CappedVersions:
    """``frame`` is the client's answer, its length field included.

    ``broker_ranges`` are the versions that the broker itself offers, (lowest, highest) by API key.
    """

    frame: bytes
    broker_ranges: Mapping[int, tuple[int, int]]


def client_software(request_version: int, body: bytes) -> str:
    """Name and version of the client's library in an ApiVersions request's body; "" below version 3.

    Of each no more than MOST_SOFTWARE characters: both are held until the answer comes.
    """
    if request_version < _FIRST_FLEXIBLE:
        return ""
    reader = Reader(body, flexible=True)
    reader.tags()
    return f"{reader.string()[:MOST_SOFTWARE]} {reader.string()[:MOST_SOFTWARE]}"


def cap_versions(
    request_version: int,
    correlation_id: int,
    body: bytes,
    software: str = "",
    hidden: Collection[int] = (),
) -> CappedVersions:
    """Cap the broker's answer to an ApiVersions request; ``body`` is what follows its correlation id.

    ``software`` is the client's (``client_software``): librdkafka is offered no flexible version of Produce,
    since it leaves out the length of a batch of 256 MiB or more there (finalize_MessageSet in its
    rdkafka_msgset_writer.c has room for four bytes). ``hidden`` APIs are not offered.

    Produce keeps 0 as its lowest version whatever the broker says: older librdkafka takes compression codecs
    to be missing otherwise (KAFKA-18659). Raises FramingError for what does not decode.
    """
    version = request_version
    if INT16.unpack_from(body.ljust(2, b"\0"))[0] == KafkaCode.UNSUPPORTED_VERSION:
        version = 0
    flexible = version >= _FIRST_FLEXIBLE
    reader = Reader(body, flexible)
    error_code = reader.int16()
    ranges: dict[int, tuple[int, int]] = {}
    extra: dict[int, list[Tag]] = {}
    for _ in range(reader.count(6)):
        key, low, high = _RANGE.unpack(reader.raw(6))
        extra[key] = reader.tags()
        if 0 <= low <= high:
            ranges[key] = (low, high)
    offered = {key: capped for key, given in ranges.items() if (capped := _cap(key, given))}
    for key in hidden:
        offered.pop(key, None)
    if not all(key in offered for key in _CONSUMES):
        offered.pop(KafkaApi.SHARE_GROUP_HEARTBEAT, None)
    if _LIBRDKAFKA in software and KafkaApi.PRODUCE in offered:
        low, high = offered[KafkaApi.PRODUCE]
        offered[KafkaApi.PRODUCE] = (low, min(high, _FIRST_FLEXIBLE_PRODUCE - 1))
    out = bytearray(INT32.pack(correlation_id) + INT16.pack(error_code))
    put_count(out, len(offered), flexible)
    for key, (low, high) in offered.items():
        out += _RANGE.pack(key, low, high)
        put_tags(out, extra[key], flexible)
    if version >= 1:
        out += reader.raw(4)
    put_tags(out, [_features(number, data, offered) for number, data in reader.tags()], flexible)
    reader.end()
    return CappedVersions(INT32.pack(len(out)) + out, ranges)


def unsupported_version_answer(correlation_id: int) -> bytes:
    """The whole frame that answers an ApiVersions request of a version above the table's.

    As a broker's: in the shape of version 0, whatever was asked, with error UNSUPPORTED_VERSION and the range
    of ApiVersions, so that the client asks again with a version that is understood (KIP-511).
    """
    api = APIS[KafkaApi.API_VERSIONS]
    body = INT32.pack(correlation_id) + INT16.pack(KafkaCode.UNSUPPORTED_VERSION)
    body += INT32.pack(1) + _RANGE.pack(api.key, api.min_version, api.max_version)
    return INT32.pack(len(body)) + body


def looks_capped(ranges: Mapping[int, tuple[int, int]]) -> bool:
    """Whether the versions that somebody offers are those of an LFS Proxy: nothing is left to cap, and
    SaslHandshake begins with 1, as no broker's does."""
    begins = ranges.get(KafkaApi.SASL_HANDSHAKE, (0, 0))[0]
    return begins == 1 and all(_cap(key, given) == given for key, given in ranges.items())


def _cap(key: int, given: tuple[int, int]) -> tuple[int, int] | None:
    api = find(key)
    if api is None:
        return None
    low, high = max(given[0], api.min_version), min(given[1], api.max_version)
    if api.how is How.PRODUCE:
        low = 0
    return (low, high) if low <= high else None


def _features(number: int, data: bytes, offered: Mapping[int, object]) -> Tag:
    """A tagged field of the answer, where it lists features without those whose API is withheld."""
    if number not in (_SUPPORTED_FEATURES, _FINALIZED_FEATURES):
        return number, data
    reader = Reader(data, flexible=True)
    kept = []
    for _ in range(reader.count(6)):
        name = reader.string()
        levels = bytes(reader.raw(4))
        tags = reader.tags()
        if name not in _FEATURE_NEEDS or _FEATURE_NEEDS[name] in offered:
            kept.append((name, levels, tags))
    out = bytearray()
    put_count(out, len(kept), flexible=True)
    for name, levels, tags in kept:
        put_string(out, name, flexible=True)
        out += levels
        put_tags(out, tags, flexible=True)
    return number, bytes(out)

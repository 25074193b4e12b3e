"""Produce answers: decoded, merged from several requests into one, and encoded with the proxy's own verdicts.

The body of version 8, and of 9 to 12 (https://kafka.apache.org/protocol#The_Messages_Produce); below 8 there
are no record_errors and error_message, below 5 no log_start_offset, below 2 no log_append_time_ms, below 1
no throttle_time_ms::

    v8  [topic [partition:int32 error_code:int16 base_offset:int64 log_append_time_ms:int64
        log_start_offset:int64 [batch_index:int32 message:nullable_string] error_message:nullable_string]]
        throttle_time_ms:int32
    v9  the same with compact lengths and tagged fields; from 10 tag 0 of a partition is its current leader,
        tag 0 of the answer the endpoints of the leaders (KIP-951)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from struct import Struct
from typing import Final

import attrs

from lfsproxy.wire.primitives import INT32, Reader, Tag, put_count, put_string, put_tags

FIRST_FLEXIBLE: Final = 9
_FIRST_WITH_ENDPOINTS: Final = 10
_START = Struct(">ihq")
_LEADER = Struct(">ii")
_INT64 = Struct(">q")


@attrs.frozen
class NodeEndpoint:
    """A broker that leads a partition now."""

    node_id: int
    host: str
    port: int
    rack: str | None = None
    tags: Sequence[Tag] = ()


Advertise = Callable[[Sequence[NodeEndpoint]], Sequence[NodeEndpoint]]
"""Puts the addresses at which the client reaches brokers in place of theirs."""


@attrs.frozen
class PartitionAnswer:
    """What became of a partition's records. -1 is unknown for offsets and times (milliseconds).

    ``record_errors`` are (index of the record in its batch, message); ``current_leader`` is (node id, epoch).
    """

    topic: str
    partition: int
    error_code: int = 0
    base_offset: int = -1
    log_append_time_ms: int = -1
    log_start_offset: int = -1
    record_errors: Sequence[tuple[int, str | None]] = ()
    error_message: str | None = None
    current_leader: tuple[int, int] | None = None
    tags: Sequence[Tag] = ()


@attrs.frozen
class ProduceResponse:
    """A whole answer. ``throttle_ms`` is in milliseconds."""

    partitions: Sequence[PartitionAnswer]
    throttle_ms: int = 0
    node_endpoints: Sequence[NodeEndpoint] = ()
    tags: Sequence[Tag] = ()

    @classmethod
    def decode(cls, version: int, body: bytes) -> ProduceResponse:
        """Decode what follows the correlation id. Raises FramingError."""
        flexible = version >= FIRST_FLEXIBLE
        reader = Reader(body, flexible)
        reader.tags()
        partitions = []
        for _ in range(reader.count(6 if not flexible else 3)):
            topic = reader.string()
            partitions += [_partition(reader, topic, version) for _ in range(reader.count(14))]
            reader.tags()
        throttle_ms = reader.int32() if version >= 1 else 0
        endpoints: list[NodeEndpoint] = []
        tags = []
        for number, data in reader.tags():
            if number == 0 and version >= _FIRST_WITH_ENDPOINTS:
                endpoints = _endpoints(data)
            else:
                tags.append((number, data))
        reader.end()
        return cls(partitions, throttle_ms, endpoints, tags)

    def advertised(self, advertise: Advertise) -> ProduceResponse:
        """The same with brokers at the addresses at which the client reaches them."""
        if not self.node_endpoints:
            return self
        return attrs.evolve(self, node_endpoints=advertise(self.node_endpoints))

    def encode(self, version: int, correlation_id: int) -> bytes:
        """The whole frame, its length field included. Partitions are grouped by topic, in their order."""
        flexible = version >= FIRST_FLEXIBLE
        out = bytearray(INT32.pack(correlation_id))
        put_tags(out, (), flexible)
        topics: dict[str, list[PartitionAnswer]] = {}
        for answer in self.partitions:
            topics.setdefault(answer.topic, []).append(answer)
        put_count(out, len(topics), flexible)
        for topic, answers in topics.items():
            put_string(out, topic, flexible)
            put_count(out, len(answers), flexible)
            for answer in answers:
                _put_partition(out, answer, version)
            put_tags(out, (), flexible)
        if version >= 1:
            out += INT32.pack(self.throttle_ms)
        tags = list(self.tags)
        if self.node_endpoints and version >= _FIRST_WITH_ENDPOINTS:
            tags.append((0, _encoded_endpoints(self.node_endpoints)))
        put_tags(out, tags, flexible)
        return INT32.pack(len(out)) + out


def merge_answers(
    answers: Iterable[ProduceResponse], order: Sequence[tuple[str, int]] = ()
) -> ProduceResponse:
    """One answer out of several: all their partitions, the highest throttle, every endpoint once.

    ``order`` is the request's own order of (topic, partition), which the answer then has too.
    """
    partitions: list[PartitionAnswer] = []
    endpoints: dict[int, NodeEndpoint] = {}
    tags: dict[int, bytes] = {}
    throttle_ms = 0
    for answer in answers:
        partitions += answer.partitions
        endpoints.update((endpoint.node_id, endpoint) for endpoint in answer.node_endpoints)
        tags.update(answer.tags)
        throttle_ms = max(throttle_ms, answer.throttle_ms)
    places = {place: index for index, place in enumerate(order)}
    partitions.sort(key=lambda answer: places.get((answer.topic, answer.partition), len(places)))
    return ProduceResponse(partitions, throttle_ms, list(endpoints.values()), list(tags.items()))


def _partition(reader: Reader, topic: str, version: int) -> PartitionAnswer:
    partition, error_code, base_offset = _START.unpack(reader.raw(_START.size))
    log_append_time_ms = reader.int64() if version >= 2 else -1
    log_start_offset = reader.int64() if version >= 5 else -1
    record_errors: list[tuple[int, str | None]] = []
    error_message = None
    if version >= 8:
        for _ in range(reader.count(5)):
            record_errors.append((reader.int32(), reader.nullable_string()))
            reader.tags()
        error_message = reader.nullable_string()
    leader = None
    tags = []
    for number, data in reader.tags():
        if number == 0 and version >= _FIRST_WITH_ENDPOINTS:
            inner = Reader(data, flexible=True)
            leader = (inner.int32(), inner.int32())
        else:
            tags.append((number, data))
    return PartitionAnswer(
        topic,
        partition,
        error_code,
        base_offset,
        log_append_time_ms,
        log_start_offset,
        record_errors,
        error_message,
        leader,
        tags,
    )


def _put_partition(out: bytearray, answer: PartitionAnswer, version: int) -> None:
    flexible = version >= FIRST_FLEXIBLE
    out += _START.pack(answer.partition, answer.error_code, answer.base_offset)
    if version >= 2:
        out += _INT64.pack(answer.log_append_time_ms)
    if version >= 5:
        out += _INT64.pack(answer.log_start_offset)
    if version >= 8:
        put_count(out, len(answer.record_errors), flexible)
        for index, message in answer.record_errors:
            out += INT32.pack(index)
            put_string(out, message, flexible)
            put_tags(out, (), flexible)
        put_string(out, answer.error_message, flexible)
    tags = list(answer.tags)
    if answer.current_leader is not None and version >= _FIRST_WITH_ENDPOINTS:
        tags.append((0, _LEADER.pack(*answer.current_leader) + b"\0"))
    put_tags(out, tags, flexible)


def _endpoints(data: bytes) -> list[NodeEndpoint]:
    reader = Reader(data, flexible=True)
    return [
        NodeEndpoint(reader.int32(), reader.string(), reader.int32(), reader.nullable_string(), reader.tags())
        for _ in range(reader.count(11))
    ]


def _encoded_endpoints(endpoints: Sequence[NodeEndpoint]) -> bytes:
    out = bytearray()
    put_count(out, len(endpoints), flexible=True)
    for endpoint in endpoints:
        out += INT32.pack(endpoint.node_id)
        put_string(out, endpoint.host, flexible=True)
        out += INT32.pack(endpoint.port)
        put_string(out, endpoint.rack, flexible=True)
        put_tags(out, endpoint.tags, flexible=True)
    return bytes(out)

"""A scripted Kafka cluster that speaks real frames: it notes what it gets, the test chooses its answers."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import attrs
from kafka.protocol.consumer import ListOffsetsRequest, ListOffsetsResponse
from kafka.protocol.metadata import (
    ApiVersionsResponse,
    FindCoordinatorResponse,
    MetadataRequest,
    MetadataResponse,
)

from lfsproxy.wire.answers import NodeEndpoint, PartitionAnswer, ProduceResponse
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.produce import PartitionStart, ProduceEnd, ProduceInfo, ProduceReader, RecordsBytes
from tests.relay.records import ReadBatch, read_batch
from tests.relay.wires import Wire

RANGES = (
    (KafkaApi.PRODUCE, 0, 13),
    (KafkaApi.FETCH, 4, 18),
    (KafkaApi.LIST_OFFSETS, 1, 11),
    (KafkaApi.METADATA, 0, 13),
    (KafkaApi.FIND_COORDINATOR, 0, 6),
    (KafkaApi.API_VERSIONS, 0, 4),
)


@attrs.frozen(eq=False)
class Request:
    """A request as the broker got it. ``frame`` is all of it, its length field included."""

    api_key: int
    version: int
    correlation_id: int
    client_id: bytes
    body: bytes
    frame: bytes

    def __attrs_post_init__(self) -> None:
        if self.api_key == KafkaApi.PRODUCE:
            self.batches()  # Fails where the request is not well-formed.

    @property
    def is_own(self) -> bool:
        """Whether it is the proxy's own Metadata."""
        return self.api_key == KafkaApi.METADATA and self.client_id == b"lfsproxy"

    @property
    def is_question(self) -> bool:
        """Whether it is the proxy's own about a topic."""
        return self.is_own and self.body[:4] != bytes(4)

    @property
    def info(self) -> ProduceInfo:
        """What stands before the records of a Produce request."""
        return next(event for event in self._events() if isinstance(event, ProduceInfo))

    @property
    def end(self) -> ProduceEnd:
        """The tagged fields of a Produce request."""
        return next(event for event in self._events() if isinstance(event, ProduceEnd))

    def batches(self) -> list[tuple[str, int, bytes | None]]:
        """Topic, partition and records of a Produce request."""
        found: list[tuple[str, int, bytes | None]] = []
        for event in self._events():
            if isinstance(event, PartitionStart):
                found.append((event.topic, event.partition, None if event.size < 0 else b""))
            elif isinstance(event, RecordsBytes):
                topic, partition, records = found.pop()
                found.append((topic, partition, (records or b"") + bytes(event.data)))
        return found

    def _events(self) -> list[Any]:
        reader = ProduceReader(self.version, len(self.body))
        reader.feed(self.body)
        found = []
        while (event := reader.next_event()) is not None:
            found.append(event)
        return found


class Cluster:
    """What every connection to its brokers shares.

    ``held`` True: requests wait for ``answer``. ``codes``: error codes to come, by (topic, partition).
    ``fields``: more of each PartitionAnswer. ``reachable`` False: connections are refused, as they always
    are at a port in ``down``. ``topics``: error code and number of partitions of topics that are not simply
    there; ``tells_of_topics`` False: the answer about one has none. ``asked``: what was asked about.
    ``names``: those of topics by their ids; ``asked_ids``: which were asked about.
    ``others``: what answers other requests, by their API's key.
    ``sasl``: what answers SaslHandshake and SaslAuthenticate. A port in ``no_metadata`` closes when it is
    asked for that; one in ``controllers`` does not list it either. One in ``hung`` takes connections, and is
    silent. ``said`` is what every port answers
    instead of Kafka's own.
    """

    def __init__(self) -> None:
        self.addresses = {0: ("10.0.0.1", 9092), 1: ("10.0.0.2", 9093)}
        self.coordinator = 1
        self.ranges: Sequence[tuple[int, int, int]] = RANGES
        self.connections: list[BrokerEnd] = []
        self.reachable = True
        self.down: set[int] = set()
        self.held = False
        self.silent = False
        self.codes: dict[tuple[str, int], deque[int]] = {}
        self.fields: dict[str, Any] = {}
        self.endpoints: Sequence[NodeEndpoint] = ()
        self.throttle_ms = 0
        self.next_offsets: dict[tuple[str, int], int] = {}
        self.log: list[tuple[str, int, ReadBatch]] = []
        self.sasl: Callable[[Request], bytes] | None = None
        self.others: dict[int, Callable[[Request], bytes]] = {}
        self.no_metadata: set[int] = set()
        self.controllers: set[int] = set()
        self.hung: set[int] = set()
        self.said = b""
        self.asked: list[str] = []
        self.topics: dict[str, tuple[int, int]] = {}
        self.tells_of_topics = True
        self.names: dict[bytes, str] = {}
        self.asked_ids: list[bytes] = []

    def fail_next(self, code: int, topic: str = "demo-topic", partition: int = 0) -> None:
        """Answer the partition's next batch with an error."""
        self.codes.setdefault((topic, partition), deque()).append(code)

    @property
    def requests(self) -> list[Request]:
        """Everything that came over the clients' connections; not the proxy's own Metadata."""
        return [request for each in self.connections for request in each.requests if request.client_id]

    @property
    def produced(self) -> list[Request]:
        """The Produce requests."""
        return [request for request in self.requests if request.api_key == KafkaApi.PRODUCE]

    def records(self, topic: str = "demo-topic", partition: int = 0) -> list[ReadBatch]:
        """The partition's batches that were acknowledged, or accepted without an answer."""
        return [each for name, number, each in self.log if (name, number) == (topic, partition)]


class BrokerEnd:
    """The broker's end of one connection; a ``Peer`` of a wire.

    ``requests`` are without the proxy's own about topics.
    """

    def __init__(self, cluster: Cluster, host: str, port: int) -> None:
        self.cluster = cluster
        self.host = host
        self.port = port
        self.requests: list[Request] = []
        self.pending: deque[Request] = deque()
        self.is_open = True
        self._data = bytearray()
        cluster.connections.append(self)

    @property
    def partial(self) -> bytes:
        """What came of a request that is not complete."""
        return bytes(self._data)

    def connected(self, wire: Wire) -> None:
        self.wire = wire

    def lost(self) -> None:
        self.is_open = False

    def hang_up(self) -> None:
        """Close the connection."""
        self.wire.hang_up()

    def received(self, data: bytes) -> None:
        self._data += data
        while len(self._data) >= 4 and len(self._data) >= (
            size := struct.unpack_from(">i", self._data)[0] + 4
        ):
            frame = bytes(self._data[:size])
            del self._data[:size]
            self._take(frame)

    def _take(self, frame: bytes) -> None:
        api_key, version, correlation_id, length = struct.unpack_from(">hhih", frame, 4)
        end = 14 + max(length, 0)
        request = Request(api_key, version, correlation_id, frame[14:end], frame[end:], frame)
        if not request.is_question:
            self.requests.append(request)
        if self.port in self.cluster.hung:
            return
        if self.cluster.said:
            self.wire.arrive(self.cluster.said)
            return
        if api_key == KafkaApi.METADATA and self.port in self.cluster.no_metadata | self.cluster.controllers:
            self.hang_up()
            return
        self.pending.append(request)
        if not self.cluster.held:
            self.answer()
        self._answer_questions()

    def answer(self, count: int = 1) -> None:
        """Answer the next requests that wait."""
        for _ in range(count):
            if self.cluster.silent:
                return
            self._answer_next()
            self._answer_questions()

    def _answer_questions(self) -> None:
        """What the proxy asks about topics and brokers is never held, but answers leave in order."""
        while self.pending and self.pending[0].is_own and not self.cluster.silent:
            self._answer_next()

    def _answer_next(self) -> None:
        data = self._answer(self.pending.popleft())
        if data is not None:
            self.wire.arrive(struct.pack(">i", len(data)) + data)

    def answer_all(self) -> None:
        """Answer everything that waits."""
        while self.pending and not self.cluster.silent:
            self.answer()

    def _answer(self, request: Request) -> bytes | None:
        correlation = struct.pack(">i", request.correlation_id)
        version = request.version
        match request.api_key:
            case KafkaApi.PRODUCE:
                return self._produce(request)
            case KafkaApi.API_VERSIONS:
                ranges = [
                    one for one in self.cluster.ranges if one[0] not in (KafkaApi.PRODUCE, KafkaApi.METADATA)
                ]
                is_controller = self.port in self.cluster.controllers
                return correlation + api_versions(version, ranges if is_controller else self.cluster.ranges)
            case KafkaApi.METADATA:
                topics = self._topics(request) if request.is_question else []
                return correlation + metadata(version, self.cluster.addresses, topics)
            case KafkaApi.FIND_COORDINATOR:
                node = self.cluster.coordinator
                return correlation + coordinator(version, node, *self.cluster.addresses.get(node, ("", -1)))
            case KafkaApi.LIST_OFFSETS:
                return correlation + self._list_offsets(request)
            case KafkaApi.SASL_HANDSHAKE | KafkaApi.SASL_AUTHENTICATE if self.cluster.sasl is not None:
                return correlation + self.cluster.sasl(request)
        if request.api_key in self.cluster.others:
            return correlation + self.cluster.others[request.api_key](request)
        return correlation + b"answer to " + request.body

    def _topics(self, request: Request) -> list[Any]:
        asked = MetadataRequest.decode(request.frame, version=request.version, header=True, framed=True)
        assert not asked.allow_auto_topic_creation
        Topic = MetadataResponse.MetadataResponseTopic
        found = []
        for topic in asked.topics:
            if topic.name is None:
                found.append(self._topic_by_id(request.version, topic.topic_id))
                continue
            name = topic.name
            self.cluster.asked.append(name)
            code, count = self.cluster.topics.get(name, (0, 64))
            partitions = [
                Topic.MetadataResponsePartition(
                    version=request.version,
                    partition_index=index,
                    leader_id=0,
                    replica_nodes=[0],
                    isr_nodes=[0],
                )
                for index in range(count)
            ]
            found.append(Topic(version=request.version, error_code=code, name=name, partitions=partitions))
        return found if self.cluster.tells_of_topics else []

    def _topic_by_id(self, version: int, id: UUID) -> Any:
        self.cluster.asked_ids.append(id.bytes)
        name = self.cluster.names.get(id.bytes)
        code = 0 if name else 100
        Topic = MetadataResponse.MetadataResponseTopic
        return Topic(version=version, error_code=code, name=name, topic_id=id)

    def _list_offsets(self, request: Request) -> bytes:
        asked = ListOffsetsRequest.decode(request.frame, version=request.version, header=True, framed=True)
        topic = asked.topics[0].name
        partition = asked.topics[0].partitions[0].partition_index
        return list_offsets(request.version, topic, partition, self._next(topic, partition))

    def _next(self, topic: str, partition: int) -> int:
        return self.cluster.next_offsets.get((topic, partition), 0)

    def _produce(self, request: Request) -> bytes | None:
        answers = [self._append(*each) for each in request.batches()]
        if request.info.acks == 0:
            return None
        answer = ProduceResponse(answers, self.cluster.throttle_ms, self.cluster.endpoints)
        return answer.encode(request.version, request.correlation_id)[4:]

    def _append(self, topic: str, partition: int, records: bytes | None) -> PartitionAnswer:
        codes = self.cluster.codes.get((topic, partition))
        code = codes.popleft() if codes else 0
        if code:
            return PartitionAnswer(topic, partition, code, error_message=f"the broker says {code}")
        offset = self._next(topic, partition)
        if records is not None and len(records) > 61 and records[16] == 2:
            batch = read_batch(records)
            self.cluster.log.append((topic, partition, batch))
            self.cluster.next_offsets[topic, partition] = offset + len(batch.records)
        return PartitionAnswer(topic, partition, 0, offset, log_start_offset=0, **self.cluster.fields)


def api_versions(version: int, ranges: Sequence[tuple[int, int, int]]) -> bytes:
    """What follows the correlation id of an ApiVersions answer."""
    keys = [
        ApiVersionsResponse.ApiVersion(version=version, api_key=key, min_version=low, max_version=high)
        for key, low, high in ranges
    ]
    message = ApiVersionsResponse(version=version, error_code=0, api_keys=keys, throttle_time_ms=0)
    return bytes(message.encode(version=version))


def metadata(version: int, addresses: dict[int, tuple[str, int]], topics: Sequence[Any] = ()) -> bytes:
    """What follows the correlation id of a Metadata answer."""
    brokers = [
        MetadataResponse.MetadataResponseBroker(version=version, node_id=node, host=host, port=port)
        for node, (host, port) in addresses.items()
    ]
    message = MetadataResponse(version=version, brokers=brokers, controller_id=0, topics=list(topics))
    return _encoded(message, version, 9)


def coordinator(version: int, node: int, host: str, port: int) -> bytes:
    """What follows the correlation id of a FindCoordinator answer, up to version 3."""
    message = FindCoordinatorResponse(version=version, error_code=0, node_id=node, host=host, port=port)
    return _encoded(message, version, 3)


def list_offsets(version: int, topic: str, partition: int, offset: int) -> bytes:
    """What follows the correlation id of a ListOffsets answer."""
    Topic = ListOffsetsResponse.ListOffsetsTopicResponse
    found = Topic.ListOffsetsPartitionResponse(
        version=version, partition_index=partition, error_code=0, timestamp=-1, offset=offset
    )
    message = ListOffsetsResponse(
        version=version, topics=[Topic(version=version, name=topic, partitions=[found])]
    )
    return _encoded(message, version, 6)


def _encoded(message: Any, version: int, first_flexible: int) -> bytes:
    return (b"\0" if version >= first_flexible else b"") + bytes(message.encode(version=version))

"""Scripted brokers over in-memory connections, and a reactor that reaches them: what they do, tests choose.

They speak real frames, and keep a log as Kafka does: a repeated sequence of a producer is written once.
"""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from typing import Any
from uuid import UUID

import attrs
from kafka.protocol.consumer import FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse
from kafka.protocol.metadata import ApiVersionsResponse, MetadataRequest, MetadataResponse
from kafka.protocol.producer import InitProducerIdResponse
from twisted.internet.error import ConnectionRefusedError
from twisted.python.failure import Failure

from lfsproxy.broker.batches import sequence_after
from lfsproxy.settings import Address
from lfsproxy.wire.answers import PartitionAnswer, ProduceResponse
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.batch import parse_batch_header
from lfsproxy.wire.produce import PartitionStart, ProduceReader, RecordsBytes
from tests.relay.records import read_batch
from tests.relay.rig import Net
from tests.relay.wires import Wire

RANGES: dict[int, tuple[int, int]] = {
    KafkaApi.PRODUCE: (0, 13),
    KafkaApi.FETCH: (4, 18),
    KafkaApi.LIST_OFFSETS: (1, 11),
    KafkaApi.METADATA: (0, 13),
    KafkaApi.API_VERSIONS: (0, 4),
    KafkaApi.INIT_PRODUCER_ID: (0, 5),
}
Place = tuple[str, int]


@attrs.frozen
class Asked:
    """A request as a broker got it."""

    port: int
    api: int
    version: int
    correlation_id: int
    frame: bytes


@attrs.define(eq=False)
class Log:
    """A partition: the batches that were written, as they came, with their base offsets put in.

    ``stable``: the last stable offset, None is the end. ``aborted``: producer id and first offset of aborted
    transactions, which are told to whoever reads what is committed.
    """

    leader: int
    batches: list[bytes] = attrs.Factory(list)
    end: int = 0
    start: int = 0
    stable: int | None = None
    aborted: list[tuple[int, int]] = attrs.Factory(list)
    producers: dict[tuple[int, int], tuple[int, int, int]] = attrs.Factory(dict)

    @property
    def values(self) -> list[bytes | None]:
        return [each.value for batch in self.batches for each in read_batch(batch).records]

    def append(self, data: bytes) -> tuple[int, int]:
        """Error code and offset."""
        header = parse_batch_header(data)
        if header.producer_id >= 0:
            key = header.producer_id, header.producer_epoch
            if key in self.producers:
                base, count, offset = self.producers[key]
                if (header.base_sequence, header.count) == (base, count):
                    return 0, offset
                if header.base_sequence != sequence_after(base, count):
                    return 45, -1
            self.producers[key] = header.base_sequence, header.count, self.end
        offset = self.end
        self.batches.append(struct.pack(">q", offset) + data[8:])
        self.end += header.count
        return 0, offset


class Brokers:
    """The cluster. Ports in ``down`` refuse connections, those in ``hung`` take them and are silent.

    ``answers``: what becomes of the next requests of an API, one each; None of them is as usual.
    """

    reachable = True

    def __init__(self) -> None:
        self.nodes = {1: Address("10.0.0.1", 9091), 2: Address("10.0.0.2", 9092)}
        self.logs: dict[Place, Log] = {("demo", 0): Log(1), ("demo", 1): Log(2)}
        self.ranges: dict[int, tuple[int, int]] = dict(RANGES)
        self.down: set[int] = set()
        self.hung: set[int] = set()
        self.asked: list[Asked] = []
        self.ends: list[BrokerSide] = []
        self.answers: dict[int, deque[Act | None]] = {}
        self.topic_codes: dict[str, int] = {}
        self.topic_ids: dict[str, UUID] = {}
        self.internal: set[str] = set()
        self.created: list[str] = []
        self.creates = True
        self.throttle_ms = 0
        self.ids = 0

    def next(self, api: int, *acts: Act | None) -> None:
        """What becomes of the next requests of an API."""
        self.answers.setdefault(api, deque()).extend(acts)

    def count(self, api: int, port: int | None = None) -> int:
        """How often an API was asked."""
        return sum(1 for one in self.asked if one.api == api and port in (None, one.port))

    @property
    def open(self) -> list[BrokerSide]:
        return [end for end in self.ends if end.is_open]

    # Answers, as kafka-python writes them

    def answer(self, asked: Asked) -> bytes:
        """What follows the length field."""
        by_api: dict[int, Callable[[Asked], Any]] = {
            KafkaApi.API_VERSIONS: self._api_versions,
            KafkaApi.METADATA: self._metadata,
            KafkaApi.INIT_PRODUCER_ID: self._init_producer_id,
            KafkaApi.LIST_OFFSETS: self._list_offsets,
            KafkaApi.FETCH: self._fetch,
        }
        head = struct.pack(">i", asked.correlation_id)
        if asked.api == KafkaApi.PRODUCE:
            return self.produced(asked)
        message = by_api[asked.api](asked)
        flexible = message.flexible_version_q(asked.version) and asked.api != KafkaApi.API_VERSIONS
        return head + (b"\0" if flexible else b"") + bytes(message.encode(version=asked.version))

    def _api_versions(self, asked: Asked) -> Any:
        keys = [
            ApiVersionsResponse.ApiVersion(
                version=asked.version, api_key=int(key), min_version=low, max_version=high
            )
            for key, (low, high) in self.ranges.items()
        ]
        return ApiVersionsResponse(version=asked.version, error_code=0, api_keys=keys)

    def _metadata(self, asked: Asked) -> Any:
        request = MetadataRequest.decode(asked.frame, version=asked.version, header=True, framed=True)
        Broker, Topic = MetadataResponse.MetadataResponseBroker, MetadataResponse.MetadataResponseTopic
        topics = []
        everything = sorted({name for name, _ in self.logs if self.topic_codes.get(name) != 29})
        asked_for = everything if request.topics is None else [topic.name for topic in request.topics]
        for name in asked_for:
            if request.allow_auto_topic_creation and self.creates and not self._partitions(name):
                self.created.append(name)
                self.logs[name, 0] = Log(1)
            partitions = [
                Topic.MetadataResponsePartition(
                    version=asked.version, partition_index=index, leader_id=log.leader
                )
                for index, log in self._partitions(name)
            ]
            code = self.topic_codes.get(name, 0 if partitions else 3)
            topics.append(
                Topic(
                    version=asked.version,
                    error_code=code,
                    name=name,
                    topic_id=self.topic_ids.get(name, UUID(int=0)),
                    is_internal=name in self.internal,
                    partitions=[] if code else partitions,
                )
            )
        brokers = [
            Broker(version=asked.version, node_id=node, host=address.host, port=address.port)
            for node, address in self.nodes.items()
        ]
        return MetadataResponse(version=asked.version, brokers=brokers, controller_id=1, topics=topics)

    def _partitions(self, name: str) -> list[tuple[int, Log]]:
        return [(index, log) for (topic, index), log in self.logs.items() if topic == name]

    def _init_producer_id(self, asked: Asked) -> Any:
        self.ids += 1
        return InitProducerIdResponse(
            version=asked.version, error_code=0, producer_id=self.ids, producer_epoch=0
        )

    def _list_offsets(self, asked: Asked) -> Any:
        request = ListOffsetsRequest.decode(asked.frame, version=asked.version, header=True, framed=True)
        topic, partition = request.topics[0], request.topics[0].partitions[0]
        code, log = self._led(topic.name, partition.partition_index, asked.port)
        offset = -1 if code else self._offset(log, partition.timestamp, request.isolation_level)
        Topic = ListOffsetsResponse.ListOffsetsTopicResponse
        found = Topic.ListOffsetsPartitionResponse(
            version=asked.version,
            partition_index=partition.partition_index,
            error_code=code,
            timestamp=-1,
            offset=offset,
        )
        return ListOffsetsResponse(
            version=asked.version,
            topics=[Topic(version=asked.version, name=topic.name, partitions=[found])],
        )

    def _offset(self, log: Log, time: int, isolation: int) -> int:
        if time == -1:
            return log.end if not isolation or log.stable is None else log.stable
        if time == -2:
            return self._start(log)
        headers = map(parse_batch_header, log.batches)
        return next((one.base_offset for one in headers if one.max_timestamp >= time), -1)

    def _start(self, log: Log) -> int:
        if log.start or not log.batches:
            return log.start or log.end
        return parse_batch_header(log.batches[0]).base_offset

    def _fetch(self, asked: Asked) -> Any:
        request = FetchRequest.decode(asked.frame, version=asked.version, header=True, framed=True)
        topic, partition = request.topics[0], request.topics[0].partitions[0]
        code, log = self._led(topic.topic, partition.partition, asked.port)
        records = b""
        if not code and not self._start(log) <= partition.fetch_offset <= log.end:
            code = 1
        if not code:
            for batch in log.batches:
                header = parse_batch_header(batch)
                behind = header.base_offset + header.last_offset_delta >= partition.fetch_offset
                if request.isolation_level and log.stable is not None and header.base_offset >= log.stable:
                    break
                if behind and (not records or len(records) + len(batch) <= request.max_bytes):
                    records += batch
        Topic = FetchResponse.FetchableTopicResponse
        found = Topic.PartitionData(
            version=asked.version,
            partition_index=partition.partition,
            error_code=code,
            high_watermark=log.end,
            last_stable_offset=log.end if log.stable is None else log.stable,
            aborted_transactions=[
                Topic.PartitionData.AbortedTransaction(
                    version=asked.version, producer_id=producer_id, first_offset=first
                )
                for producer_id, first in (log.aborted if request.isolation_level else ())
            ],
            records=records,
        )
        return FetchResponse(
            version=asked.version,
            error_code=0,
            responses=[Topic(version=asked.version, topic=topic.topic, partitions=[found])],
        )

    def _led(self, topic: str, partition: int, port: int) -> tuple[int, Log]:
        log = self.logs.get((topic, partition), Log(-1))
        if log.leader == -1:
            return 3, log
        leader = self.nodes.get(log.leader)
        return (0 if leader is not None and leader.port == port else 6), log

    def batch_of(self, asked: Asked) -> tuple[str, int, bytes]:
        """Topic, partition and batch of a Produce request, which has one."""
        (length,) = struct.unpack_from(">h", asked.frame, 12)
        reader = ProduceReader(asked.version, len(asked.frame) - 14 - length)
        reader.feed(asked.frame[14 + length :])
        topic, partition, data = "", -1, b""
        while (event := reader.next_event()) is not None:
            if isinstance(event, PartitionStart):
                topic, partition = event.topic, event.partition
            elif isinstance(event, RecordsBytes):
                data += bytes(event.data)
        return topic, partition, data

    def append(self, asked: Asked) -> tuple[int, int]:
        """Write the batch of a Produce request; error code and offset."""
        topic, partition, data = self.batch_of(asked)
        code, log = self._led(topic, partition, asked.port)
        return (code, -1) if code else log.append(data)

    def produced(self, asked: Asked) -> bytes:
        """Write it, and the answer."""
        return self.produce_answer(asked, *self.append(asked))

    def produce_answer(self, asked: Asked, code: int, offset: int = -1, message: str | None = None) -> bytes:
        """A Produce answer."""
        topic, partition, _ = self.batch_of(asked)
        answer = PartitionAnswer(topic, partition, code, offset, error_message=message)
        response = ProduceResponse([answer], self.throttle_ms)
        return response.encode(asked.version, asked.correlation_id)[4:]


class BrokerSide:
    """The broker's end of one connection; a ``Peer`` of a wire."""

    def __init__(self, brokers: Brokers, port: int) -> None:
        self.brokers = brokers
        self.port = port
        self.is_open = True
        self._is_over = False
        self._data = bytearray()
        brokers.ends.append(self)

    def connected(self, wire: Wire) -> None:
        self.wire = wire

    def lost(self) -> None:
        self.is_open = False

    def hang_up(self) -> None:
        """Close the connection, and answer nothing more."""
        self._is_over = True
        self.wire.hang_up()

    def received(self, data: bytes) -> None:
        self._data += data
        while len(self._data) >= 4 and not self._is_over:
            (size,) = struct.unpack_from(">i", self._data)
            if len(self._data) < size + 4:
                return
            frame = bytes(self._data[: size + 4])
            del self._data[: size + 4]
            self._take(frame)

    def _take(self, frame: bytes) -> None:
        api, version, correlation_id = struct.unpack_from(">hhi", frame, 4)
        asked = Asked(self.port, api, version, correlation_id, frame)
        self.brokers.asked.append(asked)
        if self.port in self.brokers.hung:
            return
        acts = self.brokers.answers.get(api)
        act = acts.popleft() if acts else None
        if act is None:
            self.say(self.brokers.answer(asked))
        else:
            act(self, asked)

    def say(self, data: bytes) -> None:
        """Send an answer, which begins with the correlation id."""
        self.wire.arrive(struct.pack(">i", len(data)) + data)


Act = Callable[[BrokerSide, Asked], None]
"""What a broker does with a question instead of answering it: ``acts`` has some."""


class BrokerNet(Net):
    """A reactor whose connections are wires to ``brokers``; moves on only in ``flow``."""

    def __init__(self, brokers: Brokers) -> None:
        super().__init__(brokers)  # type: ignore[arg-type]  # another kind of cluster
        self.brokers = brokers

    def connect_late(self, host: str, port: int, factory: Any, connector: Any) -> None:
        if port in self.brokers.down:
            factory.clientConnectionFailed(connector, Failure(ConnectionRefusedError()))
            return
        wire = Wire(BrokerSide(self.brokers, port), port=50000, peer_port=port)
        self.wires.append(wire)
        wire.join(factory.buildProtocol(wire.getPeer()))

    def pass_seconds(self, seconds: float, step: float = 0.25) -> None:
        """Let time pass in small steps."""
        self.flow()
        while seconds > 0:
            self.advance(min(seconds, step))
            self.flow()
            seconds -= step

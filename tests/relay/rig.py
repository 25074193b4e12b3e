"""The whole relay over in-memory connections, and what must hold at the end of every test."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, cast

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.budget import MemoryBudget
from lfsproxy.claimcheck import ClaimCheck
from lfsproxy.net.listening import BoundPorts
from lfsproxy.readiness import KnownTrouble
from lfsproxy.relay.door import RelayService
from lfsproxy.settings import Address, Settings
from lfsproxy.testing import MemoryBlobStore, MemoryMetrics
from lfsproxy.testing.downloads import MemoryBlobSource
from lfsproxy.tracing.spans import NO_TRACER, Tracer
from lfsproxy.wire.answers import PartitionAnswer, ProduceResponse
from tests.relay.broker import BrokerEnd, Cluster
from tests.relay.records import TOPIC
from tests.relay.wires import Wire

KIB = 1024
PART = 256 * KIB
PASSTHROUGH = 256 * KIB
MEMORY = 2048 * KIB


class _Threads:
    """A thread pool that runs everything at once."""

    def callInThreadWithCallback(
        self, told: Callable[[bool, Any], None] | None, function: Callable[..., Any], *args: Any, **named: Any
    ) -> None:
        assert told is not None
        try:
            result = function(*args, **named)
        except Exception:
            told(False, Failure())
        else:
            told(True, result)


class Net(MemoryReactorClock):
    """A reactor whose connections are wires, to a scripted cluster; moves on only in ``flow``."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self.cluster = cluster
        self.wires: list[Wire] = []
        self.hanging: list[Any] = []
        self.answers_connects = True
        self._threads = _Threads()

    def getThreadPool(self) -> Any:
        return self._threads

    def callFromThread(self, function: Callable[..., Any], *args: Any, **named: Any) -> None:
        self.callLater(0, function, *args, **named)

    def connectTCP(
        self, host: Any, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> Any:
        connector = super().connectTCP(host, port, factory, timeout, bindAddress)
        if self.answers_connects:
            self.callLater(0, self.connect_late, host, port, factory, connector)
        return connector

    def connect_late(self, host: str, port: int, factory: Any, connector: Any) -> None:
        if not self.cluster.reachable or port in self.cluster.down:
            factory.clientConnectionFailed(connector, Failure(ConnectionRefusedError()))
            return
        wire = Wire(BrokerEnd(self.cluster, host, port), port=50000, peer_port=port)
        self.wires.append(wire)
        wire.join(factory.buildProtocol(wire.getPeer()))

    def factory_at(self, port: int) -> Any:
        """What listens at a port."""
        return next(factory for number, factory, *_ in self.tcpServers if number == port)

    def flow(self) -> None:
        """Move everything on until nothing is left to do now."""
        moved = True
        while moved:
            moved = False
            for wire in list(self.wires):
                while wire.deliver():
                    moved = True
            due = [call for call in self.getDelayedCalls() if call.getTime() <= self.seconds()]
            if due:
                moved = True
                self.advance(0)


@attrs.frozen
class Reply:
    """An answer as the client got it; ``body`` follows the correlation id."""

    correlation_id: int
    body: bytes


class Client:
    """The client's end of one connection; a ``Peer`` of a wire."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.data = bytearray()
        self.is_open = True
        self.has_ended = False
        self.hangs_up_at_the_end = True

    def connected(self, wire: Wire) -> None:
        self.wire = wire
        wire.on_ended = self.ended

    def received(self, data: bytes) -> None:
        self.data += data

    def ended(self) -> None:
        """The relay has ended its side."""
        self.has_ended = True
        if self.hangs_up_at_the_end:
            self.wire.hang_up()

    def lost(self) -> None:
        self.is_open = False

    def send(self, *frames: bytes) -> None:
        """Send and let everything happen that follows."""
        for frame in frames:
            self.wire.arrive(frame)
        self.net.flow()

    def hang_up(self) -> None:
        """Close the connection."""
        self.wire.hang_up()
        self.net.flow()

    @property
    def replies(self) -> list[Reply]:
        """Every answer that came whole. Fails where there is more that is none."""
        found = []
        position = 0
        while position < len(self.data):
            size, correlation_id = struct.unpack_from(">ii", self.data, position)
            end = position + 4 + size
            assert end <= len(self.data), "an answer that is not whole"
            found.append(Reply(correlation_id, bytes(self.data[position + 8 : end])))
            position = end
        return found

    @property
    def order(self) -> list[int]:
        """The correlation ids of the answers that came."""
        return [reply.correlation_id for reply in self.replies]

    def verdicts(self, correlation_id: int, version: int = 9) -> list[PartitionAnswer]:
        """The partitions of a Produce answer."""
        return list(self.produced(correlation_id, version).partitions)

    def produced(self, correlation_id: int, version: int = 9) -> ProduceResponse:
        """A Produce answer."""
        (body,) = [reply.body for reply in self.replies if reply.correlation_id == correlation_id]
        return ProduceResponse.decode(version, body)

    def code(self, correlation_id: int, version: int = 9) -> int:
        """The error code of a Produce answer about one partition."""
        (verdict,) = self.verdicts(correlation_id, version)
        return verdict.error_code


class RelayTestCase(SynchronousTestCase):
    """A started relay. ``overrides``: settings that are not those of a small relay. ``keeps_log``: for
    ``lines``.

    At the end of every test, whatever it did, nothing may be left: no memory, no upload, no connection,
    no delayed call. Blobs may: tests say which.
    """

    overrides: dict[str, Any] = {}
    tracer: Tracer = NO_TRACER
    store_type = MemoryBlobStore
    client_type = Client
    keeps_log = True

    def setUp(self) -> None:
        settings: dict[str, Any] = {
            "s3_part_size": PART,
            "max_passthrough_size": PASSTHROUGH,
            "upload_memory": MEMORY,
            "kafka_brokers": (Address("10.0.0.1", 9092),),
            **self.overrides,
        }
        self.cluster = Cluster()
        self.prepare()
        self.net = Net(self.cluster)
        self.settings = Settings(**settings)
        self.metrics = MemoryMetrics()
        self.store = self.store_type(part_size=self.settings.s3_part_size)
        self.source = MemoryBlobSource(self.store)
        self.budget = MemoryBudget(
            self.net, self.settings.upload_memory, self.settings.s3_part_size, self.settings.stall_timeout
        )
        claims = ClaimCheck(
            self.store,
            self.metrics,
            cast(Any, self.net),
            default_algorithm=self.settings.checksum_algo,
            max_size=self.settings.max_upload_size,
            tracer=self.tracer,
        )
        self.events: list[LogEvent] = []
        observe = cast(ILogObserver, self._observe)
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        self.trouble = KnownTrouble()
        listener = BoundPorts(cast(Any, self.net))
        self.relay = RelayService(
            self.net,
            self.settings,
            claims,
            self.source,
            self.budget,
            self.metrics,
            listener,
            self.trouble,
            random=lambda: 0.5,
        )
        self.relay.open()
        self.relay.startService()
        self.clients: list[Client] = []
        self._stopped: Deferred[None] | None = None
        self.net.flow()
        for address in self.relay.bootstrap.targets():
            # Each would be asked something before the first client is connected to it.
            self.relay.bootstrap.answered(address)
        self.addCleanup(self.check_nothing_is_left)

    def _observe(self, event: LogEvent) -> None:
        if self.keeps_log:
            self.events.append(event)

    def prepare(self) -> None:
        """Script the cluster before the relay asks it anything."""

    # What tests do

    def client(self, port: int = 19092) -> Client:
        """A new client, connected to the bootstrap port or to a broker's."""
        client = self.client_type(self.net)
        wire = Wire(client, port=port, peer_port=40000 + len(self.clients))
        self.clients.append(client)
        self.net.wires.append(wire)
        wire.join(self.net.factory_at(port).buildProtocol(wire.getPeer()))
        self.net.flow()
        return client

    @property
    def broker(self) -> BrokerEnd:
        """The broker's end of the client connection that was made last."""
        return self.cluster.connections[-1]

    def know_topic(self, topic: str = TOPIC) -> None:
        """Every connection has asked its broker about the topic."""
        for session in self.relay.sessions:
            session.producing.topics.learn(topic, 64)

    def pass_seconds(self, seconds: float) -> None:
        """Let time pass in steps of a second."""
        while seconds > 0:
            self.net.advance(min(seconds, 1.0))
            self.net.flow()
            seconds -= 1.0

    def answer(self, count: int = 1) -> None:
        """Let the broker answer requests that are held."""
        self.broker.answer(count)
        self.net.flow()

    def let_go(self, call: str) -> None:
        """Let the store get done what it holds."""
        self.store.let_go(call)
        self.net.flow()

    def stop(self) -> Deferred[None]:
        """Stop the service."""
        self._stopped = Deferred.fromCoroutine(self.relay.stopService())
        self.net.flow()
        return self._stopped

    # What tests ask

    def lines(self, *levels: LogLevel) -> list[str]:
        """The log's lines, of warnings and errors unless told."""
        wanted = levels or (LogLevel.warn, LogLevel.error, LogLevel.critical)
        return [formatEvent(event) for event in self.events if event.get("log_level") in wanted]

    @property
    def blobs(self) -> list[bytes]:
        """The contents of the blobs in the store."""
        return [blob.data for blob in self.store.blobs.values()]

    def assert_published(self, *values: bytes, topic: str = "demo-topic", partition: int = 0) -> None:
        """These values, and no others, are behind the partition's envelopes, in this order."""
        batches = self.cluster.records(topic, partition)
        keys = [envelope.s3_key for batch in batches for envelope in batch.envelopes]
        self.assertEqual([self.store.blobs[key].data for key in keys], list(values))

    def assert_nothing_published(self) -> None:
        """The broker got no batch, and the store is empty."""
        self.assertEqual([request.batches() for request in self.cluster.produced], [])
        self.assertEqual(self.blobs, [])

    def check_nothing_is_left(self) -> None:
        """Let everybody go, then look for leaks."""
        for call in ("write", "seal", "commit", "delete"):
            self.store.let_go(call)
        for call in ("open", "read", "crc32c"):
            self.source.let_go(call)
        self.net.flow()
        for client in self.clients:
            client.wire.peer_reads = True
            client.hang_up()
        self.cluster.held = self.cluster.silent = False
        for connection in self.cluster.connections:
            connection.wire.peer_reads = True
            connection.answer_all()
        self.net.flow()
        if self._stopped is None:
            self.assertEqual(len(self.relay.sessions), 0, "a session goes on although all clients are gone")
            self.stop()
        self.successResultOf(cast(Deferred[None], self._stopped))
        self.assertEqual((self.budget.used, self.budget.waiting), (0, 0), "upload memory is not given back")
        self.assertEqual((self.store.open_uploads, self.store.held_bytes), (0, 0), "an upload is left open")
        self.assertEqual(self.source.open_downloads, 0, "a download is left open")
        self.assertEqual([wire for wire in self.net.wires if wire.open], [], "a connection is left open")
        self.assertEqual(self.net.getDelayedCalls(), [], "a delayed call is left")
        gauge = [change for (change,) in self.metrics.of("kafka_connection")]
        self.assertEqual(sum(cast(list[int], gauge)), 0, "the gauge of connections is wrong")

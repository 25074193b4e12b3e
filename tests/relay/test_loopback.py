"""The relay over real sockets: what only the system knows, and what only Twisted's own transports do."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any, cast

from twisted.internet import reactor as the_reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from lfsproxy.budget import MemoryBudget
from lfsproxy.claimcheck import ClaimCheck
from lfsproxy.net.listening import BoundPorts
from lfsproxy.relay.door import RelayService
from lfsproxy.settings import Address, Settings
from lfsproxy.testing import MemoryBlobStore, MemoryMetrics
from lfsproxy.testing.downloads import MemoryBlobSource
from lfsproxy.wire.apis import KafkaApi
from tests.relay.broker import BrokerEnd, Cluster
from tests.relay.records import batch, lfs, produce, record, request
from tests.relay.rig import KIB, MEMORY, PART, PASSTHROUGH, Client

reactor: Any = the_reactor


class _End(Protocol):
    """Joins a scripted peer to a real connection; stands in for its wire."""

    def __init__(self, peer: Any) -> None:
        self.peer = peer

    def connectionMade(self) -> None:
        self.peer.connected(self)

    def dataReceived(self, data: bytes) -> None:
        self.peer.received(data)

    def connectionLost(self, reason: Any = None) -> None:
        self.peer.lost()

    def arrive(self, data: bytes) -> None:
        """The peer sends bytes."""
        self.real.write(data)

    def hang_up(self) -> None:
        """The peer closes the connection."""
        self.real.loseConnection()

    @property
    def real(self) -> Any:
        return self.transport


class LoopbackTests(TestCase):
    def setUp(self) -> Any:
        self.cluster = Cluster()
        brokers = Factory.forProtocol(lambda: _End(BrokerEnd(self.cluster, "127.0.0.1", 0)))
        listening = reactor.listenTCP(0, brokers, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        address = Address("127.0.0.1", listening.getHost().port)
        self.cluster.addresses = {0: ("127.0.0.1", address.port)}
        with socket.create_server(("127.0.0.1", 0)) as free:
            base = free.getsockname()[1]
        settings = Settings(
            s3_part_size=PART,
            max_passthrough_size=PASSTHROUGH,
            upload_memory=MEMORY,
            kafka_addr=Address("127.0.0.1", 0),
            kafka_broker_port_base=base,
            kafka_brokers=(address,),
        )
        self.store = MemoryBlobStore(part_size=PART)
        metrics = MemoryMetrics()
        self.budget = MemoryBudget(reactor, MEMORY, PART, 30.0)
        claims = ClaimCheck(self.store, metrics, reactor)
        self.relay = RelayService(
            reactor, settings, claims, MemoryBlobSource(self.store), self.budget, metrics, BoundPorts(reactor)
        )
        self.relay.open()
        self.relay.startService()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.relay.stopService()))

    async def client(self) -> Client:
        client = Client(reactor)
        factory = ClientFactory.forProtocol(lambda: _End(client))
        reactor.connectTCP("127.0.0.1", self.relay.bootstrap_port, factory)
        await self.until(lambda: hasattr(client, "wire") and any(self.clients_of_brokers()))
        return client

    def clients_of_brokers(self) -> list[BrokerEnd]:
        return [each for each in self.cluster.connections if each.is_open]

    async def until(self, reached: Callable[[], bool]) -> None:
        """Let the reactor turn until something is so; the test's timeout ends what never is."""
        while not reached():
            turn: Deferred[None] = Deferred()
            reactor.callLater(0.002, turn.callback, None)
            await turn

    def run_test(self, steps: Coroutine[Any, Any, None]) -> Deferred[None]:
        return Deferred.fromCoroutine(steps).addTimeout(20, reactor)

    def test_requests_and_answers_of_every_size(self) -> Deferred[None]:
        async def steps() -> None:
            client = await self.client()
            large = request(KafkaApi.FETCH, 12, 2, b"x" * 3000 * KIB)
            client.wire.arrive(produce(1, batch(lfs(b"blob"))) + large + request(KafkaApi.FETCH, 12, 3))
            await self.until(lambda: len(client.data) > 3000 * KIB and client.order == [1, 2, 3])
            self.assertEqual([blob.data for blob in self.store.blobs.values()], [b"blob"])
            self.assertIn(large, [each.frame for each in self.cluster.requests])

        return self.run_test(steps())

    def test_a_broker_that_reads_late_is_given_what_is_held_and_nothing_is_copied_for_it(
        self,
    ) -> Deferred[None]:
        async def steps() -> None:
            client = await self.client()
            brokers = self.clients_of_brokers()
            for broker in brokers:
                cast(Any, broker.wire).real.pauseProducing()
            frames = [produce(each, batch(record(os.urandom(200 * KIB)))) for each in range(1, 61)]
            for frame in frames:
                client.wire.arrive(frame)
            await self.until(lambda: self.budget.waiting > 0)
            (session,) = self.relay.sessions
            to_broker = cast(Any, session._broker).transport
            self.assertFalse(cast(Any, session._broker).is_drained)
            self.assertEqual((to_broker.dataBuffer, to_broker._tempDataLen), (b"", 0))
            for broker in brokers:
                cast(Any, broker.wire).real.resumeProducing()
            await self.until(lambda: len(client.order) == 60)
            self.assertEqual(client.order, list(range(1, 61)))
            self.assertEqual([each.frame for each in self.cluster.produced], frames)
            self.assertEqual(self.budget.used, 0)

        return self.run_test(steps())

    def test_a_hang_up_while_paused_is_noticed(self) -> Deferred[None]:
        async def steps() -> None:
            self.store.hold("seal")
            client = await self.client()
            client.wire.arrive(
                produce(1, batch(lfs(bytes(200 * KIB))))
                + request(KafkaApi.JOIN_GROUP, 9, 2, bytes(400 * KIB))
            )
            await self.until(lambda: any(each.is_paused for each in self.relay.sessions))
            client.wire.hang_up()
            await self.until(lambda: not self.relay.sessions)
            self.assertEqual((self.budget.used, self.store.open_uploads), (0, 0))
            self.assertEqual(self.cluster.produced, [])

        return self.run_test(steps())

    def test_a_client_that_sends_on_and_reads_late_gets_every_answer_of_a_drain(
        self,
    ) -> Deferred[None]:
        ended = threading.Event()

        def talk(client: socket.socket) -> bytes:
            with client:
                # The second one comes too late. A close with that unread would reset the connection, and what
                # the client has not taken yet would be gone.
                client.sendall(request(KafkaApi.FETCH, 12, 2, bytes(100 * KIB)))
                client.sendall(request(KafkaApi.FETCH, 12, 3, bytes(600 * KIB)))
                ended.wait(10)
                return b"".join(iter(lambda: client.recv(65536), b""))

        async def steps() -> None:
            self.store.hold("seal")
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * KIB)
            client.connect(("127.0.0.1", self.relay.bootstrap_port))
            client.settimeout(10)
            client.sendall(produce(1, batch(lfs(b"blob"))))
            await self.until(lambda: self.store.open_uploads == 1)
            talking = deferToThread(talk, client)
            await self.until(lambda: self.relay.sessions[0].is_paused)
            drained = self.relay.drain()
            self.store.let_go("seal")
            await self.until(lambda: not any(self.clients_of_brokers()))
            turns = iter(range(20))
            await self.until(lambda: next(turns, None) is None)
            ended.set()
            came = await talking
            await drained
            answers = Client(reactor)
            answers.data = bytearray(came)
            self.assertEqual(answers.order, [1, 2])
            self.assertGreater(len(answers.replies[1].body), 100 * KIB)

        return self.run_test(steps())

    def test_a_stop_with_a_client_and_a_broker_that_do_not_read(self) -> Deferred[None]:
        async def steps() -> None:
            client = await self.client()
            cast(Any, client.wire).real.pauseProducing()
            for _ in range(40):
                client.wire.arrive(request(KafkaApi.FETCH, 12, 2, bytes(500 * KIB)))
            await self.until(lambda: len(self.cluster.requests) > 3)
            for broker in self.clients_of_brokers():
                cast(Any, broker.wire).real.pauseProducing()
            await self.relay.stopService()
            self.assertEqual(len(self.relay.sessions), 0)
            cast(Any, client.wire).real.abortConnection()
            for broker in self.clients_of_brokers():
                cast(Any, broker.wire).real.abortConnection()
            await self.until(lambda: not client.is_open and not self.clients_of_brokers())

        return self.run_test(steps())

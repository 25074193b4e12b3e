"""A cluster of three nodes behind the proxy: addresses, ports, clients that go on while nodes come and go."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, cast

import psutil
from kafka.protocol.admin import DescribeClusterRequest, DescribeClusterResponse
from kafka.protocol.metadata import (
    FindCoordinatorRequest,
    FindCoordinatorResponse,
    MetadataRequest,
    MetadataResponse,
)
from kafka.protocol.producer import ProduceRequest, ProduceResponse
from twisted.internet import reactor as twisted_reactor
from twisted.internet.defer import gatherResults
from twisted.protocols.portforward import ProxyFactory
from twisted.trial.unittest import SkipTest, TestCase

from lfsproxy.devstack.ports import HOST, free_port, free_ports, is_free
from tests.integration.clients import java
from tests.integration.clients.python import kafka_python, librdkafka
from tests.integration.clients.records import Mode, Record
from tests.integration.cluster import (
    ClusterStack,
    ask,
    brokers,
    cluster,
    cluster_proxy,
    lead,
    leaders,
    node_ports,
    ports_connected_to,
)
from tests.integration.proxy import ProxyProcess
from tests.integration.stack import in_thread
from tests.integration.traffic import Traffic, check_log
from tests.relay.records import batch, lfs, record

STEP = 25
"""Records that each producer sends between one event and the next."""
JAVA_RECORDS = 1200
OTHER_HOST = "127.0.0.2"
LAST_PORT = 65535
reactor = cast(Any, twisted_reactor)


class AddressTests(TestCase):
    """Every address in an answer is the proxy's own, and nothing else differs from the broker's answer."""

    timeout = 120
    servers: ClusterStack
    proxy: ProxyProcess
    ports: dict[int, int]

    async def setUp(self) -> None:  # type: ignore[override]
        self.servers = await cluster()
        self.proxy = await cluster_proxy()
        self.ports = {number: node_ports(self.proxy) + number for number in self.servers.nodes}

    async def both(self, request: Callable[[], Any], version: int, Response: Any) -> tuple[Any, Any]:
        """The answer of node 1, and the proxy's at node 1's port."""
        direct = await in_thread(ask, self.servers.kafka.port, request(), version, Response)
        proxied = await in_thread(ask, self.ports[1], request(), version, Response)
        return direct, proxied

    def check(self, found: list[Any], direct: Any, proxied: Any, id_name: str = "node_id") -> None:
        """``found`` is what names addresses in ``proxied``, which else equals ``direct``."""
        self.assertTrue(found)
        for each in found:
            node = getattr(each, id_name)
            self.assertEqual((each.host, each.port), (HOST, self.ports[node]))
            each.port = self.servers.nodes[node].port
        self.assertEqual(proxied.to_dict(), direct.to_dict())

    async def test_metadata(self) -> None:
        topic = await self.servers.new_topic("addresses", partitions=3)
        for version in range(14):
            direct, proxied = await self.both(
                lambda: MetadataRequest(topics=[MetadataRequest.MetadataRequestTopic(name=topic)]),
                version,
                MetadataResponse,
            )
            self.assertEqual({each.node_id for each in proxied.brokers}, set(self.servers.nodes))
            # Any node may be named for it.
            proxied.controller_id = direct.controller_id
            self.check(proxied.brokers, direct, proxied)

    async def test_find_coordinator(self) -> None:
        group = "some-group"

        def request() -> Any:
            return FindCoordinatorRequest(key=group, key_type=0, coordinator_keys=[group])

        def known() -> bool:
            return bool(ask(self.ports[1], request(), 0, FindCoordinatorResponse).error_code == 0)

        while not await in_thread(known):
            pass
        for version in range(7):
            direct, proxied = await self.both(request, version, FindCoordinatorResponse)
            self.check(proxied.coordinators if version >= 4 else [proxied], direct, proxied)

    async def test_describe_cluster(self) -> None:
        for version in range(3):
            direct, proxied = await self.both(DescribeClusterRequest, version, DescribeClusterResponse)
            proxied.controller_id = direct.controller_id
            self.check(proxied.brokers, direct, proxied, "broker_id")

    async def test_produce_to_a_node_that_does_not_lead(self) -> None:
        topic = await self.servers.new_topic("addresses", partitions=3)
        led = await in_thread(leaders, self.servers.kafka.port, topic)
        others = [partition for partition, leader in led.items() if leader != 1]
        Topic = ProduceRequest.TopicProduceData
        for version in (10, 11, 12):
            for one in (record(b"plain"), lfs(b"to S3")):

                def request(one: Any = one) -> Any:
                    data = [
                        Topic.PartitionProduceData(index=partition, records=batch(one))
                        for partition in others
                    ]
                    return ProduceRequest(
                        acks=-1, timeout_ms=1000, topic_data=[Topic(name=topic, partition_data=data)]
                    )

                direct, proxied = await self.both(request, version, ProduceResponse)
                self.check(proxied.node_endpoints, direct, proxied)


class MovingTests(TestCase):
    """Nothing that was acknowledged is lost, and every client goes on, whatever nodes do."""

    timeout = 240
    servers: ClusterStack
    proxy: ProxyProcess
    traffic: Traffic
    topic: str

    async def test_clients_go_on_while_leaders_and_nodes_move(self) -> None:
        self.servers = await cluster()
        self.proxy = await cluster_proxy()
        self.topic = await self.servers.new_topic("moving", partitions=6)
        java_topic = await self.servers.new_topic("moving-java", partitions=3)
        java_producer = in_thread(self.produce_by_java, java_topic)
        self.traffic = Traffic(self.proxy.bootstrap, self.topic)
        self.addCleanup(self.traffic.stop)
        await self.goes_on("at the start")
        await self.move_leaders()
        await self.stop_a_node()
        await self.kill_a_node_and_start_it_elsewhere()
        await self.add_a_node()
        await self.traffic.end()
        self.assertEqual(self.traffic.errors(), [])
        nodes = self.servers.nodes.values()
        await in_thread(check_log, self.servers, self.topic, self.traffic.acknowledged, nodes)
        await java_producer
        await in_thread(self.check_java, java_topic)

    async def goes_on(self, when: str) -> None:
        """Every client goes on, connected to the proxy alone."""
        await self.traffic.goes_on(STEP)
        self.assertEqual(self.traffic.errors(), [], when)
        self.assertEqual(await in_thread(self.direct_connections), {}, when)

    def direct_connections(self) -> dict[str, set[int]]:
        """The processes with clients that are connected to a node itself, and to which ports."""
        nodes = {node.port for node in self.servers.nodes.values()}
        servers = {node.pid for node in self.servers.nodes.values() if node.running} | {self.proxy.pid}
        tests = psutil.Process(os.getpid())
        clients = [tests, *(each for each in tests.children(recursive=True) if each.pid not in servers)]
        found = {str(each): ports_connected_to(each) & nodes for each in clients}
        return {name: ports for name, ports in found.items() if ports}

    async def move_leaders(self) -> None:
        await self.lead({0, 1, 2}, [3, 1, 2])
        await self.goes_on("after leaders were elected")

    async def lead(self, partitions: set[int], nodes: list[int]) -> None:
        await in_thread(lead, self.proxy.kafka_port, self.topic, partitions, nodes)

    async def stop_a_node(self) -> None:
        node = self.servers.nodes[3]
        await in_thread(node.stop)
        await self.goes_on("while a node is away")
        await in_thread(node.start)
        await self.goes_on("when it is back")

    async def kill_a_node_and_start_it_elsewhere(self) -> None:
        node = self.servers.nodes[2]
        await in_thread(node.kill)
        node.port = free_port()
        await in_thread(node.start)
        await self.lead(set(range(6)), [2, 3, 1])
        await self.goes_on("when a node is at another port")
        self.assertIn(f"broker 2 has moved to {node.bootstrap}", self.proxy.log)

    async def add_a_node(self) -> None:
        node = self.servers.new_node(4)
        self.addCleanup(in_thread, self.servers.remove, node)
        await in_thread(node.start)
        self.servers.nodes[4] = node
        self.addCleanup(self.servers.nodes.pop, 4)
        await self.lead(set(range(6)), [4, 1, 3])
        await self.goes_on("when a new node leads")

    def produce_by_java(self, topic: str) -> str:
        return java.tool(
            self.proxy.bootstrap,
            "kafka-producer-perf-test",
            *("--topic", topic, "--num-records", str(JAVA_RECORDS), "--record-size", "100"),
            *("--throughput", "60", "--producer-props", "acks=all", "client.id=java"),
            timeout=120,
        )

    def check_java(self, topic: str) -> None:
        """By a Java consumer in a group of the newer kind, whose coordinator is a broker."""
        output = java.tool(
            self.proxy.bootstrap,
            "kafka-console-consumer",
            *("--topic", topic, "--group", f"{topic}-java", "--from-beginning", "--timeout-ms", "10000"),
            *("--command-property", "group.protocol=consumer"),
        )
        self.assertEqual(len(output.splitlines()), JAVA_RECORDS)


class Balancer:
    """A load balancer: ``count`` ports from ``first`` on, for replicas that listen from ``behind`` on."""

    def __init__(self, test: TestCase, first: int, behind: int, count: int) -> None:
        self._factories = [ProxyFactory(HOST, behind + index) for index in range(count)]
        for index, factory in enumerate(self._factories):
            factory.noisy = False
            port: Any = reactor.listenTCP(first + index, factory, interface=HOST)
            test.addCleanup(port.stopListening)

    def switch(self, host: str) -> None:
        """Lead new connections to the replica at ``host``."""
        for factory in self._factories:
            factory.host = host


class ReplicaTests(TestCase):
    """Replicas behind one advertised host, and what each node's port is."""

    timeout = 180

    async def setUp(self) -> None:  # type: ignore[override]
        self.servers = await cluster()

    async def test_a_replica_just_started_serves_clients_of_another_one(self) -> None:
        ports, front = free_ports(10, (HOST, OTHER_HOST)), free_ports(10)
        replicas = {host: self.replica(host, ports, front) for host in (HOST, OTHER_HOST)}
        await gatherResults([in_thread(replica.start) for replica in replicas.values()])
        balancer = Balancer(self, front, ports, 10)
        topic = await self.servers.new_topic("replicas", partitions=6)
        traffic = Traffic(f"localhost:{front}", topic)
        self.addCleanup(traffic.stop)
        await traffic.goes_on(STEP)
        for before, after, end in (
            (HOST, OTHER_HOST, replicas[HOST].kill),
            (OTHER_HOST, HOST, replicas[OTHER_HOST].stop),
        ):
            if replicas[after].running:
                await in_thread(replicas[after].stop)
            await in_thread(replicas[after].start)
            await in_thread(self.check_ports, after, ports, front)
            balancer.switch(after)
            await in_thread(end)
            self.assertFalse(replicas[before].running)
            await traffic.goes_on(STEP)
            self.assertEqual(traffic.errors(), [])
        await traffic.end()
        self.assertEqual(traffic.errors(), [])
        nodes = self.servers.nodes.values()
        await in_thread(check_log, self.servers, topic, traffic.acknowledged, nodes)

    def replica(self, host: str, ports: int, front: int) -> ProxyProcess:
        """A proxy that is told of a balancer which has the bootstrap at ``front`` and the nodes after it."""
        proxy = ProxyProcess(
            {
                **self.servers.environment,
                "LFS_KAFKA_ADDR": f"{host}:{ports}",
                "LFS_KAFKA_BROKER_PORT_BASE": "",
                "LFS_KAFKA_ADVERTISED_HOST": "localhost",
                "LFS_KAFKA_ADVERTISED_PORT_BASE": str(front + 1),
            }
        )
        self.addCleanup(in_thread, proxy.close)
        return proxy

    def check_ports(self, host: str, ports: int, front: int) -> None:
        """Each node's port is open on a replica that nobody has asked anything, and leads to that node."""
        for node in self.servers.nodes:
            told = {number: ("localhost", front + 1 + number) for number in self.servers.nodes}
            self.assertEqual(brokers(ports + 1 + node, host), told)

    async def test_a_node_that_fits_no_port_is_told_in_one_line(self) -> None:
        base = LAST_PORT - 2
        if not all(is_free(base + node) for node in (1, 2)):
            raise SkipTest("the last two ports are in use")
        proxy = ProxyProcess({**self.servers.environment, "LFS_KAFKA_BROKER_PORT_BASE": str(base)})
        self.addCleanup(in_thread, proxy.close)
        await in_thread(proxy.start, until=lambda: "broker 3" in proxy.log)
        (problem,) = [each for each in (await in_thread(proxy.readiness))["problems"] if "broker 3" in each]
        self.assertIn("LFS_KAFKA_BROKER_PORT_BASE", problem)
        told = await in_thread(brokers, proxy.kafka_port)
        self.assertEqual(
            {number: port for number, (_, port) in told.items()}, {1: base + 1, 2: base + 2, 3: 0}
        )
        topic = await self.servers.new_topic("last-ports", partitions=3)
        led = await in_thread(leaders, proxy.kafka_port, topic)
        reached = [partition for partition, leader in led.items() if leader != 3]
        for produce in (librdkafka, kafka_python):
            sent = [Record(b"value", partition=partition) for partition in reached]
            outcomes = await in_thread(produce, proxy.bootstrap, topic, sent, Mode())
            self.assertEqual([outcome.error for outcome in outcomes], ["", ""])
        lines = [line for line in proxy.log.splitlines() if "broker 3" in line and "BrokerDirectory" in line]
        self.assertEqual(len(lines), 1, lines)

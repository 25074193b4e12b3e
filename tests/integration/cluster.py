"""A real Kafka cluster of three nodes for a whole trial run, and a proxy in front of it.

    servers = await cluster()                       # a Stack whose kafka is node 1; .nodes are all three
    proxy = await cluster_proxy()                   # in front of it; serves node N at node_ports(proxy) + N

Topics have three replicas and need two (``min.insync.replicas``). Node 1 is the controller as well, so that
tests stop or move the others only, and leave every node running.
"""

from __future__ import annotations

import itertools
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import psutil
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.protocol.metadata import MetadataRequest, MetadataResponse
from twisted.internet import reactor
from twisted.internet.defer import gatherResults

from lfsproxy.devstack import KafkaServer
from lfsproxy.devstack.ports import HOST, free_ports
from tests.integration.proxy import ProxyProcess
from tests.integration.stack import Stack, in_thread, stack

CONFIG = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    # A node that was killed is missed soon.
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",
    # Groups come together and move on within seconds.
    "group.consumer.heartbeat.interval.ms": "500",
    "group.consumer.min.heartbeat.interval.ms": "500",
    "group.min.session.timeout.ms": "1000",
    "group.share.heartbeat.interval.ms": "500",
    "group.share.min.heartbeat.interval.ms": "500",
    # What a share consumer does not acknowledge is soon another one's.
    "group.share.min.record.lock.duration.ms": "1000",
    # What lets a node live in a small heap.
    "log.cleaner.dedupe.buffer.size": "2097152",
    "background.threads": "2",
    "num.io.threads": "4",
    "num.network.threads": "2",
}
HEAP = "192m"
SECONDS = 30
PREFERRED = 0
"""The election of the first replica."""
POLL = 0.05
"""Seconds between two looks at a partition that moves."""

_numbers = itertools.count(1)
_shared: ClusterStack | None = None
_proxy: ProxyProcess | None = None


@attrs.frozen
class ClusterStack(Stack):
    """A Stack whose Kafka has more than one node. ``kafka`` is the first of ``nodes``."""

    nodes: dict[int, KafkaServer]

    async def new_topic(
        self, prefix: str = "topic", *, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> str:
        """Create a topic with three replicas, and return its name when every node knows it."""
        name = f"{prefix}-{next(_numbers)}"

        def create() -> None:
            self.kafka.create_topic(name, partitions=partitions, replication=3, config=config)
            for node in self.nodes.values():
                while len([led for led in leaders(node.port, name).values() if led > 0]) < partitions:
                    pass

        await in_thread(create)
        return name

    def new_node(self, node_id: int) -> KafkaServer:
        """A further node, which is not started."""
        return KafkaServer(node_id=node_id, joins=self.kafka, config=CONFIG, heap=HEAP)

    def remove(self, node: KafkaServer) -> None:
        """End a node that is none of the three, and return when all of them know."""
        node.stop()
        node.close()
        for other in self.nodes.values():
            while node.node_id in brokers(other.port):
                pass


async def cluster() -> ClusterStack:
    """The shared cluster, started now if this is the first call of the run."""
    global _shared
    if _shared is None:
        alone = await stack()
        first = KafkaServer(node_id=1, config=CONFIG, heap=HEAP)
        made = ClusterStack(first, alone.s3, alone.bucket, {1: first})
        made.nodes.update({number: made.new_node(number) for number in (2, 3)})

        def close() -> None:
            for node in made.nodes.values():
                node.close()

        reactor.addSystemEventTrigger("after", "shutdown", close)
        await gatherResults([in_thread(node.start) for node in made.nodes.values()], consumeErrors=True)
        _shared = made
    return _shared


async def cluster_proxy() -> ProxyProcess:
    """The proxy in front of ``cluster()``, with a port for each of the nodes 0 to 9; not to be stopped."""
    global _proxy
    if _proxy is None:
        servers = await cluster()
        base = {"LFS_KAFKA_BROKER_PORT_BASE": str(free_ports(10))}
        proxy = ProxyProcess({**servers.environment, **base})
        reactor.addSystemEventTrigger("before", "shutdown", proxy.close)
        await in_thread(proxy.start)
        _proxy = proxy
    return _proxy


def ports_connected_to(process: psutil.Process) -> set[int]:
    """The remote ports of a process's TCP connections; none where it has ended meanwhile."""
    try:
        connections: Any = process.net_connections(kind="tcp")
    except psutil.NoSuchProcess:
        return set()
    return {connection.raddr.port for connection in connections if connection.raddr}


def node_ports(proxy: ProxyProcess) -> int:
    """The port at which a proxy would serve node 0."""
    return int(proxy.environment["LFS_KAFKA_BROKER_PORT_BASE"])


def ask(port: int, request: Any, version: int, Response: Any, host: str = HOST) -> Any:
    """The answer to one request, a message of kafka-python's, sent to a port in a version."""
    request.API_VERSION = version
    request.with_header(correlation_id=7, client_id="test")
    with socket.create_connection((host, port), SECONDS) as connection:
        connection.sendall(request.encode(header=True, framed=True))
        with connection.makefile("rb") as answer:
            (size,) = struct.unpack(">i", answer.read(4))
            return Response.decode(answer.read(size), version=version, header=True)


def leaders(port: int, topic: str) -> dict[int, int]:
    """The leading node of each partition of a topic, as the broker or proxy at a port knows it."""
    return {partition: leader for partition, (leader, _) in _placed(port, topic).items()}


def _placed(port: int, topic: str) -> dict[int, tuple[int, set[int]]]:
    """The leading node of each partition of a topic, and all nodes that have it."""
    request = MetadataRequest(topics=[MetadataRequest.MetadataRequestTopic(name=topic)])
    found = ask(port, request, 8, MetadataResponse).topics[0]
    return {each.partition_index: (each.leader_id, set(each.replica_nodes)) for each in found.partitions}


def lead(port: int, topic: str, partitions: set[int], nodes: Sequence[int]) -> None:
    """Have partitions on ``nodes`` alone; returns when the broker or proxy at a port tells that the first one
    leads. Blocks."""
    # One for each time: it does not get over a node that it finds gone.
    admin = KafkaAdminClient(bootstrap_servers=f"{HOST}:{port}")
    try:
        given = {TopicPartition(topic, partition): list(nodes) for partition in partitions}
        problems = set(admin.alter_partition_reassignments(given).values())
        assert problems == {None}, problems
        wanted = {partition: (nodes[0], set(nodes)) for partition in partitions}
        while not wanted.items() <= _placed(port, topic).items():
            # Refused until the node has caught up.
            admin.elect_leaders(PREFERRED, {topic: list(partitions)}, raise_errors=False)
            time.sleep(POLL)
    finally:
        admin.close()


def brokers(port: int, host: str = HOST) -> dict[int, tuple[str, int]]:
    """Every node's address by its id, as the broker or proxy at a port tells."""
    answer = ask(port, MetadataRequest(topics=[]), 8, MetadataResponse, host)
    return {each.node_id: (each.host, each.port) for each in answer.brokers}

"""A real Kafka cluster of three nodes in three racks, and a proxy in front of it, for a whole trial run.

    servers = await rack_cluster()          # node 1 is in rack "a", 2 in "b", 3 in "c"
    proxy = await rack_proxy()              # in front of them; gives blobs to clients with an id "blobs-..."
    await in_thread(controller, servers)    # the node that is the active controller: each of them can be

    async with noted_requests(servers):
        ...
    given(servers, "some-client-id")        # what each node has given that client

A partition's replica in a consumer's own rack serves it (KIP-392): ``replica.selector.class``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import attrs
from kafka.admin import KafkaAdminClient
from kafka.protocol.admin import IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse
from twisted.internet import reactor
from twisted.internet.defer import gatherResults

from lfsproxy.devstack import KafkaServer
from lfsproxy.devstack.ports import HOST, free_port, free_ports
from tests.integration.cluster import CONFIG, HEAP, ClusterStack, ask
from tests.integration.proxy import ProxyProcess
from tests.integration.stack import in_thread, stack

BLOBS = "blobs-"
"""What the id of a client that gets blobs begins with."""
RACKS = {1: "a", 2: "b", 3: "c"}
_LOGGER = "kafka.request.logger"
_NOTED = "Completed request:"
_BROKER_LOGGER, _SET = 8, 0
_NO_NODE = -1

_shared: ClusterStack | None = None
_proxy: ProxyProcess | None = None


class RackNode(KafkaServer):
    """One of the three. ``voters`` are the controllers' ports by node id; ``first`` has the cluster's id."""

    def __init__(self, node_id: int, voters: Mapping[int, int], first: KafkaServer | None) -> None:
        super().__init__(node_id=node_id, joins=first, config=CONFIG, heap=HEAP)
        self._voters = voters

    def properties(self) -> dict[str, str]:
        listeners = {"PLAINTEXT": self.port, "CONTROLLER": self._voters[self.node_id]}
        return {
            **super().properties(),
            "process.roles": "broker,controller",
            "controller.quorum.voters": ",".join(f"{n}@{HOST}:{port}" for n, port in self._voters.items()),
            "listeners": ",".join(f"{name}://{HOST}:{port}" for name, port in listeners.items()),
            "broker.rack": RACKS[self.node_id],
            # Else a node that is only slow might be taken for gone, and its rack be served by another one.
            "broker.session.timeout.ms": "6000",
            "replica.selector.class": "org.apache.kafka.common.replica.RackAwareReplicaSelector",
        }


async def rack_cluster() -> ClusterStack:
    """The shared cluster, started now if this is the first call of the run."""
    global _shared
    if _shared is None:
        alone = await stack()
        voters = {number: free_port() for number in RACKS}
        first = RackNode(1, voters, None)
        nodes = {1: first, **{number: RackNode(number, voters, first) for number in (2, 3)}}

        def close() -> None:
            for node in nodes.values():
                node.close()

        reactor.addSystemEventTrigger("after", "shutdown", close)
        await gatherResults([in_thread(node.start) for node in nodes.values()], consumeErrors=True)
        _shared = ClusterStack(first, alone.s3, alone.bucket, dict(nodes))
    return _shared


async def rack_proxy() -> ProxyProcess:
    """The proxy in front of ``rack_cluster()``; not to be stopped."""
    global _proxy
    if _proxy is None:
        servers = await rack_cluster()
        settings = {
            "LFS_KAFKA_BROKERS": ",".join(node.bootstrap for node in servers.nodes.values()),
            "LFS_KAFKA_BROKER_PORT_BASE": str(free_ports(10)),
            "LFS_HYDRATE_TOPICS": "*",
            "LFS_HYDRATE_CLIENT_IDS": f"{BLOBS}*",
        }
        proxy = ProxyProcess({**servers.environment, **settings})
        reactor.addSystemEventTrigger("before", "shutdown", proxy.close)
        await in_thread(proxy.start)
        _proxy = proxy
    return _proxy


def controller(servers: ClusterStack) -> int:
    """The node that is the active controller. Blocks."""
    admin = KafkaAdminClient(bootstrap_servers=[n.bootstrap for n in servers.nodes.values() if n.running])
    try:
        (topic,) = admin.describe_metadata_quorum()["topics"]
        return int(topic["partitions"][0]["leader_id"])
    finally:
        admin.close()


@asynccontextmanager
async def noted_requests(servers: ClusterStack) -> AsyncIterator[None]:
    """Meanwhile every node writes each request that it has answered into its log."""
    for node in servers.nodes.values():
        await in_thread(_set_level, node, "DEBUG")
    try:
        yield
    finally:
        for node in servers.nodes.values():
            await in_thread(_set_level, node, "WARN")


def _set_level(node: KafkaServer, level: str) -> None:
    Resource = IncrementalAlterConfigsRequest.AlterConfigsResource
    config = Resource.AlterableConfig(name=_LOGGER, config_operation=_SET, value=level)
    resource = Resource(resource_type=_BROKER_LOGGER, resource_name=str(node.node_id), configs=[config])
    request = IncrementalAlterConfigsRequest(resources=[resource], validate_only=False)
    (answer,) = ask(node.port, request, 1, IncrementalAlterConfigsResponse).responses
    assert answer.error_code == 0, answer


@attrs.frozen
class Given:
    """What a node has answered a client's Fetch requests with, by the numbers of partitions.

    It gave records of those in ``records``. It named a replica to be asked instead as often as ``sent_away``
    says.
    """

    records: set[int] = attrs.field(factory=set)
    sent_away: Counter[int] = attrs.field(factory=Counter)


def given(servers: ClusterStack, client_id: str) -> dict[int, Given]:
    """What each node has given a client, by the node's id, as it has noted. Blocks."""
    return {number: _given(node, client_id) for number, node in servers.nodes.items()}


def _given(node: KafkaServer, client_id: str) -> Given:
    found = Given()
    for line in node.log_path.read_text(errors="replace").splitlines():
        noted = json.loads(line.partition(_NOTED)[2] or "null")
        if noted is None or noted["requestHeader"]["clientId"] != client_id:
            continue
        if noted["requestHeader"]["requestApiKeyName"] != "FETCH":
            continue
        for topic in noted["response"]["responses"]:
            for partition in topic["partitions"]:
                if partition["recordsSizeInBytes"] > 0:
                    found.records.add(partition["partitionIndex"])
                if partition["preferredReadReplica"] != _NO_NODE:
                    found.sent_away[partition["partitionIndex"]] += 1
    return found

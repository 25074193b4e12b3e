"""The servers behind the links: three Kafka nodes that are controllers, too, an S3 server, and the proxy."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import attrs
from kafka.admin import KafkaAdminClient

from lfsproxy.devstack import KafkaServer, S3Server
from lfsproxy.devstack.ports import HOST, free_port
from tests.certificates import Authority
from tests.integration.cluster import CONFIG
from tests.integration.faults.link import Link, Trouble
from tests.integration.faults.store_link import StoreLink
from tests.integration.proxy import ProxyProcess
from tests.integration.stack import BUCKET, Stack
from tests.integration.storm.notes import MIB, TOPICS, Door

NODES = (1, 2, 3)
PARTITIONS = 3
HEAP = "256m"
LISTENER = "LINKED"
HYDRATED = "hydrated"
"""The client id of the consumer that gets blobs."""
SETTINGS = {
    "LFS_S3_PART_SIZE": str(5 * MIB),
    "LFS_MAX_PASSTHROUGH_SIZE": str(MIB),
    "LFS_S3_RETRY_TIMEOUT": "5",
    "LFS_HYDRATE_TOPICS": Door.KAFKA.value,
    "LFS_HYDRATE_CLIENT_IDS": HYDRATED,
}

RESOLVER = """\
import os, socket
_resolve = socket.getaddrinfo
def getaddrinfo(host, *rest, **more):
    if host not in ("localhost", b"localhost"):
        return _resolve(host, *rest, **more)
    try:
        flag = os.open({flag!r}, os.O_WRONLY | os.O_APPEND)
    except FileNotFoundError:
        return _resolve(host, *rest, **more)
    os.write(flag, b".")
    os.close(flag)
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
socket.getaddrinfo = getaddrinfo
"""
"""What the proxy's Python runs first: a resolver that does not know the name of the links while
there is a file. It writes into that how often it was asked."""


@attrs.frozen
class Scene:
    """Everything is running. ``servers`` leads past the links, ``authority`` signs the store link's
    certificates; the name of the links cannot be resolved while the file ``nameless`` is there."""

    nodes: dict[int, KafkaServer]
    servers: Stack
    links: list[Link]
    store: StoreLink
    proxy: ProxyProcess
    authority: Authority
    nameless: Path
    random: Random

    @contextlib.contextmanager
    def kafka_in_trouble(self, trouble: Trouble) -> Iterator[None]:
        """Between the proxy and each node."""
        with contextlib.ExitStack() as stack:
            for link in self.links:
                stack.enter_context(link.in_trouble(trouble))
            yield

    @property
    def struck(self) -> int:
        """How often any link has done something wrong so far."""
        return self.store.struck + sum(link.struck for link in self.links)

    @contextlib.contextmanager
    def admin(self) -> Iterator[KafkaAdminClient]:
        """A client for the cluster itself. One for each time: it does not get over a node that is gone."""
        admin = KafkaAdminClient(bootstrap_servers=[node.bootstrap for node in self.nodes.values()])
        try:
            yield admin
        finally:
            admin.close()

    def controller(self) -> int:
        """The node that is the active controller."""
        with self.admin() as admin:
            found = admin.describe_metadata_quorum()
        return int(found["topics"][0]["partitions"][0]["leader_id"])


@contextlib.contextmanager
def scene(seed: int) -> Iterator[Scene]:
    """Start it all, and end it."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lfsproxy-faults-")))
        random = Random(f"{seed} links")
        nodes, links = _cluster(stack, random)
        s3 = S3Server()
        stack.callback(s3.close)
        with ThreadPoolExecutor() as threads:
            list(threads.map(lambda server: server.start(), [*nodes.values(), s3]))
        s3.create_bucket(BUCKET)
        for topic in TOPICS:
            nodes[1].create_topic(topic, partitions=PARTITIONS, replication=len(NODES))
        authority = Authority(folder)
        store = StoreLink(s3, authority.issue("localhost"), random)
        stack.callback(store.close)
        nameless = folder / "nameless"
        (folder / "sitecustomize.py").write_text(RESOLVER.format(flag=str(nameless)))
        servers = Stack(nodes[1], s3, BUCKET)
        environment = {
            **servers.environment,
            **SETTINGS,
            "LFS_KAFKA_BROKERS": ",".join(f"{link.name}:{link.port}" for link in links),
            "LFS_S3_ENDPOINT": store.endpoint,
            "LFS_S3_CA": str(authority.file),
            "PYTHONPATH": str(folder),
        }
        proxy = ProxyProcess(environment)
        stack.callback(proxy.close)
        proxy.start(60)
        yield Scene(nodes, servers, links, store, proxy, authority, nameless, random)


def _cluster(stack: contextlib.ExitStack, random: Random) -> tuple[dict[int, KafkaServer], list[Link]]:
    """Nodes that tell the proxy the links' addresses, and each other their own."""
    first = KafkaServer(node_id=NODES[0], listeners={LISTENER: "PLAINTEXT"}, heap=HEAP)
    nodes = {NODES[0]: first}
    for number in NODES[1:]:
        nodes[number] = KafkaServer(node_id=number, joins=first, listeners={LISTENER: "PLAINTEXT"}, heap=HEAP)
    controllers = {number: free_port() for number in NODES}
    voters = ",".join(f"{number}@{HOST}:{port}" for number, port in controllers.items())
    links = []
    for number, node in nodes.items():
        stack.callback(node.close)
        inner = node.listener_ports[LISTENER]
        link = Link(inner, random)
        stack.callback(link.close)
        links.append(link)
        plain = f"PLAINTEXT://{node.bootstrap}"
        node.config = {
            **CONFIG,
            "process.roles": "broker,controller",
            "controller.quorum.voters": voters,
            "listeners": f"{plain},{LISTENER}://{HOST}:{inner},CONTROLLER://{HOST}:{controllers[number]}",
            "advertised.listeners": f"{plain},{LISTENER}://{link.name}:{link.port}",
        }
    return nodes, links

"""A real Apache Kafka node (KRaft, broker and controller in one process), for the demo and the tests."""

from __future__ import annotations

import base64
import socket
import struct
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from lfsproxy.devstack.errors import DevstackError
from lfsproxy.devstack.jars import Progress
from lfsproxy.devstack.ports import HOST, free_port
from lfsproxy.devstack.prepare import java_command
from lfsproxy.devstack.process import ServerProcess
from lfsproxy.devstack.server import Server

DEFAULT_RELEASE = "4.4"

LOG4J = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1} %m%n
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
"""


class KafkaServer(Server):
    """One Kafka node on the loopback interface.

    ``port`` 0 takes a free one, kept over restarts. ``data_dir`` is formatted when it is new, and goes on
    with what it has otherwise; without one, a temporary folder is used and removed by ``close``. ``config``
    adds to or overrides broker properties (``message.max.bytes`` and the like). ``listeners`` adds client
    listeners beside the PLAINTEXT one: name (upper case) to security protocol; their ports are
    ``listener_ports[name]``. ``scram_users`` are created, for SCRAM-SHA-256 and -512, when the folder is
    formatted. ``joins`` makes this node a further broker, with a ``node_id`` of its own, of the cluster of
    that first node, which may be started at the same time.

    All methods block (from a reactor: in a thread) and raise DevstackError.
    """

    def __init__(
        self,
        *,
        data_dir: Path | None = None,
        port: int = 0,
        config: Mapping[str, str] | None = None,
        listeners: Mapping[str, str] | None = None,
        scram_users: Mapping[str, str] | None = None,
        node_id: int = 1,
        joins: KafkaServer | None = None,
        release: str = DEFAULT_RELEASE,
        heap: str = "512m",
        jvm_options: Sequence[str] = (),
        cache: Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        super().__init__("kafka", f"Kafka node {node_id}", data_dir, port)
        self.config = dict(config or {})
        self.node_id = node_id
        self.release = release
        self._protocols = dict(listeners or {})
        self.listener_ports = {name: free_port() for name in self._protocols}
        self.controller_port: int = joins.controller_port if joins else free_port()
        self._controller_id: int = joins._controller_id if joins else node_id
        self._joins = joins
        self._new_cluster_id = new_cluster_id()
        self._scram_users = dict(scram_users or {})
        self._heap = heap
        self._jvm_options = list(jvm_options)
        self._cache = cache
        self._progress = progress

    @property
    def bootstrap(self) -> str:
        """``host:port`` of the PLAINTEXT listener."""
        return f"{HOST}:{self.port}"

    def command(self) -> tuple[Sequence[str], Mapping[str, str] | None]:
        java = java_command(f"kafka-{self.release}", self._cache, self._progress)
        properties = self.data_dir / "server.properties"
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            log4j = self.data_dir / "log4j2.properties"
            log4j.write_text(LOG4J)
            properties.write_text("".join(f"{key}={value}\n" for key, value in self.properties().items()))
        except OSError as error:
            raise DevstackError(
                f"Kafka's data folder {self.data_dir} cannot be written: {error.strerror}."
            ) from error
        java += [*self._jvm_options, f"-Dlog4j2.configurationFile={log4j.as_uri()}"]
        if not (self.data_dir / "data" / "meta.properties").exists():
            self._format(java, properties)
        return [*java, f"-Xmx{self._heap}", f"-Xms{self._heap}", "kafka.Kafka", str(properties)], None

    def answers(self) -> bool:
        return answers(self.port)

    def properties(self) -> dict[str, str]:
        """The node's configuration, as written to ``server.properties``."""
        # Client listeners first: the first one is what the node offers when nobody asks for another.
        listening = {"PLAINTEXT": self.port, **self.listener_ports}
        protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", **self._protocols}
        addresses = [f"{name}://{HOST}:{port}" for name, port in listening.items()]
        controller = [] if self._joins else [f"CONTROLLER://{HOST}:{self.controller_port}"]
        return {
            "process.roles": "broker" if self._joins else "broker,controller",
            "node.id": str(self.node_id),
            "controller.quorum.voters": f"{self._controller_id}@{HOST}:{self.controller_port}",
            "listeners": ",".join([*addresses, *controller]),
            "advertised.listeners": ",".join(addresses),
            "listener.security.protocol.map": ",".join(f"{k}:{v}" for k, v in protocols.items()),
            "inter.broker.listener.name": "PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self.data_dir / "data"),
            # One node cannot have replicas, and few partitions of the internal topics make a quick start.
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "4",
            "group.initial.rebalance.delay.ms": "0",
            "num.recovery.threads.per.data.dir": "1",
            **self.config,
        }

    def _format(self, java: list[str], properties: Path) -> None:
        command = [*java, "kafka.tools.StorageTool", "format", "-t", self.cluster_id, "-c", str(properties)]
        for user, password in self._scram_users.items():
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
                command += ["--add-scram", f"{mechanism}=[name={user},password={password}]"]
        formatting = ServerProcess("Kafka's storage tool", self.data_dir / "format.log")
        done = self.data_dir / "data" / "meta.properties"
        formatting.run(command, timeout=60)
        if not done.exists():
            raise DevstackError(
                f"Kafka's storage tool left no {done}; its log {formatting.log_path}:\n{formatting.tail()}"
            )

    @property
    def cluster_id(self) -> str:
        """The cluster id that the data folder was formatted with, or will be."""
        if self._joins is not None:
            return self._joins.cluster_id
        formatted = self.data_dir / "data" / "meta.properties"
        if not formatted.exists():
            return self._new_cluster_id
        lines = formatted.read_text().splitlines()
        return next(line.partition("=")[2] for line in lines if line.startswith("cluster.id="))

    def create_topic(
        self, name: str, *, partitions: int = 1, replication: int = 1, config: Mapping[str, str] | None = None
    ) -> None:
        """Create a topic and wait until every partition's leader leads; one that is there stays as it is."""
        # Imported here: the package takes a quarter of a second, and a start needs none of it.
        from kafka import KafkaConsumer, TopicPartition
        from kafka.admin import KafkaAdminClient
        from kafka.errors import KafkaError, TopicAlreadyExistsError

        try:
            admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
            try:
                admin.create_topics(
                    {
                        name: {
                            "num_partitions": partitions,
                            "replication_factor": replication,
                            "configs": dict(config or {}),
                        }
                    },
                    wait_for_metadata=True,
                )
            except TopicAlreadyExistsError:
                return
            finally:
                admin.close()
            # The leaders are named before they lead: until then a record with acks=0 would be lost.
            consumer = KafkaConsumer(bootstrap_servers=self.bootstrap)
            try:
                consumer.end_offsets([TopicPartition(name, index) for index in range(partitions)])
            finally:
                consumer.close()
        except KafkaError as error:
            raise DevstackError(
                f"The topic {name} could not be created on {self.bootstrap}: {error}."
            ) from error


def new_cluster_id() -> str:
    """A random cluster id in Kafka's form: 22 characters of URL-safe base64, not taken for an option."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes)[:22].decode()
        if not text.startswith("-"):
            return text


def answers(port: int, host: str = HOST, timeout: float = 1) -> bool:
    """Whether a Kafka broker answers an ApiVersions request there.

    A broker opens its port early but processes requests only once it has joined the cluster, so an answer
    means that it is ready. Layout: https://kafka.apache.org/protocol#The_Messages_ApiVersions, version 0.
    """
    client = b"devstack"
    request = struct.pack(">hhih", 18, 0, 1, len(client)) + client
    try:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            answer = b""
            while len(answer) < 10:
                received = connection.recv(10 - len(answer))
                if not received:
                    return False
                answer += received
    except OSError:
        return False
    _, correlation, error = struct.unpack(">iih", answer)
    return bool(correlation == 1 and error == 0)

"""Two replicas of the proxy behind HAProxy, by the docs' configuration, and clients of its doors."""

from __future__ import annotations

import csv
import http.client
import itertools
import re
import shutil
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import SkipTest

import attrs
from confluent_kafka import KafkaException, Producer

from lfsproxy.devstack.ports import HOST, free_ports
from lfsproxy.devstack.process import ServerProcess
from tests.docs.blocks import ROOT
from tests.integration.clients import java
from tests.integration.clients.python import read_topic
from tests.integration.kafka_door import wait_for
from tests.integration.proxy import ProxyProcess
from tests.integration.stack import Stack
from tests.integration.traffic import PATIENCE, Client, payload

CONFIGURATION = ROOT / "examples" / "operate" / "haproxy.cfg"
HOSTS = ("127.0.0.2", "127.0.0.3")
"""Of the replicas. They have the same ports, as replicas on machines of their own do."""
IN_THE_FILE = ("10.0.0.11", "10.0.0.12")
PORTS = 4
"""The bootstrap, brokers 0 and 1, and the HTTP API."""
DRAIN_DELAY = 3
"""Longer than HAProxy needs to notice (two checks, a second apart)."""
PIECES = 25
"""In which a slow upload comes, a fifth of a second apart: longer than DRAIN_DELAY."""
JAVA_RATE = 20
"""Records a second of the Java producer."""
TRANSACTION = 10
"""Records of one transaction."""


class Replica(ProxyProcess):
    """A replica at an address of its own, whose clients are told HAProxy's."""

    def __init__(self, servers: Stack, host: str, first: int, **settings: str) -> None:
        super().__init__(
            {
                **servers.environment,
                "LFS_KAFKA_ADDR": f"{host}:{first}",
                "LFS_KAFKA_BROKER_PORT_BASE": "",
                "LFS_KAFKA_ADVERTISED_HOST": HOST,
                "LFS_HTTP_ADDR": f"{host}:{first + PORTS - 1}",
                "LFS_DRAIN_DELAY": str(DRAIN_DELAY),
                "LFS_OFFLOAD_THRESHOLD": "10000",
                **settings,
            }
        )
        self._url = f"http://{host}:{first + PORTS - 1}"

    @property
    def http(self) -> str:
        return self._url

    @property
    def connections(self) -> int:
        """Kafka clients' connections that are open."""
        return int(self.metrics()["lfsproxy_kafka_connections"])


class HaProxy:
    """HAProxy by the docs' configuration, at addresses and ports of the tests' own. Everything blocks.

    Raises SkipTest where it is not installed.
    """

    def __init__(self, first: int) -> None:
        self._path = shutil.which("haproxy")
        if self._path is None:
            raise SkipTest("replicas behind HAProxy were NOT TESTED: there is no haproxy on PATH")
        self._folder = tempfile.TemporaryDirectory(prefix="lfsproxy-haproxy-")
        self._process = ServerProcess("haproxy", Path(self._folder.name, "haproxy.log"))
        self._configuration = Path(self._folder.name, "haproxy.cfg")
        self._configuration.write_text(_moved(CONFIGURATION.read_text(), first))
        self._socket = Path(self._folder.name, "admin")
        self._statistics = Path(self._folder.name, "statistics.cfg")
        self._statistics.write_text(f"global\n    stats socket {self._socket} mode 600\n")

    def start(self) -> None:
        """Start it."""
        assert self._path is not None
        command = [self._path, "-db", "-f", str(self._configuration), "-f", str(self._statistics)]
        self._process.start(command, ready=lambda: bool(self.up), timeout=10)

    @property
    def up(self) -> set[tuple[str, str]]:
        """The sections and servers that it takes for up."""
        try:
            with socket.socket(socket.AF_UNIX) as admin:
                admin.connect(str(self._socket))
                admin.sendall(b"show stat\n")
                text = b"".join(iter(lambda: admin.recv(65536), b"")).decode()
        except OSError:
            return set()
        rows = csv.DictReader(text.removeprefix("# ").splitlines())
        servers = [row for row in rows if row["svname"].startswith("lfs-")]
        return {(row["pxname"], row["svname"]) for row in servers if row["status"].startswith("UP")}

    def wait_for(self, *names: str) -> None:
        """Return when these servers are up in both sections, and no others."""
        wanted = {(section, name) for section in ("kafka", "http") for name in names}
        wait_for(lambda: self.up, lambda up: up == wanted)

    def close(self) -> None:
        """End it at once and remove its folder."""
        self._process.kill()
        self._folder.cleanup()


def _moved(text: str, first: int) -> str:
    """The configuration with other addresses and ports."""
    last = first + PORTS - 1
    steps = [
        (r"bind :19092-19102\b", f"bind {HOST}:{first}-{last - 1}", 1),
        (r"bind :8080\b", f"bind {HOST}:{last}", 1),
        (r"check port 8080\b", f"check port {last}", 1),
        *((re.escape(there) + r"\b", here, 2) for there, here in zip(IN_THE_FILE, HOSTS, strict=True)),
    ]
    comments, separator, text = text.partition("\nglobal\n")
    for pattern, replacement, count in steps:
        text, found = re.subn(pattern, replacement, text)
        assert found == count, (pattern, found)
    return comments + separator + text


@attrs.define
class Seen:
    """What one HTTP client saw. ``unknown`` outcomes are answers 504; ``retried`` were covered by it."""

    posted: list[bytes] = attrs.field(factory=list)
    retried: int = 0
    unknown: int = 0


class Site:
    """HAProxy, two replicas, and their clients. ``settings`` are those of the replicas.

    ``names`` are what HAProxy calls them.
    """

    names = tuple(f"lfs-{number}" for number in range(1, len(HOSTS) + 1))

    def __init__(self, servers: Stack, **settings: str) -> None:
        first = free_ports(PORTS, (HOST, *HOSTS))
        self.servers = servers
        self.balancer = HaProxy(first)
        self.replicas = [Replica(servers, host, first, **settings) for host in HOSTS]
        self.bootstrap = f"{HOST}:{first}"
        self.http = (HOST, first + PORTS - 1)

    def start(self, count: int = len(HOSTS)) -> None:
        """Start so many of the replicas, and HAProxy."""
        for replica in self.replicas[:count]:
            replica.start()
        self.balancer.start()
        self.balancer.wait_for(*self.names[:count])

    def restart(self, index: int) -> None:
        """As an operator does: stop it, start it, and wait until it is in use again."""
        replica = self.replicas[index]
        replica.stop()
        replica.start()
        self.balancer.wait_for(*self.names)

    def close(self) -> None:
        """End everything."""
        self.balancer.close()
        for replica in self.replicas:
            replica.close()

    # HTTP clients: they try again after 503 and a refused connection, and after nothing else.

    def poster(self, topic: str, seen: Seen, slow: bool) -> Client:
        """One upload after the other, over a connection that is kept; slow ones take seconds."""
        name = "slow uploads" if slow else "uploads"

        def run(client: Client) -> None:
            connection = http.client.HTTPConnection(*self.http, timeout=PATIENCE)
            number = 0
            while client.pause():
                key = b"%s-%d" % (name.replace(" ", "-").encode(), number)
                if self._post(connection, topic, key, slow, client, seen):
                    number += 1
            connection.close()

        return Client(name, run)

    def _post(
        self,
        connection: http.client.HTTPConnection,
        topic: str,
        key: bytes,
        slow: bool,
        client: Client,
        seen: Seen,
    ) -> bool:
        body = [key.ljust(1000, b".")] * PIECES

        def pieces() -> Iterator[bytes]:
            for piece in body:
                time.sleep(0.2)
                yield piece

        content: Any = pieces() if slow else b"".join(body)
        headers = {"Content-Length": str(PIECES * 1000)}
        try:
            connection.request("POST", f"/v1/topics/{topic}/records?key={key.decode()}", content, headers)
            answer = connection.getresponse()
            text = answer.read()
        except ConnectionRefusedError:
            seen.retried += 1
            return False
        except (OSError, http.client.HTTPException) as error:
            client.errors.append(f"{key!r}: {error!r}")
            connection.close()
            return True
        if answer.status == 503:
            seen.retried += 1
            return False
        if answer.status == 504:
            seen.unknown += 1
        elif answer.status == 201:
            seen.posted.append(key)
            client.keys.append(key)
        else:
            client.errors.append(f"{key!r}: {answer.status} {text!r}")
        return True

    def transactions(self, topic: str) -> Client:
        """One transaction of librdkafka after the other; a failed commit is an error."""

        def run(client: Client) -> None:
            producer = Producer(
                {
                    "bootstrap.servers": self.bootstrap,
                    "broker.address.family": "v4",
                    "transactional.id": topic,
                    "log_level": 0,
                }
            )
            producer.init_transactions(PATIENCE)
            for begin in itertools.count(0, TRANSACTION):
                if not client.pause():
                    break
                keys = [b"transaction-%d" % number for number in range(begin, begin + TRANSACTION)]
                try:
                    producer.begin_transaction()
                    for key in keys:
                        producer.produce(topic, payload(key), key, headers=[("LFS_BLOB", b"")])
                        producer.poll(0.02)
                    producer.commit_transaction(PATIENCE)
                except KafkaException as error:
                    client.errors.append(f"{keys[0]!r}: {error}")
                    break
                client.keys += keys

        return Client("transactions", run)

    # Kafka's own clients for Java

    def produce_by_java(self, topic: str, count: int) -> list[str]:
        """Records of 12 kB, JAVA_RATE a second, by an idempotent producer. The exceptions that it shows."""
        said = java.tool(
            self.bootstrap,
            "kafka-producer-perf-test",
            *("--topic", topic, "--num-records", str(count), "--record-size", "12000"),
            *("--throughput", str(JAVA_RATE), "--producer-props", "acks=all", "enable.idempotence=true"),
            timeout=2 * count / JAVA_RATE + PATIENCE,
            with_errors=True,
        )
        return re.findall(r"^[a-z][\w.]*\.\w+Exception\b.*$", said, re.MULTILINE)

    def consume_by_java(self, topic: str, count: int) -> int:
        """How many records a consumer of a group reads until it has ``count``, or none come for long."""
        output = java.tool(
            self.bootstrap,
            "kafka-console-consumer",
            *("--topic", topic, "--group", f"{topic}-java", "--from-beginning"),
            *("--max-messages", str(count), "--timeout-ms", "30000"),
            timeout=2 * count / JAVA_RATE + PATIENCE,
        )
        return len(output.splitlines())


def counted(servers: Stack, topic: str) -> Counter[bytes | None]:
    """How often each key is in the topic. Blocks."""
    found = read_topic(servers.kafka.bootstrap, topic, isolation="read_committed")
    return Counter(record.key for record in found)


def not_once(servers: Stack, topic: str, keys: list[bytes]) -> dict[bytes, int]:
    """The keys that are not in the topic exactly once, and how often they are. Blocks."""
    counts = counted(servers, topic)
    return {key: counts[key] for key in keys if counts[key] != 1}

"""Kafka Connect, MirrorMaker 2 and Kafka Streams know nothing of S3, and the proxy gives them blobs.

Their jars are those of Maven Central (without_sdk/pom.xml); the sink of objects and the join are programs of
the tests' own beside it. Without Maven and a JDK they are skipped by name.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from twisted.trial.unittest import TestCase

from lfsproxy.devstack.ports import HOST, free_port
from lfsproxy.devstack.process import ServerProcess
from tests.integration.clients.python import librdkafka, read_topic
from tests.integration.clients.records import Mode, Record
from tests.integration.proxy import ProxyProcess, shared_proxy
from tests.integration.stack import Stack, in_thread, stack
from tests.sdks.tools import require_tools

HERE = Path(__file__).parent / "without_sdk"
SETTINGS = {
    "LFS_OFFLOAD_THRESHOLD": "1000000",
    "LFS_HYDRATE_TOPICS": "*",
    "LFS_HYDRATE_CLIENT_IDS": "*,!*replication-consumer",
}
JAVA = ("java", "-Xmx300m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
LARGE = 3_000_000
SECONDS = 90

_class_path: list[str] = []


def class_path(folder: Path) -> str:
    """The jars and the compiled programs, had by the first call of the run."""
    if not _class_path:
        libs, classes = folder / "libs", folder / "classes"
        copy = "dependency:copy-dependencies -DincludeScope=runtime"
        commands = (
            f"mvn -q -B -f {HERE / 'pom.xml'} {copy} -DoutputDirectory={libs}\n"
            f"javac -d {classes} -cp '{libs}/*' {HERE}/*.java"
        )
        done = subprocess.run(
            ["sh", "-euc", commands], capture_output=True, text=True, timeout=600, check=False
        )
        if done.returncode:
            raise AssertionError(done.stdout + done.stderr)
        _class_path.append(f"{classes}:{libs}/*")
    return _class_path[0]


class JavaTests(TestCase):
    timeout = 900

    async def setUp(self) -> None:  # type: ignore[override]
        require_tools("programs without an SDK: Java", ("mvn", "javac"))
        self.servers: Stack = await stack()
        self.proxy: ProxyProcess = await shared_proxy(**SETTINGS)
        self.folder = await in_thread(self.new_folder)
        self.classes = await in_thread(class_path, self.folder)
        self.large = random.Random(1).randbytes(LARGE // 2).hex().encode()

    def new_folder(self) -> Path:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        return folder

    async def send(self, topic: str, value: bytes) -> None:
        """One record with the key ``k``, by a producer that says nothing of S3."""
        (outcome,) = await in_thread(
            librdkafka, self.proxy.bootstrap, topic, [Record(value, key=b"k")], Mode()
        )
        self.assertEqual(outcome.error, "")

    def properties(self, name: str, **values: str) -> str:
        file = self.folder / f"{name}.properties"
        file.write_text("".join(f"{key}={value}\n" for key, value in {"name": name, **values}.items()))
        return str(file)

    def start(self, name: str, ready: Callable[[], bool], main: str, *arguments: str) -> ServerProcess:
        """A Java program, which ends with the test."""
        program = ServerProcess(name, self.folder / f"{name}.log")
        self.addCleanup(program.kill)
        command = [*JAVA, "-cp", self.classes, main, *arguments]
        program.start(command, ready=ready, timeout=SECONDS, cwd=self.folder, env=dict(os.environ))
        return program

    def connect(self, connectors: Mapping[str, Mapping[str, str]], ready: Callable[[], bool]) -> None:
        """A standalone worker with these connectors; returns when ``ready``."""
        worker = self.properties(
            "worker",
            **{
                "bootstrap.servers": self.proxy.bootstrap,
                "listeners": f"http://{HOST}:{free_port()}",
                "key.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
                "value.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
                "offset.storage.file.filename": str(self.folder / "offsets"),
                "offset.flush.interval.ms": "1000",
            },
        )
        files = [self.properties(name, **values) for name, values in connectors.items()]
        main = "org.apache.kafka.connect.cli.ConnectStandalone"
        self.start("the Connect worker", ready, main, worker, *files)

    async def test_connect_sinks_get_blobs_and_mirrors_get_envelopes(self) -> None:
        topic = await self.servers.new_topic("sink")
        await self.send(topic, self.large)
        (envelope,) = await in_thread(read_topic, self.servers.kafka.bootstrap, topic)
        lines, whole = self.folder / "lines.txt", self.folder / f"{topic}+0+0.bin"
        connectors = {
            "text": {
                "connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector",
                "topics": topic,
                "file": str(lines),
                "value.converter": "org.apache.kafka.connect.storage.StringConverter",
            },
            "objects": {"connector.class": "ObjectSink", "topics": topic, "folder": str(self.folder)},
            "mirror": {
                "connector.class": "org.apache.kafka.connect.mirror.MirrorSourceConnector",
                "source.cluster.alias": "far",
                "target.cluster.alias": "near",
                "source.cluster.bootstrap.servers": self.proxy.bootstrap,
                "target.cluster.bootstrap.servers": self.servers.kafka.bootstrap,
                "topics": topic,
                "replication.factor": "1",
                "offset-syncs.topic.replication.factor": "1",
                "sync.topic.acls.enabled": "false",
            },
        }

        def mirrored() -> list[Record]:
            try:
                return read_topic(self.servers.kafka.bootstrap, f"far.{topic}")
            except KeyError:
                return []

        def arrived() -> bool:
            is_written = lines.exists() and lines.stat().st_size > LARGE
            return is_written and whole.exists() and bool(mirrored())

        await in_thread(self.connect, connectors, arrived)
        self.assertEqual(lines.read_bytes(), self.large + b"\n")
        self.assertEqual(whole.read_bytes(), self.large)
        (copy,) = await in_thread(mirrored)
        self.assertEqual((copy.value, copy.key), (envelope.value, envelope.key))
        self.assertIn(b'"lfs_version"', copy.value or b"")

    async def test_a_join_of_streams_gets_blobs_and_its_changelog_holds_envelopes(self) -> None:
        left, table, output = [await self.servers.new_topic(each) for each in ("left", "table", "joined")]
        application = f"join-{table}"
        await self.send(table, self.large)
        digest = hashlib.sha256(self.large).hexdigest()
        for round_ in (1, 2):
            # The second one has an empty store, which it fills from the changelog.
            expected = [f"left-{number} {digest}".encode() for number in range(1, round_ + 1)]

            def joined(expected: list[bytes] = expected) -> bool:
                return [each.value for each in read_topic(self.servers.kafka.bootstrap, output)] == expected

            await self.send(left, f"left-{round_}".encode())
            state = str(self.folder / f"state-{round_}")
            arguments = (self.proxy.bootstrap, application, left, table, output, state)
            name = f"the join {round_}"
            program = await in_thread(self.start, name, joined, "Join", *arguments)
            await in_thread(program.stop)
        changelog = f"{application}-values-changelog"
        kept = await in_thread(read_topic, self.servers.kafka.bootstrap, changelog)
        self.assertEqual([b'"lfs_version"' in (each.value or b"") for each in kept], [True])

"""``lfsproxy fsck`` in front of a real Kafka and S3 server: what it finds, and what it does in trouble.

Takes some 40 s of a core, most of it the ten thousand envelopes and the starts of the command.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import attrs
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from twisted.trial.unittest import TestCase

from lfsproxy.envelope import Envelope, object_key
from tests.docs.shell import blocks_run_by
from tests.integration.minio_users import create_user, set_policy, shared_minio, without
from tests.integration.stack import BUCKET, in_thread, own_s3, s3_client, stack
from tests.memory import PEAK, told

PROGRAM = """
import atexit, os
from pathlib import Path
atexit.register(lambda: Path(os.environ["STATUS"]).write_text(Path("/proc/self/status").read_text()))
from lfsproxy.cli.main import main
main()
"""
"""The command, which leaves what the kernel says of its memory at its end."""
SECONDS = 120
MANY = 10_000
MIB = 1024 * 1024
MOST_MEMORY = 110 * MIB
"""What the command may need at most, of however many envelopes. It begins with 77 MiB of libraries."""


@attrs.frozen
class Done:
    """How a command ended. ``lines`` are those of standard output; ``peak`` is its memory in bytes."""

    code: int
    lines: Sequence[dict[str, Any]]
    err: str
    peak: int

    @property
    def found(self) -> list[tuple[str, int | None]]:
        return [(line["finding"], line.get("offset")) for line in self.lines[:-1]]


class Running:
    """A command that was started. The methods block."""

    def __init__(self, folder: Path, arguments: Sequence[str], variables: Mapping[str, str]) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("LFS_", "AWS_"))}
        self._status, self._stderr = folder / "status", folder / "stderr"
        with self._stderr.open("w") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, "fsck", "--json", *arguments],
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env={**inherited, **variables, "STATUS": str(self._status)},
            )
        self._lines: list[dict[str, Any]] = []

    @property
    def _stdout(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout

    def first_line(self) -> None:
        """Wait until it has told something."""
        line = self._stdout.readline()
        if not line:
            raise AssertionError(f"it ended before: {self._stderr.read_text()}")
        self._lines.append(json.loads(line))

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """Where it still runs: the test has failed."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._stdout.close()

    def wait(self) -> Done:
        self._lines += [json.loads(line) for line in self._stdout]
        code = self._process.wait(SECONDS)
        return Done(code, self._lines, self._stderr.read_text(), told(self._status.read_text(), PEAK))


class FsckTestCase(TestCase):
    timeout = 300

    async def setUp(self) -> None:  # type: ignore[override]
        self.servers = await stack()
        self.topic = await self.servers.new_topic("fsck")
        self.s3 = await in_thread(self.servers.s3_client)

    def folder(self) -> Path:
        """A new one."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        return folder

    def envelope(self, data: bytes = b"data", **changes: Any) -> Envelope:
        """An envelope of the topic, whose blob is nowhere yet."""
        key = object_key("default", self.topic, 0, 0, uuid4())
        made = Envelope(
            self.servers.bucket, key, "text/plain", len(data), "sha256", hashlib.sha256(data).hexdigest()
        )
        return attrs.evolve(made, **changes)

    def put(self, envelope: Envelope, data: bytes = b"data") -> Envelope:
        self.s3.put_object(Bucket=self.servers.bucket, Key=envelope.s3_key, Body=data)
        return envelope

    def produce(self, *values: bytes, **config: Any) -> None:
        """Write records, in one batch as far as they fit. Blocks."""
        producer = Producer({"bootstrap.servers": self.servers.kafka.bootstrap, "linger.ms": 200, **config})
        for number, value in enumerate(values):
            producer.produce(self.topic, value, key=b"k%d" % number, partition=0)
            producer.poll(0)
        self.assertEqual(producer.flush(60), 0)

    def start(self, *arguments: str, **variables: str) -> Running:
        environment = {**self.servers.environment, **variables}
        running = Running(self.folder(), ["--topics", self.topic, *arguments], environment)
        self.addCleanup(running.kill)
        return running

    async def fsck(self, *arguments: str, **variables: str) -> Done:
        return await in_thread(self.start(*arguments, **variables).wait)


class FindingTests(FsckTestCase):
    async def test_what_is_found_and_what_is_not(self) -> None:
        def write() -> None:
            older_key = f"ns/{self.topic}/lfs/2026/01/31/obj-1"
            older = {"kfs_lfs": 1, "bucket": self.servers.bucket, "key": older_key, "size": 9}
            older["sha256"] = hashlib.sha256(b"data").hexdigest()
            self.s3.put_object(Bucket=self.servers.bucket, Key=older_key, Body=b"data")
            self.produce(
                b"an ordinary value",
                self.put(self.envelope()).to_bytes(),
                self.envelope().to_bytes(),
                self.put(self.envelope(), b"longer than it was").to_bytes(),
                self.put(self.envelope(), b"tada").to_bytes(),
                json.dumps(older).encode(),
                self.envelope(s3_bucket="secrets").to_bytes(),
                self.envelope(s3_key="lfs/default/another/0/1-x.bin").to_bytes(),
                **{"compression.type": "zstd"},
            )
            self.abort()
            self.produce(self.put(self.envelope(b"x" * MIB), b"x" * MIB).to_bytes())

        await in_thread(write)
        done = await self.fsck("--verify", LFS_DOWNLOAD_PREFIXES=f"ns/{self.topic}/lfs/")
        found = [("dangling", 2), ("wrong_length", 3), ("wrong_checksum", 4), ("wrong_length", 5)]
        self.assertEqual((done.code, done.err, done.found), (1, "", found))
        summary = dict(done.lines[-1])
        self.assertEqual(summary.pop("findings"), list(done.lines[:-1]))
        self.assertEqual(
            summary,
            {
                "records": 9,
                "envelopes": 8,
                "dangling": 1,
                "wrong_length": 2,
                "wrong_checksum": 1,
                "unreadable": 0,
                "invalid": 0,
                "foreign": 2,
                "gone": 0,
                "verified": True,
                "topics": 1,
                "partitions": 1,
                "unread": 0,
                "more_findings": 0,
            },
        )

    def abort(self) -> None:
        """A transaction that is aborted, whose blob is rightly gone. Blocks."""
        producer = Producer(
            {"bootstrap.servers": self.servers.kafka.bootstrap, "transactional.id": self.topic}
        )
        producer.init_transactions()
        producer.begin_transaction()
        producer.produce(self.topic, self.envelope().to_bytes(), partition=0)
        producer.flush()
        producer.abort_transaction()

    async def test_a_time_and_a_range(self) -> None:
        def write() -> float:
            self.produce(self.envelope().to_bytes())
            time.sleep(0.02)
            between = time.time()
            time.sleep(0.02)
            self.produce(self.envelope().to_bytes())
            return between

        between = await in_thread(write)
        # ISO 8601 with a fraction of a second.
        text = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(between))}.{int(between % 1 * 1000):03}Z"
        self.assertEqual((await self.fsck("--since", text)).found, [("dangling", 1)])
        self.assertEqual((await self.fsck("--until", text, "--partitions", "0")).found, [("dangling", 0)])

    async def test_records_that_deletion_has_reached_are_no_finding(self) -> None:
        def write() -> None:
            self.produce(self.envelope().to_bytes(), self.put(self.envelope()).to_bytes())
            admin = AdminClient({"bootstrap.servers": self.servers.kafka.bootstrap})
            for future in admin.delete_records([TopicPartition(self.topic, 0, 1)]).values():
                future.result(30)

        await in_thread(write)
        done = await self.fsck()
        self.assertEqual((done.code, done.lines[-1]["records"], done.lines[-1]["envelopes"]), (0, 1, 1))


class PageTests(FsckTestCase):
    async def test_the_commands_of_the_page(self) -> None:
        (block,) = blocks_run_by(__name__, "docs/operate/upkeep.md")
        self.topic = "invoices"

        def paste() -> subprocess.CompletedProcess[str]:
            self.servers.kafka.create_topic(self.topic)
            self.produce(self.put(self.envelope()).to_bytes())
            inherited = {k: v for k, v in os.environ.items() if not k.startswith(("LFS_", "AWS_"))}
            path = f"{Path(sys.executable).parent}:{inherited['PATH']}"
            return subprocess.run(
                ["sh", "-e", "-c", block.code],
                env={**inherited, **self.servers.environment, "PATH": path},
                cwd=self.folder(),
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )

        done = await in_thread(paste)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        # Topic, records, envelopes.
        rows = [line.split()[:3] for line in done.stdout.splitlines() if line.startswith("invoices")]
        self.assertEqual(rows, [["invoices", "1", "1"]] * 2)


class RightTests(FsckTestCase):
    async def test_the_rights_of_the_page(self) -> None:
        server = await shared_minio()
        resources = [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/lfs/*"]
        actions = ["s3:GetObject", "s3:ListBucket"]
        policy = {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": actions, "Resource": resources}],
        }
        secret = "a-secret-of-fsck"

        def prepare() -> None:
            set_policy(server, "fsck", policy)
            create_user(server, "fsck", secret, "fsck")
            self.s3 = s3_client(server)
            self.produce(self.put(self.envelope()).to_bytes(), self.envelope().to_bytes())

        await in_thread(prepare)
        as_fsck = {
            "LFS_S3_ENDPOINT": server.endpoint,
            "AWS_ACCESS_KEY_ID": "fsck",
            "AWS_SECRET_ACCESS_KEY": secret,
        }
        done = await self.fsck("--verify", **as_fsck)
        self.assertEqual((done.code, done.found), (1, [("dangling", 1)]), done.err)
        await in_thread(set_policy, server, "fsck", without(policy, "s3:ListBucket"))
        done = await self.fsck(**as_fsck)
        self.assertEqual((done.code, list(done.lines)), (2, []))
        self.assertIn("403", done.err)


class ManyTests(FsckTestCase):
    async def test_ten_thousand_envelopes_interrupted_and_resumed(self) -> None:
        """Each is told once, whatever the interrupts; memory does not grow with them."""
        there = [self.envelope() for _ in range(100)]

        def write() -> None:
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(self.put, there))
            gone = [self.envelope() for _ in range(MANY // 10)]
            every = [*there * 45, *gone, *there * 45]
            self.produce(*(each.to_bytes() for each in every), **{"compression.type": "lz4"})

        await in_thread(write)
        file = self.folder() / "positions"
        first = self.start("--resume", str(file))
        await in_thread(first.first_line)
        first.interrupt()
        parts = [await in_thread(first.wait)]
        note = f"the same command goes on from here: {file} has how far it came"
        self.assertEqual((parts[0].code, parts[0].err), (130, f"{note}\nError: interrupted\n"))
        self.assertTrue(file.exists())
        parts.append(await self.fsck("--resume", str(file)))
        self.assertFalse(file.exists())
        summary = parts[1].lines[-1]
        offsets = [line["offset"] for part in parts for line in part.lines if "finding" in line]
        self.assertEqual(offsets, list(range(4500, 5500)))
        self.assertEqual(parts[1].code, 1)
        self.assertEqual((summary["records"], summary["envelopes"], summary["dangling"]), (MANY, MANY, 1000))
        self.assertLess(parts[1].peak, MOST_MEMORY)


class MemoryTests(FsckTestCase):
    async def test_large_blobs_are_not_held(self) -> None:
        data = os.urandom(MIB) * 64

        def write() -> None:
            self.produce(*(self.put(self.envelope(data), data).to_bytes() for _ in range(4)))

        await in_thread(write)
        done = await self.fsck("--verify")
        self.assertEqual((done.code, done.lines[-1]["envelopes"]), (0, 4), done.err)
        self.assertLess(done.peak, MOST_MEMORY)


class TroubleTests(FsckTestCase):
    async def test_a_partition_that_cannot_be_read(self) -> None:
        other = await self.servers.new_topic("fsck")

        def write() -> None:
            self.produce(b"a" * 1000)
            data = self.servers.kafka.data_dir / "data" / f"{self.topic}-0" / f"{0:020}.log"
            with open(data, "r+b") as log:
                # Within the value, so that the CRC-32C is another one.
                log.seek(500)
                log.write(b"b")
            broken, self.topic = self.topic, other
            self.produce(self.envelope().to_bytes())
            self.topic = f"{broken},{other}"

        await in_thread(write)
        done = await self.fsck()
        self.assertEqual((done.code, done.lines[-1]["unread"], done.lines[-1]["dangling"]), (1, 1, 1))
        (told,) = [line for line in done.lines[:-1] if line["finding"] == "unreadable"]
        self.assertIn("cannot be read to its end: at offset 0", told["why"])

    async def test_s3_away_in_the_middle(self) -> None:
        own = await own_s3(self)
        values = [self.envelope().to_bytes() for _ in range(600)]
        await in_thread(self.produce, *values)
        file = self.folder() / "positions"
        running = self.start(
            "--resume", str(file), LFS_S3_ENDPOINT=own.endpoint, LFS_S3_RETRY_TIMEOUT="4s", **keys_of(own)
        )

        await in_thread(running.first_line)
        await in_thread(own.kill)
        done = await in_thread(running.wait)
        self.assertEqual(done.code, 2, done.err)
        note, error = done.err.splitlines()[-2:]
        self.assertIn("the same command goes on from here", note)
        self.assertIn(f"{own.endpoint} (LFS_S3_ENDPOINT) cannot be reached", error)
        again = await self.fsck("--resume", str(file))
        self.assertEqual(again.lines[-1]["dangling"], 600)
        told = [line["offset"] for line in (*done.lines, *again.lines) if "finding" in line]
        self.assertEqual(told, list(range(600)))

    async def test_nobody_to_ask(self) -> None:
        done = await self.fsck(LFS_S3_BUCKET="not-there")
        self.assertEqual((done.code, list(done.lines)), (2, []))
        self.assertIn("not-there", done.err)


def keys_of(server: Any) -> Mapping[str, str]:
    return {"AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": server.secret_key}

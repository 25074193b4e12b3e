"""The ``lfsproxy`` command as a person runs it, in front of a real proxy, Kafka and S3 server."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import attrs
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from lfsproxy.devstack.process import ServerProcess
from tests.integration.proxy import ProxyProcess, own_proxy, shared_proxy
from tests.integration.stack import in_thread, stack

COMMAND = [sys.executable, "-c", "from lfsproxy.cli.main import main; main()"]
MIB = 1024 * 1024


@attrs.frozen
class Done:
    """How a command ended."""

    code: int
    out: bytes
    err: str


class CliCase(TestCase):
    timeout = 300

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    async def begin(self, proxy: ProxyProcess | None = None) -> str:
        """Servers, a proxy and a topic of this test's own; returns the topic."""
        self.servers = await stack()
        self.proxy = proxy or await shared_proxy()
        return await self.servers.new_topic("cli")

    def run_command(self, *arguments: str, stdin: bytes = b"") -> Deferred[Done]:
        """Run ``lfsproxy`` with the variables of a reader, in the test's folder."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("LFS_", "AWS_"))}

        def work() -> Done:
            done = subprocess.run(
                [*COMMAND, *arguments],
                input=stdin,
                capture_output=True,
                cwd=self.folder,
                env={**inherited, **self.servers.environment},
                check=False,
                timeout=120,
            )
            return Done(done.returncode, done.stdout, done.stderr.decode())

        return in_thread(work)

    async def run_well(self, *arguments: str, stdin: bytes = b"") -> bytes:
        done = await self.run_command(*arguments, stdin=stdin)
        self.assertEqual(done.code, 0, done.err)
        return done.out

    async def fails(self, *arguments: str, stdin: bytes = b"") -> str:
        """The one line that a failing command says, after what it had shown of its progress."""
        done = await self.run_command(*arguments, stdin=stdin)
        self.assertEqual((done.code, done.out), (1, b""))
        self.assertNotIn("Traceback", done.err)
        return done.err.splitlines()[-1]

    @property
    def to_kafka(self) -> list[str]:
        return ["--bootstrap", self.proxy.bootstrap]

    @property
    def to_http(self) -> list[str]:
        return ["--url", self.proxy.http]

    def file(self, name: str, size: int) -> bytes:
        data = random.Random(name).randbytes(size)
        (self.folder / name).write_bytes(data)
        return data


class RoundTests(CliCase):
    async def test_what_goes_in_by_either_door_comes_out_again(self) -> None:
        topic = await self.begin()
        by_http, by_kafka = self.file("http.bin", 20 * MIB), self.file("kafka.bin", 12 * MIB)
        given = ["--topic", topic, "--key", "k", "--checksum", "auto"]
        first = await self.run_well("upload", "http.bin", *given, *self.to_http)
        second = await self.run_well("produce", "kafka.bin", *given, *self.to_kafka)
        self.assertEqual((first, second), (f"{topic}:0:0\n".encode(), f"{topic}:0:1\n".encode()))

        reading = ["consume", topic, "--from-beginning", "--max-messages", "2", *self.to_kafka]
        envelopes = [json.loads(line) for line in (await self.run_well(*reading)).splitlines()]
        self.assertEqual([one["content_length"] for one in envelopes], [len(by_http), len(by_kafka)])
        described = [json.loads(line) for line in (await self.run_well(*reading, "--json")).splitlines()]
        self.assertEqual([one["envelope"] for one in described], envelopes)
        self.assertEqual([one["key"] for one in described], ["k", "k"])
        self.assertEqual(described[0]["headers"], [{"name": "lfs-filename", "value": "http.bin"}])
        self.assertEqual(described[1]["headers"], [])

        await self.run_well(*reading, "--resolve", "--output", "out")
        self.assertEqual((self.folder / "out" / f"{topic}-0-0").read_bytes(), by_http)
        self.assertEqual((self.folder / "out" / f"{topic}-0-1").read_bytes(), by_kafka)
        self.assertEqual(await self.run_well(*reading, "--resolve"), by_http + by_kafka)

        await self.run_well("download", f"{topic}:0:0", "-o", "one.bin", *self.to_kafka)
        self.assertEqual((self.folder / "one.bin").read_bytes(), by_http)
        streamed = await self.run_well("download", "-", "-o", "-", stdin=json.dumps(envelopes[1]).encode())
        self.assertEqual(streamed, by_kafka)

    async def test_standard_input_and_ordinary_records(self) -> None:
        topic = await self.begin()
        await self.run_well("upload", "-", "--topic", topic, *self.to_http, stdin=b"by http")
        await self.run_well("produce", "-", "--topic", topic, *self.to_kafka, stdin=b"by kafka")
        await self.run_well("produce", "-", "--topic", topic, "--plain", *self.to_kafka, stdin=b"plain")
        reading = ["consume", topic, "--from-beginning", "--timeout", "2", *self.to_kafka]
        self.assertEqual((await self.run_well(*reading)).splitlines()[2], b"plain")
        self.assertEqual(await self.run_well(*reading, "--resolve"), b"by httpby kafkaplain")
        self.assertEqual(await self.run_well("download", f"{topic}:0:2", "-o", "-", *self.to_kafka), b"plain")


class FailureTests(CliCase):
    async def test_each_is_one_sentence(self) -> None:
        topic = await self.begin()
        data = self.file("a.bin", 1000)
        zeros = "0" * 64
        to_topic = ["--topic", topic]
        for arguments, said in (
            (["upload", "none.bin", *to_topic, *self.to_http], "none.bin: No such file or directory"),
            (["upload", "a.bin", "--topic", "a b", *self.to_http], "Error: 'a b' is not a topic name"),
            (["upload", "a.bin", *to_topic, *self.to_http, "--checksum", zeros], f"expected {zeros}"),
            (["produce", "a.bin", *to_topic, *self.to_kafka, "--checksum", zeros], f"expected {zeros}"),
            (["produce", "a.bin", *to_topic, "--bootstrap", "127.0.0.1:1"], "cannot be reached: Connection"),
            (["consume", "no-such-topic", *self.to_kafka], "the topic no-such-topic does not exist"),
            (["download", f"{topic}:0:5", *self.to_kafka], f"there is no record at {topic}:0:5"),
            (["download", f"{topic}:7:0", *self.to_kafka], f"the topic {topic} has no partition 7"),
            (["download", "{}"], "neither an envelope nor TOPIC:PARTITION:OFFSET"),
        ):
            self.assertIn(said, await self.fails(*arguments))
        self.assertEqual(list(self.folder.iterdir()), [self.folder / "a.bin"])
        self.assertEqual((self.folder / "a.bin").read_bytes(), data)

    async def test_a_port_of_the_other_door(self) -> None:
        topic = await self.begin()
        self.file("a.bin", 8 * MIB)
        kafka = self.proxy.bootstrap
        said = await self.fails("upload", "a.bin", "--topic", topic, "--url", f"http://{kafka}")
        self.assertIn(f"Error: the connection to http://{kafka} was lost before the end of the upload", said)
        http = self.proxy.http.removeprefix("http://")
        said = await self.fails("consume", topic, "--bootstrap", http)
        self.assertIn(f"{http} is an HTTP server, not a Kafka broker", said)

    async def test_a_reader_that_leaves_ends_consume_quietly(self) -> None:
        topic = await self.begin()
        for _ in range(3):
            await self.run_well("produce", "-", "--topic", topic, "--plain", *self.to_kafka, stdin=b"plain")

        def read_one() -> tuple[bytes, bytes, int]:
            with subprocess.Popen(
                [*COMMAND, "consume", topic, "--from-beginning", *self.to_kafka],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
            ) as process:
                assert process.stdout is not None and process.stderr is not None
                line = process.stdout.read(len(b"plain\n"))
                process.stdout.close()
                return line, process.stderr.read(), process.wait(60)

        produced = in_thread(read_one)
        self.assertEqual(await produced, (b"plain\n", b"", 141))

    async def test_a_blob_that_is_gone_leaves_no_file(self) -> None:
        topic = await self.begin()
        answer = json.loads(
            await self.run_well("upload", "-", "--topic", topic, "--json", *self.to_http, stdin=b"hello")
        )
        key = answer["envelope"]["s3_key"]
        await in_thread(self.servers.s3_client().delete_object, Bucket=self.servers.bucket, Key=key)
        said = await self.fails("download", f"{topic}:0:0", "-o", "x.bin", *self.to_kafka)
        self.assertEqual(said, f"Error: the blob {self.servers.bucket}/{key} is missing")
        self.assertEqual(list(self.folder.iterdir()), [])
        reading = ["consume", topic, "--from-beginning", "--max-messages", "1", "--resolve", *self.to_kafka]
        self.assertIn("is missing", await self.fails(*reading))
        self.assertEqual(await self.run_well(*reading, "--on-missing", "skip"), b"")

    async def test_an_upload_that_is_too_large_is_told_so(self) -> None:
        servers = await stack()
        topic = await self.begin(await own_proxy(self, servers, LFS_MAX_UPLOAD_SIZE="1000"))
        self.file("large.bin", 8 * MIB)
        said = await self.fails("upload", "large.bin", "--topic", topic, *self.to_http)
        self.assertIn("Error: more than LFS_MAX_UPLOAD_SIZE allows (1000 bytes)", said)


class ServeTests(CliCase):
    async def test_serves_until_it_is_told_to_stop(self) -> None:
        topic = await self.begin()
        served = ProxyProcess(self.servers.environment)
        self.addCleanup(in_thread, served.close)
        process = ServerProcess("lfsproxy serve", self.folder / "serve.log")
        self.addCleanup(in_thread, process.kill)
        await in_thread(
            process.start,
            [*COMMAND, "serve", "--namespace=served"],
            ready=served.is_ready,
            timeout=60,
            cwd=self.folder,
            env=served.environment,
        )
        arguments = ["upload", "-", "--topic", topic, "--json", "--url", served.http]
        answer = json.loads(await self.run_well(*arguments, stdin=b"hello"))
        self.assertIn("lfs/served/", answer["envelope"]["s3_key"])
        await in_thread(process.stop)
        self.assertFalse((self.folder / "twistd.pid").exists())

    async def test_a_setting_that_cannot_be_used_is_one_line(self) -> None:
        await self.begin()
        done = await self.run_command("serve", "--http-addr", "nowhere")
        self.assertEqual(done.code, 1)
        self.assertIn("LFS_HTTP_ADDR", done.err)
        self.assertEqual(len(done.err.splitlines()), 1)

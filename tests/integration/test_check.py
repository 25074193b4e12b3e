"""lfsproxy check with real servers: what works, and of each broken set-up what is wrong and what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from lfsproxy.cli.healthcheck import is_alive
from lfsproxy.devstack.ports import HOST, free_port
from lfsproxy.settings import load_settings
from tests.docs.shell import blocks_run_by
from tests.integration.broken_setups import Setup, Told, check, check_each, no_other_credentials, setups
from tests.integration.secured import secured
from tests.integration.stack import in_thread, stack
from tests.integration.test_mistakes import NOTATION
from tests.s3.fake_s3 import FakeS3
from tests.s3.faults import Fault, Refuse, Silence

PAGE = Path(__file__).parents[2] / "docs" / "operate" / "upkeep.md"
LFSPROXY = Path(sys.executable).parent / "lfsproxy"


class BrokenSetupTests(TestCase):
    timeout = 300

    async def test_each_is_told_as_the_page_shows_it(self) -> None:
        shown = PAGE.read_text(encoding="utf-8").splitlines()
        async with setups() as (all_of_them, right):
            told = await check_each(all_of_them, right)
        self.assertGreater(len(told), 40)
        self.assertEqual([one.row for one in told if one.row not in shown], [])
        [denied] = [one for one in told if one.setup.name == "the Kafka user may not write to the topic"]
        [largest] = [step for step in denied.steps if step.name.endswith(" max.message.bytes")]
        self.assertEqual((largest.ok, largest.note[:9]), (True, "not known"))

    def test_the_page_has_words_that_people_read(self) -> None:
        rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
        self.assertEqual([row for row in rows if any(text in row for text in NOTATION)], [])
        failed = [row for row in rows if "| FAILED " in row]
        self.assertEqual([row for row in failed if row.endswith("|  |")], [])
        self.assertGreater(len(failed), 35)


class CommandTests(TestCase):
    """In a process of its own, as people run it."""

    timeout = 120

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        ports = {
            name: f"{HOST}:{free_port()}" for name in ("LFS_HTTP_ADDR", "LFS_METRICS_ADDR", "LFS_KAFKA_ADDR")
        }
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("AWS_", "LFS_"))}
        return {**kept, **ports, "LFS_KAFKA_BROKER_PORT_BASE": str(free_port() - 1), **settings}

    async def run_check(
        self, settings: Mapping[str, str], *arguments: str
    ) -> subprocess.CompletedProcess[str]:
        def run() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [LFSPROXY, "check", *arguments],
                env=self.environment(settings),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )

        return await in_thread(run)

    async def test_what_works(self) -> None:
        servers = await secured()
        topic = "check-works"
        await in_thread(servers.kafka.create_topic, topic, partitions=3, config={"cleanup.policy": "compact"})
        before = await self.keys()
        settings = {**servers.stack.environment, **servers.environment("DOUBLE", "SCRAM-SHA-256")}
        done = await self.run_check(settings, "--topic", topic, "--json")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        self.assertEqual((said["ok"], said["failed"], said["skipped"]), (True, 0, 0))
        steps = {step["name"].rpartition(": ")[2]: step for step in said["steps"]}
        self.assertIn("certificate for localhost, 127.0.0.1 by CN=tests", steps["TLS"]["note"])
        self.assertEqual(steps["sign-in"]["note"], "SCRAM-SHA-256 as proxy")
        self.assertEqual(steps["read back"]["ok"], True)
        self.assertEqual(await self.keys(), before)

    async def keys(self) -> list[str]:
        """What is in the bucket of what checks have written."""
        servers = await stack()
        prefix = "lfs/default/lfsproxy-check/"
        listed = await in_thread(servers.s3_client().list_objects_v2, Bucket=servers.bucket, Prefix=prefix)
        return [each["Key"] for each in listed.get("Contents", [])]

    async def test_a_table_and_status_1(self) -> None:
        servers = await stack()
        done = await self.run_check({**servers.environment, "LFS_S3_BUCKET": "nowhere"})
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        self.assertRegex(done.stdout, r"(?m)^FAILED   S3: bucket +\d+\.\d\d s  http://.* NoSuchBucket")
        self.assertRegex(done.stdout, r"(?m)^ +-> there is no bucket nowhere: create it")
        self.assertRegex(done.stdout, r"(?m)^skipped  S3: put +skipped because bucket failed$")
        self.assertRegex(done.stdout, r"\n\n\d+ steps: \d+ ok, 1 failed, 8 skipped\n\Z")

    async def test_as_the_page_has_it(self) -> None:
        servers = await stack()
        await in_thread(servers.kafka.create_topic, "demo-topic")
        [block] = blocks_run_by(__name__, "docs/operate/upkeep.md")
        environment = self.environment(servers.environment)
        environment["PATH"] = f"{LFSPROXY.parent}:{environment['PATH']}"

        def paste() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                ["bash", "-e"], input=block.code, env=environment, capture_output=True, text=True, check=False
            )

        done = await in_thread(paste)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        *_, summary, last = done.stdout.splitlines()
        self.assertRegex(summary, r"^\d+ steps: \d+ ok, 0 failed, 0 skipped$")
        self.assertEqual(json.loads(last)["ok"], True)
        self.assertIn("Kafka topic demo-topic: read back", done.stdout)

    async def test_settings_that_cannot_be(self) -> None:
        done = await self.run_check({"LFS_S3_PART_SIZE": "none"}, "--json")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertRegex(done.stderr, r"\AError: LFS_S3_PART_SIZE is 'none': .*\n\Z")

    async def test_a_proxy_that_runs_may_have_its_ports(self) -> None:
        servers = await stack()
        environment = self.environment(servers.environment)
        process = await in_thread(self.serve, environment)
        try:
            address = environment["LFS_HTTP_ADDR"]
            done = await self.run_check(environment)
            itself = environment["LFS_KAFKA_ADDR"]
            # As another machine has it, where its own port is no hint.
            looped = await self.run_check(
                {**environment, "LFS_KAFKA_BROKERS": itself, "LFS_KAFKA_ADDR": f"{HOST}:{free_port()}"}
            )
            refused = await self.run_check({**environment, "LFS_KAFKA_BROKERS": itself})
        finally:
            process.terminate()
            await in_thread(process.wait)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertRegex(
            done.stdout, rf"ok, but  listener: LFS_HTTP_ADDR, {address} +.* in use by what answers"
        )
        self.assertNotIn("answers as an LFS Proxy does", done.stdout)
        self.assertEqual(looped.returncode, 1, looped.stdout)
        self.assertRegex(looped.stdout, rf"ok, but  Kafka {itself}: API versions .* answers as an LFS Proxy")
        self.assertRegex(looped.stdout, rf"FAILED   Kafka {itself}: metadata .* is this proxy itself")
        self.assertEqual(refused.returncode, 2)
        self.assertIn("the proxy itself listens there (LFS_KAFKA_ADDR)", refused.stderr)

    def serve(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """A proxy that is alive. Blocks."""
        silent = subprocess.DEVNULL
        process = subprocess.Popen([LFSPROXY, "serve"], env=dict(environment), stdout=silent, stderr=silent)
        settings = load_settings(environment, {}).settings
        while not is_alive(settings):
            assert process.poll() is None
            time.sleep(0.05)
        return process


class LeftoverTests(TestCase):
    """Nothing stays in the bucket, whatever ends a check."""

    timeout = 60

    async def begin(self, operation: str, fault: Fault) -> tuple[FakeS3, Deferred[Told]]:
        """A check that has met the fault, which is what the store does at ``operation``."""
        fake = FakeS3()
        port: Any = cast(Any, reactor).listenTCP(0, fake, interface=HOST)
        self.addCleanup(port.stopListening)
        fake.always[operation] = fault
        servers = await stack()
        right = {**servers.environment, "LFS_S3_ENDPOINT": f"http://{HOST}:{port.getHost().port}"}
        asked = fake.came(operation)
        checking = Deferred.fromCoroutine(check(Setup("hangs", {}), right))
        await asked
        return fake, checking

    async def test_an_interrupt(self) -> None:
        for operation in ("get_object", "upload_part", "list_multipart_uploads"):
            with no_other_credentials():
                fake, checking = await self.begin(operation, Silence())
                self.assertTrue(fake.objects)
                del fake.always[operation]
                checking.cancel()
                await self.assertFailure(checking, CancelledError)
            self.assertEqual((fake.objects, fake.uploads), ({}, {}), operation)

    async def test_a_step_that_failed(self) -> None:
        with no_other_credentials():
            fake, checking = await self.begin("complete_multipart_upload", Refuse(403, "AccessDenied"))
            told = await checking
        self.assertEqual(told.step.name, "S3: multipart upload")
        self.assertEqual((fake.objects, fake.uploads), ({}, {}))

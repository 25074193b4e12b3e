"""``make bench`` from end to end, in front of servers that keep nothing: a tiny workload, well and badly."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from benchmarks.compare import client
from benchmarks.compare.client import ClientFailed
from benchmarks.compare.jobs import Job
from benchmarks.compare.results import read
from benchmarks.compare.session import measure
from benchmarks.compare.targets import Options, Servers, Target
from benchmarks.compare.workloads import LOADS, chosen
from lfsproxy.devstack.errors import DevstackError
from lfsproxy.devstack.ports import HOST, free_port
from tests.docs.blocks import ROOT
from tests.integration.stack import in_thread


class BenchTests(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()

    async def bench(self, *options: str) -> tuple[int, str, str]:
        """Run it; its exit status, and what it printed on both ways. The results are in ``self.folder``."""
        command = [sys.executable, "-m", "benchmarks.run", "--only", "tiny", "--targets", "null"]
        done: subprocess.CompletedProcess[str] = await in_thread(
            subprocess.run,
            [*command, "--out", str(self.folder), *options],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=100,
        )
        return done.returncode, done.stdout, done.stderr

    async def test_each_round_gives_rates_times_cpu_time_and_memory(self) -> None:
        status, said, errors = await self.bench("--rounds", "2")
        self.assertEqual((status, errors), (0, ""), said)
        samples = read(self.folder / "results.json").runs["tiny"]["null"]
        self.assertEqual([each.requests for each in samples], [40, 40])
        for each in samples:
            assert each.p50 and each.p99 and each.cpu is not None and each.base and each.peak
            self.assertLess(each.p50, each.seconds)
            self.assertGreaterEqual(each.p99, each.p50)
            # Less than a second for each of some cores, and more than an interpreter.
            self.assertLess(each.cpu, 8 * each.seconds)
            self.assertGreaterEqual(each.peak, each.base)
            self.assertGreater(each.base, 30_000_000)
        self.assertIn("(tiny)", said)
        self.assertIn("`tiny`", (self.folder / "results.md").read_text())
        self.assertIn("<svg", (self.folder / "bench-speed-dark.svg").read_text())

    async def test_a_target_that_fails_is_named_and_ends_in_status_1(self) -> None:
        status, said, errors = await self.bench("--rounds", "1", "--set", "LFS_MAX_UPLOAD_SIZE=99")
        self.assertEqual(status, 1, said)
        self.assertIn("FAILED: tiny by null: RuntimeError: the answer was b'HTTP/1.1 413", errors)
        found = read(self.folder / "results.json")
        self.assertEqual((found.runs["tiny"], list(found.failed)), ({}, ["tiny by null"]))

    async def test_a_target_that_does_not_start_is_named(self) -> None:
        def start(servers: Servers, options: Options) -> contextlib.nullcontext[Any]:
            raise DevstackError("it has no port")

        target = Target("broken", "", tuple(LOADS), start, null=True)
        [done] = await in_thread(lambda: list(measure(chosen(["tiny"]), [target], Options(), 1)))
        self.assertEqual((done.runs, done.failed), ({}, {"broken": "it has no port"}))


class ClientTests(TestCase):
    def job(self, port: int) -> Job:
        return Job("upload_in_turn", 1, 1, 1, "topic", "", http_port=port, path="/")

    async def test_a_client_that_fails_says_why(self) -> None:
        begun: list[None] = []
        failed = in_thread(client.run, self.job(free_port()), lambda: begun.append(None))
        error = await self.assertFailure(failed, ClientFailed)
        self.assertIn("ConnectionRefusedError", str(error))
        self.assertEqual(begun, [])

    async def test_a_client_that_gets_no_answer_is_ended(self) -> None:
        self.patch(client, "LIMIT", 2.0)
        with socket.create_server((HOST, 0)) as silent:
            error = await self.assertFailure(
                in_thread(client.run, self.job(silent.getsockname()[1])), ClientFailed
            )
        self.assertEqual(str(error), "the client ended with -9")

"""The demo as a user runs it: on servers of its own until Ctrl-C, and once on servers that are there."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from twisted.trial import unittest

from tests.devstack.test_demo import DEMO, ROOT, free_variables
from tests.integration.stack import Stack, in_thread, stack

SMALL = {
    "LFS_DEMO_FILE_SIZE": "20000000",
    "LFS_DEMO_RECORD_SIZE": "9000000",
    "LFS_DEMO_WHOLE_SIZE": "9000000",
}
SECONDS = 120


class DemoTests(unittest.TestCase):
    timeout = 3 * SECONDS
    """In seconds: it starts seven processes, on a machine that may be busy."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.ports = free_variables()

    def start(self, arguments: Sequence[str], variables: dict[str, str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*DEMO, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **self.ports, **SMALL, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def until_invited(self) -> tuple[list[str], str, int]:
        """Run it, consume as invited, end it by Ctrl-C: its lines, what was consumed, its status."""
        with self.start(["--data", str(self.folder / "data")], {}) as demo:
            assert demo.stdout is not None
            lines = []
            consumed = ""
            for line in demo.stdout:
                lines.append(line.strip())
                if match := re.match(r'\s+export PATH="(.+):\$PATH"', line):
                    consumer = "kafka-console-consumer --topic demo-topic --from-beginning --max-messages 3"
                    done = subprocess.run(
                        ["sh", "-euc", f"{match[0].strip()}\n{consumer}"],
                        capture_output=True,
                        text=True,
                        check=False,
                    )
                    consumed = done.stdout
                    demo.send_signal(signal.SIGINT)
            return lines, consumed, demo.wait(SECONDS)

    async def test_it_stays_up_until_interrupted_and_leaves_nothing(self) -> None:
        lines, consumed, status = await in_thread(self.until_invited)
        shown = "\n".join(lines)
        verified = re.findall("sha256 [0-9a-f]{64}: what was sent", shown)
        self.assertEqual((status, len(verified)), (0, 2), shown)
        self.assertRegex(shown, "9000000 bytes, sha256 [0-9a-f]{64}: byte for byte what was sent")
        self.assertRegex(shown, r"In Kafka: \d{3} bytes, \{\"lfs_version\":1,")
        starts = ['{"lfs_version":', '{"lfs_version":', '{"hello": "kafk']
        self.assertEqual([line[:15] for line in consumed.splitlines()], starts)
        self.assertEqual((self.folder / "large-file.bin").stat().st_size, 20_000_000)
        for port in self.ports.values():
            with socket.socket() as probe:
                self.assertNotEqual(probe.connect_ex(("127.0.0.1", int(port))), 0, f"{port} is still open")

    def run_once(self, servers: Stack) -> tuple[int, str]:
        arguments = ["--kafka", servers.kafka.bootstrap, "--s3-endpoint", servers.s3.endpoint]
        keys = {"AWS_ACCESS_KEY_ID": servers.s3.access_key, "AWS_SECRET_ACCESS_KEY": servers.s3.secret_key}
        with self.start(arguments, {"DEMO_ONCE": "1", **keys}) as demo:
            output, _ = demo.communicate(timeout=SECONDS)
            return demo.returncode, output

    async def test_one_round_on_servers_that_are_there(self) -> None:
        status, output = await in_thread(self.run_once, await stack())
        self.assertEqual(status, 0, output)
        self.assertIn("The round is complete.", output)
        self.assertNotIn("Apache Kafka at", output)

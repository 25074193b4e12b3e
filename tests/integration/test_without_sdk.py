"""docs/how-to/without-an-sdk.md as it is pasted: the proxy by its settings, then its commands and 300 MB."""

from __future__ import annotations

import subprocess
from pathlib import Path

from twisted.trial.unittest import TestCase

from tests.docs.shell import blocks_run_by
from tests.integration.clients.commands import kcat
from tests.integration.clients.java import tools
from tests.integration.proxy import own_proxy
from tests.integration.stack import in_thread, stack

PAGE = "docs/how-to/without-an-sdk.md"
SIZE = 300_000_000
MOST_MEMORY = 200_000_000


class PageTests(TestCase):
    timeout = 180

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def run_in(self, commands: str, path: str = "/usr/bin:/bin") -> str:
        """What the commands write; they must succeed."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self.folder,
            env={"PATH": path},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    async def test_a_record_of_300_mb_is_read_by_those_who_know_nothing_of_s3(self) -> None:
        servers = await stack()
        command, *_ = kcat(servers.kafka.bootstrap)
        settings, *others = [block.code for block in blocks_run_by(__name__, PAGE)]
        exported = self.run_in(f"{settings}env").splitlines()
        chosen = dict(line.split("=", 1) for line in exported if line.startswith("LFS_"))
        self.assertEqual(len(chosen), 4)
        proxy = await own_proxy(self, servers, **chosen)
        topic = await servers.new_topic("large")
        kafka = await in_thread(tools, proxy.bootstrap)
        pasted = "".join(others).replace("localhost:19092", proxy.bootstrap).replace("large-topic", topic)
        path = f"{Path(command).parent}:{kafka}:/usr/bin:/bin"
        same, length, *envelope = (await in_thread(self.run_in, pasted, path)).splitlines()
        self.assertEqual((same, int(length)), ("the same 300 MB", SIZE + 1))
        self.assertEqual([line[:15] for line in envelope], ['{"lfs_version":'])
        self.assertLess(proxy.peak_memory, MOST_MEMORY)

"""The commands of the pages for operators, as pasted, in front of the tests' servers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from twisted.trial.unittest import TestCase

from lfsproxy.devstack.tools import write_tools
from tests.docs.shell import blocks_run_by
from tests.integration.proxy import ProxyProcess, shared_proxy
from tests.integration.stack import Stack, in_thread, stack


class CommandTests(TestCase):
    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        self.servers = await stack()
        self.proxy = await shared_proxy()

    async def run_blocks(self, page: str, *begins: str) -> list[str]:
        """The output of each block of a page that this module runs."""
        blocks = [block.code for block in blocks_run_by(__name__, page)]
        self.assertEqual([code.split()[0] for code in blocks], list(begins))
        return [
            await in_thread(paste, code, self.proxy, self.servers, Path(self.mktemp())) for code in blocks
        ]

    async def test_install(self) -> None:
        (said,) = await self.run_blocks("docs/operate/install.md", "curl")
        ready, uploaded, *rest = said.splitlines()
        self.assertIn('"ready"', ready)
        self.assertIn('"content_length"', uploaded)
        self.assertIn("\nhello\n", said)
        self.assertIn("lfsproxy_build_info{", rest[-1])

    async def test_upgrade(self) -> None:
        (said,) = await self.run_blocks("docs/operate/upgrade.md", "curl")
        for word in ('"ready"', "lfsproxy_build_info{", "lfsproxy_uploads_total"):
            self.assertIn(word, said)

    async def test_retention(self) -> None:
        await in_thread(self.servers.kafka.create_topic, "clips")
        (said,) = await self.run_blocks("docs/operate/retention.md", "kafka-configs")
        self.assertIn("Completed updating config", said)


def paste(code: str, proxy: ProxyProcess, servers: Stack, folder: Path) -> str:
    """Run commands of a page with the addresses of the tests. What they print; they must succeed. Blocks."""
    tools = write_tools(folder.absolute(), servers.kafka.bootstrap)
    for written, real in (
        ("localhost:8080", f"127.0.0.1:{proxy.http_port}"),
        ("localhost:9095", f"127.0.0.1:{proxy.metrics_port}"),
        ("kafka:9092", servers.kafka.bootstrap),
    ):
        code = code.replace(written, real)
    done = subprocess.run(
        ["sh", "-e", "-c", code],
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "no_proxy": "*"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"{code}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout

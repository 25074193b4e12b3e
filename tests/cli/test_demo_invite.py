"""The demo's last words can be pasted: they bring every command and address, and show no secret."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.cli.demo_invite import commands, exports, places
from lfsproxy.cli.demo_screen import Screen
from lfsproxy.cli.demo_servers import Plan, Servers


class InviteTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute() / "a folder's name"
        self.folder.mkdir(parents=True)

    def servers(self, **variables: str) -> Servers:
        plan = Plan(
            kafka_port=1001,
            s3_port=1002,
            http_port=1003,
            proxy_port=1004,
            metrics_port=1005,
            data=self.folder,
            file_size=1,
            record_size=1,
            whole_size=1,
        )
        return Servers(plan, Screen(Console(quiet=True)), variables)

    def after(self, servers: Servers, command: str) -> str:
        """What a command prints in a shell that got the lines to paste, and nothing of ours before."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("LFS_", "AWS_"))}
        script = "\n".join([*exports(servers, self.folder), command])
        done = subprocess.run(
            ["sh", "-euc", script],
            env={**inherited, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.strip()

    def test_the_page_and_the_description_are_named(self) -> None:
        texts = dict(places(self.servers()))
        self.assertEqual(texts["Upload page"], "http://localhost:1003/")
        self.assertIn("http://localhost:1003/docs", texts["HTTP API"])

    def test_the_lines_bring_the_folder_the_command_and_the_addresses(self) -> None:
        servers = self.servers()
        servers.tools = self.folder
        (self.folder / "kafka-topics").write_text("#!/bin/sh\necho these\n")
        (self.folder / "kafka-topics").chmod(0o755)
        self.assertEqual(self.after(servers, "pwd"), str(self.folder))
        self.assertEqual(self.after(servers, "kafka-topics"), "these")
        self.assertEqual(
            self.after(servers, "command -v lfsproxy"), str(Path(sys.executable).parent / "lfsproxy")
        )
        self.assertEqual(
            self.after(servers, 'echo "$LFS_PROXY_URL $LFS_PROXY_BOOTSTRAP $LFS_S3_ENDPOINT"'),
            "http://localhost:1003 localhost:1004 http://localhost:1002",
        )
        self.assertEqual(self.after(servers, 'echo "$AWS_SECRET_ACCESS_KEY"'), "minioadmin")

    def test_commands_need_no_address_of_the_proxy(self) -> None:
        self.assertIn("lfsproxy download demo-topic:0:0 -o again.bin", commands(self.servers()))

    def test_a_secret_of_the_users_own_is_not_shown(self) -> None:
        servers = self.servers(AWS_ACCESS_KEY_ID="me", AWS_SECRET_ACCESS_KEY="hunter2")
        shown = "\n".join([*exports(servers, self.folder), *commands(servers)])
        self.assertNotIn("hunter2", shown)
        self.assertNotIn("AWS_", shown)
        self.assertIn("LFS_S3_BUCKET=kafscale", shown)

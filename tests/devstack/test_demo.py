"""The demo's failures: one sentence with the way out, status 2; and what it checks first."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import attrs
import psutil
from rich.console import Console
from twisted.trial import unittest

from lfsproxy.cli.demo_screen import MIB, Screen
from lfsproxy.cli.demo_servers import Plan, Servers
from lfsproxy.devstack.errors import DevstackError
from lfsproxy.devstack.ports import free_port, free_ports

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, "-c", "from lfsproxy.cli.demo import demo; demo(prog_name='lfsproxy demo')"]


def free_variables() -> dict[str, str]:
    """Variables that give every server a port of its own, the proxy's Kafka door one with two more above."""
    ports = {f"LFS_DEMO_{name}_PORT": str(free_port()) for name in ("HTTP", "METRICS", "KAFKA", "S3")}
    return {**ports, "LFS_DEMO_PROXY_PORT": str(free_ports(3))}


class CommandTests(unittest.SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def fails(self, *arguments: str, **variables: str) -> str:
        """What it says on standard error, with status 2."""
        done = subprocess.run(
            [*DEMO, *arguments],
            cwd=self.folder,
            env={
                **os.environ,
                **free_variables(),
                "PYTHONPATH": str(ROOT),
                "TMPDIR": str(self.folder),
                **variables,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (2, 1), done.stderr)
        self.assertEqual(list(self.folder.glob("lfsproxy-demo-*")), [])
        return done.stderr

    def test_a_port_in_use_names_its_holder_and_the_variable(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = holder.getsockname()[1]
            message = self.fails(LFS_DEMO_S3_PORT=str(port))
        self.assertIn(f"Port {port} (S3) is in use by", message)
        self.assertIn(f"(process {os.getpid()})", message)
        self.assertIn("LFS_DEMO_S3_PORT", message)

    def test_no_network_is_one_sentence(self) -> None:
        message = self.fails(
            LFS_DEMO_CACHE=str(self.folder / "cache"), LFS_DEMO_MAVEN_URL="http://127.0.0.1:9/maven2"
        )
        self.assertIn("could not be downloaded from http://127.0.0.1:9/maven2", message)
        self.assertIn("LFS_DEMO_CACHE", message)

    def test_a_data_folder_that_cannot_be_made_is_one_sentence(self) -> None:
        (self.folder / "file").touch()
        self.assertIn("LFS_DEMO_DATA", self.fails("--data", str(self.folder / "file" / "data")))

    def test_a_folder_that_is_not_there_is_told_before_anything_starts(self) -> None:
        nothing_to_start = {
            "LFS_DEMO_CACHE": str(self.folder / "cache"),
            "LFS_DEMO_MAVEN_URL": "http://127.0.0.1:9/maven2",
        }
        message = self.fails(LFS_DEMO_FOLDER=str(self.folder / "nowhere"), **nothing_to_start)
        self.assertIn("nowhere/", message)
        self.assertIn("name one in LFS_DEMO_FOLDER", message)


class MachineTests(unittest.SynchronousTestCase):
    def setUp(self) -> None:
        ports = [free_port() for _ in range(4)]
        self.plan = Plan(
            kafka_port=ports[0],
            s3_port=ports[1],
            http_port=ports[2],
            metrics_port=ports[3],
            proxy_port=free_ports(3),
            data=Path(self.mktemp()).absolute(),
            file_size=64 * MIB,
            record_size=16 * MIB,
            whole_size=30 * MIB,
        )
        self.screen = Screen(Console(quiet=True))

    def refused(self) -> str:
        with self.assertRaises(DevstackError) as caught:
            Servers(self.plan, self.screen, {}).check_machine()
        return str(caught.exception)

    def test_too_little_disk_names_the_folder_and_the_variables(self) -> None:
        self.patch(shutil, "disk_usage", lambda path: SimpleNamespace(free=300 * MIB))
        message = self.refused()
        self.assertIn(f"{self.plan.data} has 300 MiB free and the demo needs 420 MiB", message)
        self.assertIn("LFS_DEMO_FILE_SIZE", message)

    def test_too_little_memory_names_the_way_out(self) -> None:
        self.patch(psutil, "virtual_memory", lambda: SimpleNamespace(available=500 * MIB))
        message = self.refused()
        self.assertIn("500 MiB of memory", message)
        self.assertIn("--kafka", message)

    def test_servers_of_ones_own_need_neither_their_ports_nor_their_memory(self) -> None:
        self.patch(psutil, "virtual_memory", lambda: SimpleNamespace(available=500 * MIB))
        with (
            socket.create_server(("127.0.0.1", self.plan.kafka_port)),
            socket.create_server(("127.0.0.1", self.plan.s3_port)),
        ):
            plan = attrs.evolve(self.plan, kafka="broker:9092", s3_endpoint="http://store:9000")
            servers = Servers(plan, self.screen, {})
            servers.check_machine()
        self.assertEqual((servers.brokers, servers.s3_endpoint), ("broker:9092", "http://store:9000"))
        self.assertNotIn("AWS_ACCESS_KEY_ID", servers.s3_environment)

    def test_the_users_own_keys_become_the_local_servers(self) -> None:
        keys = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "my secret"}
        servers = Servers(self.plan, self.screen, keys)
        self.assertEqual({name: servers.s3_environment[name] for name in keys}, keys)
        assert servers.s3 is not None
        self.assertEqual((servers.s3.access_key, servers.s3.secret_key), ("me", "my secret"))


class ScreenTests(unittest.SynchronousTestCase):
    def test_text_of_others_is_no_markup(self) -> None:
        with open(os.devnull, "w") as nowhere:
            console = Console(file=nowhere, record=True, width=200)
            screen = Screen(console)
            screen.good("topic [bold]")
            screen.say("value [red]")
            screen.step("[/] a file")
        self.assertEqual(
            [line.strip() for line in console.export_text().split("\n") if line.strip()],
            ["ok topic [bold]", "value [red]", "1. [/] a file"],
        )

    def test_a_log_gets_the_outcome_of_what_moved(self) -> None:
        with open(os.devnull, "w") as nowhere:
            console = Console(file=nowhere, record=True, width=200)
            with Screen(console).moving("Uploading", 2 * MIB) as move:
                move(MIB)
                move(2 * MIB)
        self.assertRegex(console.export_text(), r"Uploading: 2 MiB in \d+\.\d s")

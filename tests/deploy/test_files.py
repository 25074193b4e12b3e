"""The files in deploy/ agree with the settings, and systemd accepts the unit."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.net.listening import BACKLOG
from lfsproxy.settings import Settings, setting_table, variable
from lfsproxy.systemd import EXTEND_SECONDS
from tests.deploy.stopping import clean_up_seconds
from tests.docs.shell import blocks_run_by, shell_blocks

ROOT = Path(__file__).parents[2]
SYSTEMD = ROOT / "deploy" / "systemd"
HOW_TO = ROOT / "docs" / "how-to" / "systemd.md"


class DockerTests(SynchronousTestCase):
    def test_each_docker_run_says_what_kafka_clients_are_told(self) -> None:
        # Without it they are told the container's own address, which nobody else reaches.
        places = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "deploy" / "Dockerfile"]
        commands = [
            command
            for place in places
            for command in re.findall(r"docker run (?:.*\\\n)*.*", place.read_text(encoding="utf-8"))
        ]
        self.assertTrue(commands)
        for command in commands:
            self.assertIn("-e LFS_KAFKA_ADVERTISED_HOST=", command)


class SystemdTests(SynchronousTestCase):
    def test_the_environment_file_has_every_setting_with_its_default(self) -> None:
        lines = (SYSTEMD / "lfsproxy.env").read_text().splitlines()
        written = dict(re.findall(r"^#(LFS_\w+)=(.*)$", "\n".join(lines), re.M))
        table = {variable(name): info.default for name, info in setting_table().items()}
        self.assertEqual(written, table)

    def test_the_environment_file_changes_nothing_as_it_is(self) -> None:
        lines = (SYSTEMD / "lfsproxy.env").read_text().splitlines()
        self.assertEqual([line for line in lines if line and not line.startswith("#")], [])

    def test_a_stop_has_more_time_than_draining_takes(self) -> None:
        draining = Settings().drain_delay + Settings().drain_timeout
        self.assertGreaterEqual(self.seconds("TimeoutStopSec"), draining + clean_up_seconds())

    def test_the_pages_give_a_stop_the_time_that_it_takes(self) -> None:
        least = clean_up_seconds()
        whole = int(Settings().drain_delay + Settings().drain_timeout) + least
        for page, sentence in (
            (
                "docs/operate/install.md",
                f"`LFS_DRAIN_DELAY` + `LFS_DRAIN_TIMEOUT` + {least} s, which is {whole} s",
            ),
            ("docs/operate/container.md", f"`LFS_DRAIN_DELAY` + `LFS_DRAIN_TIMEOUT` + {least} s: {whole} s"),
            ("docs/operate/helm.md", f"with {least} s to clean up"),
            ("docs/brokers.md", f"`LFS_DRAIN_DELAY` + `LFS_DRAIN_TIMEOUT` + {least}."),
            ("docs/how-to/systemd.md", f"and {least} s to clean up"),
            ("deploy/Dockerfile", f"--stop-timeout {whole}."),
            ("README.md", f"--stop-timeout {whole} "),
        ):
            said = " ".join((ROOT / page).read_text(encoding="utf-8").replace("\n# ", "\n").split())
            self.assertIn(sentence, said, page)

    def test_a_shell_takes_the_environment_file(self) -> None:
        (block,) = [block for block in shell_blocks("docs/operate/install.md") if "set -a" in block.code]
        file = Path(self.mktemp()).absolute()
        text = (SYSTEMD / "lfsproxy.env").read_text(encoding="utf-8")
        given = {
            "LFS_KAFKA_BROKERS": "[::1]:9092,kafka:9092",
            "LFS_TOPICS": "clips,image-*",
            "LFS_CORS_ORIGINS": "*",
        }
        for name, value in given.items():
            text = re.sub(rf"^#{name}=.*$", f"{name}={value}", text, flags=re.M)
        file.write_text(text, encoding="utf-8")
        code = block.code.replace("/etc/lfsproxy/lfsproxy.env", str(file))
        code = code.replace("exec /opt/lfsproxy/bin/twistd -n --pidfile= lfsproxy", "exec env")
        code = code.replace("ulimit -n 65536", "")
        done = subprocess.run(["sh", "-e", "-c", code], capture_output=True, text=True, check=True, env={})
        printed = dict(line.split("=", 1) for line in done.stdout.splitlines())
        self.assertEqual({name: value for name, value in printed.items() if name.startswith("LFS_")}, given)

    def test_whoever_waits_for_a_job_waits_longer_than_a_start_or_a_stop_takes(self) -> None:
        waits = self.seconds("JobRunningTimeoutSec")
        self.assertGreater(waits, self.seconds("TimeoutStopSec"))
        self.assertGreater(waits, self.seconds("TimeoutStartSec"))

    def test_a_start_that_waits_asks_for_more_time_before_the_first_is_over(self) -> None:
        self.assertGreater(self.seconds("TimeoutStartSec"), 3 * EXTEND_SECONDS)

    def test_the_sockets_are_the_addresses_of_the_settings(self) -> None:
        settings = Settings()
        ports = list(map(int, re.findall("^ListenStream=(.*)$", self.socket(), re.M)))
        listened = [settings.http_addr, settings.metrics_addr, settings.kafka_addr]
        self.assertEqual(ports[:3], [address.port for address in listened])
        self.assertEqual({address.host for address in listened}, {""})
        first = settings.broker_port_base
        self.assertEqual(ports[3:], list(range(first, first + 4)))

    def test_as_many_connections_wait_at_systemds_sockets_as_at_our_own(self) -> None:
        self.assertIn(f"\nBacklog={BACKLOG}\n", self.socket())

    def test_each_setting_that_names_a_file_has_its_credential(self) -> None:
        pairs = re.findall(r"^#LoadCredential=(.*):(.*)\n#Environment=(.*)=(.*)$", self.unit(), re.M)
        files = {variable(name) for name, info in setting_table().items() if info.parse.is_file}
        self.assertEqual({setting for _, _, setting, _ in pairs}, files)
        for name, path, setting, value in pairs:
            self.assertEqual((path, value), (f"/etc/lfsproxy/{name}", f"%d/{name}"), setting)
        self.assertEqual(len({name for name, *_ in pairs}), len(files))

    def test_the_how_to_has_the_units_own_pairs(self) -> None:
        drop_in = re.findall(r"```ini\n(.*?)```", HOW_TO.read_text(), re.S)[0]
        lines = re.findall(r"^ *((?:LoadCredential|Environment)=.*)$", drop_in, re.M)
        self.assertEqual(len(lines), 8)
        for line in lines:
            self.assertIn(f"\n#{line}\n", self.unit())

    def test_the_pages_agree_about_what_a_stop_does_to_work_that_is_left(self) -> None:
        cut = r"^3\. (Work that is not finished then is cut: .*?)^(?:4\.|\n|#)"
        said = [
            " ".join(found.replace("](../", "](").split())
            for page in (HOW_TO, ROOT / "docs" / "http.md")
            for found in re.findall(cut, page.read_text(encoding="utf-8"), re.M | re.S)
        ]
        self.assertEqual(len(said), 2)
        self.assertEqual(said[0], said[1])

    def test_systemd_accepts_the_unit_and_the_socket(self) -> None:
        # The commands have to exist for systemd to be content; besides, every credential is taken in, and the
        # check before the start.
        whole = re.sub("^#(LoadCredential|Environment)=", r"\1=", self.unit(), flags=re.M)
        check = re.findall(r"```ini\n(.*?)```", HOW_TO.read_text(), re.S)[2]
        self.assertIn("ExecStartPre=-/opt/lfsproxy/bin/lfsproxy check --quiet\n", check)
        whole = whole.replace("[Service]\n", check)
        text, changed = re.subn(
            "^(ExecStart|ExecStartPre)=(-?)[^ ]+", rf"\1=\2{sys.executable}", whole, flags=re.M
        )
        self.assertEqual(changed, 2)
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        unit, sockets = folder / "lfsproxy.service", folder / "lfsproxy.socket"
        unit.write_text(text)
        sockets.write_text(self.socket())
        command = shlex.join(["systemd-analyze", "verify", str(unit), str(sockets)])
        done = analyze("the systemd unit was not verified", command)
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def test_the_exposure_is_what_the_how_to_says(self) -> None:
        [block] = blocks_run_by(__name__, "docs/how-to/systemd.md")
        done = analyze("the exposure of the systemd unit was not measured", block.code)
        [measured] = re.findall(r"Overall exposure level for lfsproxy.service: ([0-9.]+)", done.stdout)
        self.assertLess(float(measured), 2)
        [(said, version)] = re.findall(r"\*\*([0-9.]+)\*\* of 10 with systemd (\d+)", HOW_TO.read_text())
        # Each version of systemd weighs by a table of its own.
        if analyze("", "systemd-analyze --version").stdout.split()[1] == version:
            self.assertEqual(measured, said)

    def seconds(self, name: str) -> int:
        [(number, unit)] = re.findall(rf"^{name}=(\d+)(min|)$", self.unit(), re.M)
        return int(number) * (60 if unit else 1)

    def unit(self) -> str:
        return (SYSTEMD / "lfsproxy.service").read_text()

    def socket(self) -> str:
        return (SYSTEMD / "lfsproxy.socket").read_text()


def analyze(otherwise: str, command: str) -> subprocess.CompletedProcess[str]:
    """What a command of systemd-analyze says; ``otherwise`` is what a machine without it was not told."""
    if shutil.which("systemd-analyze") is None:
        raise SkipTest(f"systemd-analyze is not on this machine: {otherwise}")
    environment = {**os.environ, "SYSTEMD_PAGER": ""}
    return subprocess.run(
        command, shell=True, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )

"""The files in deploy/ agree with the settings, and systemd accepts the unit."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.settings import Settings, setting_table, variable

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
        [seconds] = re.findall(r"^TimeoutStopSec=(\d+)$", self.unit(), re.M)
        self.assertGreaterEqual(int(seconds), Settings().drain_delay + Settings().drain_timeout + 30)

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

    def test_systemd_accepts_the_unit(self) -> None:
        if shutil.which("systemd-analyze") is None:
            raise SkipTest("systemd-analyze is not on this machine: the systemd unit was not verified")
        # The command has to exist for systemd to be content; besides, every credential is taken in.
        whole = re.sub("^#(LoadCredential|Environment)=", r"\1=", self.unit(), flags=re.M)
        text, changed = re.subn("^ExecStart=[^ ]+", f"ExecStart={sys.executable}", whole, flags=re.M)
        self.assertEqual(changed, 1)
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        unit = folder / "lfsproxy.service"
        unit.write_text(text)
        done = subprocess.run(
            ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False
        )
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def unit(self) -> str:
        return (SYSTEMD / "lfsproxy.service").read_text()

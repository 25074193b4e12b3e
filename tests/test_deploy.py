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

SYSTEMD = Path(__file__).parent.parent / "deploy" / "systemd"


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
        self.assertGreaterEqual(int(seconds), Settings().drain_timeout + 30)

    def test_systemd_accepts_the_unit(self) -> None:
        if shutil.which("systemd-analyze") is None:
            raise SkipTest("systemd-analyze is not on this machine: the systemd unit was not verified")
        # The command has to exist for systemd to be content; nothing else is changed.
        text, changed = re.subn("^ExecStart=[^ ]+", f"ExecStart={sys.executable}", self.unit(), flags=re.M)
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

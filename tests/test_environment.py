"""``make PYTHON=…`` makes the virtual environment anew where that is another version, and only there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent
FILES = ("Makefile", "setup.cfg", "pyproject.toml", "constraints.txt")


class EnvironmentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        shutil.copytree(ROOT / ".ci", self.folder / ".ci")
        for name in FILES:
            shutil.copy(ROOT / name, self.folder)
        self.environment = self.folder / ".venv"
        (self.environment / "bin").mkdir(parents=True)
        # Later than the copies, as after an install.
        (self.environment / "installed-test").touch()
        (self.environment / "installed-demo").touch()
        self.python(self.environment / "bin" / "python", "3.12.1")

    def python(self, path: Path, version: str) -> Path:
        """A Python of a version, which makes environments that do not find any package."""
        path.write_text(
            "#!/bin/sh\n"
            'case "$*" in\n'
            f"  *implementation*) echo cpython {version} ;;\n"
            f"  --version) echo Python {version} ;;\n"
            '  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;\n'
            '  *"pip install"*) exit 9 ;;\n'
            "esac\n"
        )
        path.chmod(0o755)
        return path

    def make(self, *arguments: str) -> str:
        inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHON", "VENV", "MAKEFLAGS")}
        done = subprocess.run(
            ["make", *arguments],
            cwd=self.folder,
            env=inherited,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.stdout

    def version(self) -> str:
        python = self.environment / "bin" / "python"
        done = subprocess.run([python, "--version"], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def test_another_version_makes_it_anew(self) -> None:
        other = self.python(self.folder / "python3.13", "3.13.0")
        for target in (".venv/installed-demo", ".venv/installed-test"):
            self.python(self.environment / "bin" / "python", "3.12.1")
            (self.environment / "installed-test").touch()
            shown = self.make(f"PYTHON={other}", target)
            self.assertIn("Making the virtual environment .venv with Python 3.13.0", shown)
            self.assertEqual(self.version(), "Python 3.13.0")

    def test_the_same_version_leaves_it(self) -> None:
        same = self.python(self.folder / "python3.12", "3.12.1")
        for arguments in ([], [f"PYTHON={same}"]):
            shown = self.make(*arguments, ".venv/installed-demo", ".venv/installed-test")
            self.assertNotIn("Making", shown)
            self.assertIn("is up to date", shown)
        self.assertTrue((self.environment / "installed-test").exists())

    def test_one_that_does_not_run_is_told(self) -> None:
        shown = self.make(f"PYTHON={self.folder}/none", ".venv/installed-demo")
        self.assertIn(f"PYTHON is {self.folder}/none, which is no Python 3.11 or later that runs", shown)
        self.assertEqual(self.version(), "Python 3.12.1")
        self.assertIn("is up to date", self.make(".venv/installed-test"))

    def test_the_installer_alone_does_the_same(self) -> None:
        other = self.python(self.folder / "python3.13", "3.13.0")
        environment = {**os.environ, "PYTHON": str(other)}
        command = [str(self.folder / ".ci" / "install"), ".venv", "demo"]
        subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, check=False)
        self.assertEqual(self.version(), "Python 3.13.0")

    def test_a_real_python_is_the_same_as_itself(self) -> None:
        python = self.environment / "bin" / "python"
        python.unlink()
        python.symlink_to(sys.executable)
        shown = self.make(f"PYTHON={sys.executable}", ".venv/installed-demo")
        self.assertIn("is up to date", shown)

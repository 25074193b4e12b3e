"""``twistd --help`` lists the plugin from any folder, after each kind of install that make and tox use."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path
from unittest import SkipTest
from zipfile import ZipFile

import twisted
from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent
TWISTD = "from twisted.scripts.twistd import run; run()"


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints; its whole output is in the error where it fails."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


class InstallTests(SynchronousTestCase):
    def setUp(self) -> None:
        if not (ROOT / "setup.cfg").exists() or find_spec("setuptools") is None:
            raise SkipTest("installing from source needs the source tree and setuptools")
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.source = self.folder / "source"
        self.source.mkdir()
        for name in ("setup.cfg", "pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, self.source)
        for name in ("lfsproxy", "twisted"):
            shutil.copytree(ROOT / name, self.source / name, ignore=shutil.ignore_patterns("__pycache__"))

    def environment(self) -> Path:
        """The interpreter of a new virtual environment, which finds our dependencies but not ourselves."""
        folder = self.folder / "venv"
        venv.create(folder, symlinks=True)
        [packages] = folder.glob("lib/python*/site-packages")
        (packages / "dependencies.pth").write_text(f"{Path(twisted.__file__).parent.parent}\n")
        return folder / "bin" / "python"

    def install(self, python: Path, *arguments: str | Path) -> None:
        options = (
            "--quiet",
            "--no-deps",
            "--no-index",
            "--no-build-isolation",
            "--disable-pip-version-check",
        )
        run(sys.executable, "-m", "pip", "--python", python, "install", *options, *arguments, cwd=self.folder)

    def assert_listed(self, python: Path) -> None:
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir()
        self.assertIn("    lfsproxy ", run(python, "-c", TWISTD, "--help", cwd=elsewhere))
        self.assertIn("[LFS_S3_BUCKET, ", run(python, "-c", TWISTD, "lfsproxy", "--help", cwd=elsewhere))
        imported = run(python, "-c", "import lfsproxy; print(lfsproxy.__file__)", cwd=elsewhere)
        self.assertTrue(imported.startswith(str(self.folder)), imported)

    def test_plain_install(self) -> None:
        python = self.environment()
        self.install(python, self.source)
        self.assert_listed(python)

    def test_editable_install(self) -> None:
        python = self.environment()
        self.install(python, "--config-settings", "editable_mode=compat", "-e", self.source)
        self.assert_listed(python)

    def test_the_wheel_has_the_plugin_and_leaves_twisted_alone(self) -> None:
        run(
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
            *("--wheel-dir", self.folder, self.source),
            cwd=self.folder,
        )
        [wheel] = self.folder.glob("*.whl")
        names = ZipFile(wheel).namelist()
        self.assertEqual(
            [name for name in names if name.startswith("twisted")], ["twisted/plugins/lfsproxy_plugin.py"]
        )
        self.assertIn("lfsproxy/py.typed", names)

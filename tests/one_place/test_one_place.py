"""A checksum algorithm and a setting are added in one place, and everything else knows them."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

import lfsproxy

ROOT = Path(lfsproxy.__file__).parent.parent


class OnePlaceTests(TestCase):
    timeout = 180

    def copy_with(self, file: str, before: str, line: str) -> Path:
        """A folder with a copy of the package in which ``line`` stands before the line ``before``."""
        tree = Path(self.mktemp()).absolute()
        shutil.copytree(ROOT / "lfsproxy", tree / "lfsproxy", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("tests", "docs", "deploy"):
            (tree / name).symlink_to(ROOT / name)
        edited = tree / "lfsproxy" / file
        text = edited.read_text(encoding="utf-8")
        self.assertEqual(text.count(before), 1)
        edited.write_text(text.replace(before, line + before), encoding="utf-8")
        return tree

    async def run_with(self, tree: Path, *tests: str) -> None:
        """Run tests against the copy."""
        command = ["-m", "twisted.trial", "--temp-directory=trial", *tests]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(tree)}
        out, errors, code = await getProcessOutputAndValue(
            sys.executable, command, environment, str(tree), reactor
        )
        self.assertEqual(code, 0, (out + errors).decode(errors="replace"))

    async def test_a_checksum_algorithm(self) -> None:
        tree = self.copy_with(
            "checksums.py",
            '    "md5": (_md5, 32),\n',
            '    "sha512": (hashlib.sha512, 128),\n',
        )
        await self.run_with(tree, "tests.one_place.algorithm")

    async def test_a_setting(self) -> None:
        tree = self.copy_with(
            "settings/table.py",
            "    @property\n    def uses_sasl(self) -> bool:\n",
            '    made_up_limit: int = _setting("7", size(0), "Bytes of something made up.")\n\n',
        )
        await self.run_with(tree, "tests.one_place.setting", "tests.settings", "tests.test_tap")

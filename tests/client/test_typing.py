"""What type checkers say of a user's code: mypy in strict mode, and pyright (as basedpyright has it)."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.client.snippets import RIGHT, WRONG, program

ROOT = Path(__file__).parents[2]


class TypingTests(SynchronousTestCase):
    """Each checker is started once, with every program in a file of its own."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir(parents=True)
        (self.folder / "right.py").write_text(RIGHT)
        for number, expression in enumerate(WRONG):
            (self.folder / f"wrong{number}.py").write_text(program(expression))

    def check(self, complaints: dict[str, str]) -> None:
        """``complaints`` are by the files' names."""
        self.assertNotIn("right.py", complaints, complaints.get("right.py"))
        for number, (expression, named) in enumerate(WRONG.items()):
            found = complaints.get(f"wrong{number}.py", "")
            self.assertIn(named, found, f"{expression}: {found or 'no complaint'}")

    def require(self, module: str) -> None:
        """Both come with the extra ``lint``."""
        if importlib.util.find_spec(module) is None:
            raise SkipTest(f"{module} is not installed")

    def test_mypy(self) -> None:
        self.require("mypy")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context"),
                *("--config-file", os.devnull, "--no-incremental", "--follow-imports=silent"),
                *sorted(str(path.name) for path in self.folder.glob("*.py")),
            ],
            cwd=self.folder,
            env={**os.environ, "MYPYPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        complaints: dict[str, str] = {}
        for line in (done.stdout + done.stderr).splitlines():
            name = line.partition(":")[0]
            complaints[name] = f"{complaints.get(name, '')}{line}\n"
        self.check(complaints)

    def test_pyright(self) -> None:
        """basedpyright has its JavaScript in its wheel, where pyright's would be fetched when it is run."""
        self.require("basedpyright")
        (self.folder / "pyrightconfig.json").write_text(
            json.dumps(
                {
                    "typeCheckingMode": "strict",
                    "extraPaths": [str(ROOT)],
                    "pythonVersion": "3.11",
                }
            )
        )
        done = subprocess.run(
            [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        complaints: dict[str, str] = {}
        for each in json.loads(done.stdout)["generalDiagnostics"]:
            name = Path(each["file"]).name
            if each["severity"] == "error":
                complaints[name] = f"{complaints.get(name, '')}{each['message']}\n"
        self.check(complaints)

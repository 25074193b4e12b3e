"""A clean root in which a Dockerfile's steps are run without Docker.

What the base image has (Python and the system's libraries) is the machine's own, bound there read-only. What
the steps write stays in the new root. It needs Linux, root's rights and unshare; without them tests say so.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from unittest import SkipTest

import attrs

SHARED = ("/bin", "/sbin", "/lib", "/lib64", "/usr", "/etc", "/dev", "/proc", sys.base_prefix)
"""Folders of the machine that the root has, as far as they are there: Python's may be anywhere."""
STEP_SECONDS = 600


@attrs.frozen
class Instruction:
    """One instruction of a Dockerfile: its name and the rest."""

    name: str
    value: str


def instructions(text: str) -> list[Instruction]:
    """The instructions in order; comments and line ends within one are taken out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [Instruction(*line.split(None, 1)) for line in joined.splitlines() if line.strip()]


class CleanRoot:
    """A folder as the root of commands. The mounts end with each command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.variables: dict[str, str] = {}
        self.user: str | None = None
        (self.folder / "tmp").mkdir(parents=True)
        self._shared = [Path(name) for name in SHARED if Path(name).is_dir()]
        for path in self._shared:
            self._place(path).mkdir(parents=True, exist_ok=True)

    def _place(self, path: Path | str) -> Path:
        return self.folder / str(path).lstrip("/")

    @staticmethod
    def require() -> None:
        """Raise SkipTest where there can be none."""
        tools = [tool for tool in ("unshare", "chroot", "mount") if shutil.which(tool) is None]
        if tools or os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
            raise SkipTest("the Dockerfile's steps are NOT RUN: that needs Linux, root and unshare")

    def copy(self, source: Path, target: str) -> None:
        """COPY of one file or folder to an absolute path; to a folder where that ends with a slash."""
        place = self._place(target)
        if target.endswith("/"):
            place = place / source.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, place)

    def command(self, command: str, folder: str = "/") -> list[str]:
        """How to run a shell's command in the root. Of this environment it has only pip's settings."""
        binds = [shlex.join(["mount", "--rbind", str(path), str(self._place(path))]) for path in self._shared]
        kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        python = str(Path(sys.base_prefix, "bin"))
        path = self.variables.get("PATH", "$PATH").replace("$PATH", f"{python}:/usr/bin:/bin")
        given: Mapping[str, str] = {**kept, **self.variables, "PATH": path, "HOME": "/tmp"}
        words = ["env", "-i", *(f"{name}={value}" for name, value in given.items()), "sh", "-ec", command]
        user = [f"--userspec={self.user}"] if self.user else []
        inside = ["chroot", *user, str(self.folder), "sh", "-c", f"cd {folder} && exec {shlex.join(words)}"]
        script = " && ".join([*binds, f"exec {shlex.join(inside)}"])
        return ["unshare", "-m", "sh", "-ec", script]

    def run(self, command: str, folder: str = "/") -> str:
        """Run a shell's command to its end. Raises CalledProcessError; what was said is in its text."""
        done = subprocess.run(
            self.command(command, folder), capture_output=True, text=True, check=False, timeout=STEP_SECONDS
        )
        if done.returncode:
            raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

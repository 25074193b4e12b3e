"""Runs the examples that the pages of the client libraries show, as a reader of the page would.

    project = await project_for("go")                   # an empty project, set up by examples/go/setup.sh
    await project.run_part("franz")                     # a later part of that file
    program = project.paste("consume.go", {"demo-topic": topic})
    await project.lines_of(["go", "run", program], 3)   # its first three lines; then it is ended

A project is a folder named demo beside a copy of this checkout named lfsproxy, both in a temporary folder
outside the repository, and is shared by all tests of a language. The only line of setup.sh that is not run
as it stands is ``git clone``: the copy has what is not committed as well.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from tests.docs.blocks import ROOT, example
from tests.integration.stack import in_thread, stack

CLONE = "git clone https://github.com/lfsproxy/lfsproxy\n"
CHECKOUT = ("lfsproxy", "sdk", "twisted", "LICENSE", "README.md", "pyproject.toml", "setup.cfg")
NOT_COPIED = ("node_modules", "dist", "target", "build", "__pycache__", "*.egg-info", "*.tgz")
SETUP_SECONDS = 600.0
SECONDS = 90.0

_folder = tempfile.TemporaryDirectory(prefix="lfsproxy-examples-")
_projects: dict[str, Project] = {}


class ExampleFailed(Exception):
    """A program or a command that did not do what the page says."""


@attrs.frozen
class Project:
    """One language's project. ``run_part`` and ``lines_of`` must not overlap."""

    language: str
    folder: Path
    environment: Mapping[str, str]

    async def run_part(self, part: str, before: str = "") -> None:
        """Run a part of setup.sh in the project's folder, ``before`` first. Raises ExampleFailed."""
        script = example(ROOT, f"examples/{self.language}/setup.sh", part)
        await in_thread(_run_script, before + script, self.folder, self.environment)

    def paste(self, name: str, places: Mapping[str, str]) -> str:
        """Write an example into the project, the tests' servers and topic in place of the printed ones.

        ``places`` maps what the example says to what it is here; it must say each. Returns the file's name.
        """
        text = example(ROOT, f"examples/{self.language}/{name}", None)
        for printed, here in places.items():
            if printed not in text:
                raise ExampleFailed(f"{name} does not say {printed}")
            text = text.replace(printed, here)
        (self.folder / name).write_text(text, encoding="utf-8")
        return name

    async def output_of(self, command: Sequence[str]) -> str:
        """What a program prints that ends by itself. Raises ExampleFailed."""
        return await in_thread(_run, command, self.folder, self.environment)

    async def lines_of(self, command: Sequence[str], count: int, having: str = "") -> list[str]:
        """The first lines with ``having`` that a program prints; then it is ended. Raises ExampleFailed."""
        return await in_thread(_first_lines, command, count, having, self.folder, self.environment)


async def project_for(language: str) -> Project:
    """The project of a language, made now if this is the first call of the run. Raises ExampleFailed."""
    if language not in _projects:
        servers = await stack()
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("LFS_", "AWS_", "VIRTUAL_ENV"))}
        environment = {
            **inherited,
            **servers.environment,
            "AWS_EC2_METADATA_DISABLED": "true",
            # This Python, at the versions of the tests.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
            "PYTHONUNBUFFERED": "1",
        }
        home = Path(_folder.name, language)
        script = example(ROOT, f"examples/{language}/setup.sh", "setup")
        if not script.startswith(CLONE):
            raise ExampleFailed(f"examples/{language}/setup.sh does not begin with: {CLONE}")
        await in_thread(_copy_checkout, home / "lfsproxy")
        await in_thread(_run_script, script.removeprefix(CLONE), home, environment)
        _projects[language] = Project(language, home / "demo", environment)
    return _projects[language]


def _copy_checkout(to: Path) -> None:
    to.mkdir(parents=True)
    for name in CHECKOUT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns(*NOT_COPIED))
        else:
            shutil.copy(ROOT / name, to)


def _run_script(script: str, folder: Path, environment: Mapping[str, str]) -> None:
    _run(["sh", "-e", "-c", script], folder, environment, SETUP_SECONDS)


def _run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], seconds: float = SECONDS
) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    if done.returncode:
        raise ExampleFailed(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def _first_lines(
    command: Sequence[str], count: int, having: str, folder: Path, environment: Mapping[str, str]
) -> list[str]:
    lines: list[str] = []
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        with process:
            assert process.stdout is not None
            patience = threading.Timer(SECONDS, process.kill)
            patience.start()
            while len(lines) < count and (line := process.stdout.readline()):
                if having in line:
                    lines.append(line.rstrip("\n"))
            patience.cancel()
            process.kill()
        if len(lines) < count:
            errors.seek(0)
            raise ExampleFailed(f"{command} printed no more than {lines}:\n{errors.read()[-4000:]}")
    return lines

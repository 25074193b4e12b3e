"""Clients that are programs of their own: kcat, and franz-go in a small Go program."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from unittest import SkipTest

FRANZ = Path(__file__).with_name("franz")
SECONDS = 90

_built = tempfile.TemporaryDirectory(prefix="lfsproxy-franz-")


def run(command: Sequence[str], stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, whatever its status."""
    return subprocess.run(command, input=stdin, capture_output=True, timeout=SECONDS, check=False)


def output_of(command: Sequence[str], stdin: bytes = b"") -> str:
    """What a program wrote. Raises RuntimeError with what it said where its status is not 0."""
    done = run(command, stdin)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: status {done.returncode}\n{done.stderr.decode(errors='replace')}")
    return done.stdout.decode(errors="replace")


def kcat(bootstrap: str) -> list[str]:
    """The command with its first arguments. Raises SkipTest where there is none."""
    found = shutil.which("kcat") or shutil.which("kafkacat")
    if found is None:
        raise SkipTest("kcat is not on PATH (apt-get install kcat)")
    return [found, "-b", bootstrap, "-X", "broker.address.family=v4"]


def franz() -> str:
    """The program of tests/integration/clients/franz, built now if this is the first call of the run.

    Raises SkipTest where there is no Go, or its modules cannot be had.
    """
    program = Path(_built.name, "franz")
    if not program.exists():
        go = shutil.which("go")
        if go is None:
            raise SkipTest("go is not on PATH, so franz-go is not tested")
        fetched = subprocess.run(
            [go, "mod", "download"], cwd=FRANZ, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        if fetched.returncode != 0:
            raise SkipTest(f"the modules of franz-go cannot be had: {fetched.stderr.strip()}")
        subprocess.run([go, "build", "-o", str(program), "."], cwd=FRANZ, timeout=3 * SECONDS, check=True)
    return str(program)

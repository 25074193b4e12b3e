"""Makes those readers that are not Python's, each once: they are kept in the cache of downloads."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import SkipTest

from lfsproxy.devstack.cache import cache_folder
from lfsproxy.devstack.jars import class_path
from lfsproxy.devstack.java import find_java
from lfsproxy.devstack.kafka import DEFAULT_RELEASE
from tests.integration.clients.java import require_compiler

HERE = Path(__file__).parent
SECONDS = 600

_making = threading.Lock()
"""Tests run clients side by side."""


def _need(reader: str, *programs: str) -> None:
    """Raise SkipTest where one is not on PATH."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise SkipTest(f"{reader} is NOT TESTED: {', '.join(missing)} not on PATH")


def _made(language: str, make: Callable[[Path], None]) -> Path:
    """The folder in which ``make`` has built what is in the folder of that language, as it is now."""
    sources = sorted(path for path in (HERE / language).iterdir() if path.is_file())
    digest = hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in sources))
    tools = cache_folder() / "tools"
    folder = tools / f"readers-{language}-{digest.hexdigest()[:16]}"
    with _making:
        if not folder.exists():
            tools.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=tools) as unfinished:
                built = Path(unfinished, "built")
                shutil.copytree(HERE / language, built)
                make(built)
                built.rename(folder)
    return folder


def _run(reader: str, command: Sequence[str], folder: Path) -> None:
    """Raise SkipTest, with what it said, where ``command`` fails: its modules cannot be had."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, env=os.environ, check=False
    )
    if done.returncode != 0:
        raise SkipTest(f"{reader} is NOT TESTED: {' '.join(command[:3])} failed: {done.stderr.strip()}")


def kcat() -> None:
    """Raise SkipTest where there is none."""
    if shutil.which("kcat") is None and shutil.which("kafkacat") is None:
        raise SkipTest("kcat is NOT TESTED: it is not on PATH (apt-get install kcat)")


def go(client: str) -> list[str]:
    """The command of a Go client."""
    _need(client, "go")

    def make(folder: Path) -> None:
        _run(client, ["go", "mod", "download"], folder)
        subprocess.run(["go", "build", "-o", "readers", "."], cwd=folder, timeout=SECONDS, check=True)

    return [str(_made("go", make) / "readers"), client]


def java() -> list[str]:
    """The command of Java's consumer."""
    require_compiler()
    jars = class_path(f"kafka-{DEFAULT_RELEASE}")

    def make(folder: Path) -> None:
        compiler = ["-m", "jdk.compiler/com.sun.tools.javac.Main", "-cp", jars, "Reader.java"]
        subprocess.run([find_java(), *compiler], cwd=folder, timeout=SECONDS, check=True)

    folder = _made("java", make)
    options = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx1g"]
    return [find_java(), *options, "-cp", f"{folder}{os.pathsep}{jars}", "Reader"]


def javascript() -> list[str]:
    """The command of kafkajs."""
    _need("kafkajs", "node", "npm")
    install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    folder = _made("js", lambda folder: _run("kafkajs", install, folder))
    return ["node", str(folder / "reader.js")]

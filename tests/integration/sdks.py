"""The SDKs' drivers: where they are, how they are built and started, and how they are talked to.

A driver is a program of its own that speaks JSON lines (``sdk_driver.py`` says which). One that is not here,
or whose tools are not, is skipped by name.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import SkipTest

import attrs
from twisted.internet import reactor

from tests.integration.stack import Stack
from tests.memory import PEAK, resident
from tests.sdks.tools import require_tools

ROOT = Path(__file__).parents[2]
BUILD_SECONDS = 600
LOG_CHARACTERS = 2000

_built = tempfile.TemporaryDirectory(prefix="lfsproxy-sdks-")


@attrs.frozen
class Sdk:
    """How one language's driver is had. ``{out}`` in a command is a folder for what is built.

    ``{classpath}`` is what the build has written to ``{out}/classpath``.
    """

    name: str
    folder: str
    tools: tuple[str, ...]
    build: tuple[tuple[str, ...], ...]
    run: tuple[str, ...]

    def require(self) -> None:
        """Raise SkipTest where it cannot be built or run here, AssertionError where it is demanded."""
        require_tools(self.name, self.tools)

    @property
    def is_here(self) -> bool:
        """Whether ``require`` raises nothing."""
        try:
            self.require()
        except SkipTest:
            return False
        return True


SDKS = (
    Sdk(
        name="python",
        folder="tests/integration",
        tools=(),
        build=(),
        run=(sys.executable, "-m", "tests.integration.sdk_driver"),
    ),
    Sdk(
        name="go",
        folder="sdk/go/conformance",
        tools=("go",),
        build=(("go", "build", "-o", "{out}/driver", "."),),
        run=("{out}/driver",),
    ),
    Sdk(
        name="java",
        folder="sdk/java",
        tools=("mvn", "javac"),
        build=(
            (
                *("mvn", "-q", "-B", "test-compile", "dependency:build-classpath"),
                *("-Dmdep.outputFile={out}/classpath", "-Dmdep.includeScope=test"),
            ),
        ),
        run=(
            *("java", "-XX:+UseSerialGC", "-Xmx768m"),
            *("-cp", "target/test-classes:target/classes:{classpath}"),
            "io.github.lfsproxy.client.ConformanceDriver",
        ),
    ),
    Sdk(
        name="javascript",
        folder="sdk/js",
        tools=("node", "npm"),
        build=(
            ("npm", "ci", "--no-audit", "--no-fund"),
            ("npm", "run", "build"),
        ),
        run=("node", "test/driver.mjs"),
    ),
)
"""The table: a new language is one entry."""


class DriverError(Exception):
    """A driver that cannot be built, or that has ended."""


class Driver:
    """One driver's process. Its methods block; one thread at a time."""

    def __init__(self, sdk: Sdk, environment: Mapping[str, str]) -> None:
        self.sdk = sdk
        out = built(sdk)
        self._log = out / "driver.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                _filled(sdk.run, out),
                cwd=_where(sdk),
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Send one line; the line that comes back. Raises DriverError where none does."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"op": op, **fields}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            raise DriverError(f"the {self.sdk.name} driver ended:\n{_end_of(self._log)}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def read(self, op: str, value: bytes | None) -> dict[str, Any]:
        """``read`` or ``stream`` a record's value."""
        return self.ask(op, value=None if value is None else b64encode(value).decode())

    def poll(self, values: Sequence[bytes | None], concurrency: int, max_bytes: int) -> dict[str, Any]:
        """Read the values of one poll in parallel; the answer to each is in ``records``."""
        given = [None if value is None else b64encode(value).decode() for value in values]
        return self.ask("poll", values=given, concurrency=concurrency, max_bytes=max_bytes)

    @property
    def peak_memory(self) -> int:
        """Most bytes ever resident (VmHWM)."""
        return resident(self._process.pid, PEAK)

    def close(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


_building = threading.Lock()
_done: dict[str, Path] = {}


def built(sdk: Sdk) -> Path:
    """The folder of what was built, now if this is the first call of the run. Blocks.

    Raises DriverError with what the build said.
    """
    with _building:
        if sdk.name not in _done:
            out = Path(_built.name, sdk.name)
            out.mkdir(exist_ok=True)
            for command in sdk.build:
                ended = subprocess.run(
                    _filled(command, out),
                    cwd=_where(sdk),
                    capture_output=True,
                    text=True,
                    timeout=BUILD_SECONDS,
                    check=False,
                )
                if ended.returncode != 0:
                    said = (ended.stdout + ended.stderr)[-LOG_CHARACTERS:]
                    raise DriverError(f"{' '.join(command)} in {sdk.folder} failed:\n{said}")
            _done[sdk.name] = out
    return _done[sdk.name]


def _where(sdk: Sdk) -> Path:
    # Python's is a module of the tests: it starts at the root.
    return ROOT if sdk.run[0] == sys.executable else ROOT / sdk.folder


def _filled(command: tuple[str, ...], out: Path) -> list[str]:
    written = out / "classpath"
    classpath = written.read_text().strip() if written.exists() else ""
    return [part.format(out=out, classpath=classpath) for part in command]


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-LOG_CHARACTERS:]


_running: dict[tuple[str, str], Driver] = {}


def shared_driver(sdk: Sdk, servers: Stack, **options: Any) -> Driver:
    """The one driver of a language with this configuration for the whole trial run, configured. Blocks."""
    place = (sdk.name, json.dumps(options, sort_keys=True))
    if place not in _running:
        driver = new_driver(sdk, servers, **options)
        from_thread: Any = reactor.callFromThread  # type: ignore[attr-defined]
        from_thread(reactor.addSystemEventTrigger, "before", "shutdown", driver.close)
        _running[place] = driver
    return _running[place]


def new_driver(sdk: Sdk, servers: Stack, **options: Any) -> Driver:
    """A driver of the caller's own, configured for the tests' S3 server. Blocks."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("LFS_", "AWS_"))}
    driver = Driver(
        sdk,
        {
            **inherited,
            **servers.environment,
            "AWS_REGION": servers.s3.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        },
    )
    configuration = {
        "bucket": servers.bucket,
        "endpoint": servers.s3.endpoint,
        "region": servers.s3.region,
        "path_style": True,
        "prefixes": ["lfs/"],
        "max_size": 0,
        "on_missing": "raise",
        **options,
    }
    answer = driver.ask("configure", **configuration)
    if answer["outcome"] != "ok":
        driver.close()
        raise DriverError(f"the {sdk.name} driver does not take its configuration: {answer}")
    return driver

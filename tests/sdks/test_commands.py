"""The client libraries in Go, Java and JavaScript pass their own tests, by the command of each one's folder.

A language whose tools are not on this machine is skipped by name; with LFS_TEST_ALL_SDKS=1 (as
``make test-sdks`` sets it) that fails instead. The Python library's tests are in tests/client.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest import SkipTest

import attrs
from twisted.trial.unittest import SynchronousTestCase

from tests.sdks.tools import DEMANDED, require_tools

SDK = Path(__file__).parent.parent.parent / "sdk"
SECONDS = 1200.0
"""How long a command may take: the first run on a machine also fetches what it needs."""


@attrs.frozen
class Library:
    """A folder below sdk/, the programs its tests need, and the commands that run them there."""

    folder: str
    tools: Sequence[str]
    commands: Sequence[Sequence[str]]


# The helpers for confluent-kafka-go build with cgo, so that a C compiler is needed as well.
GO_MODULES = (
    *("./...", "./franz/...", "./confluent/...", "./conformance/..."),
    *("./prometheus/...", "./otel/..."),
)
GO = Library(
    "go",
    ("go", "gofmt", "gcc"),
    (
        ("sh", "-c", 'unformatted=$(gofmt -l .); echo "$unformatted"; test -z "$unformatted"'),
        ("sh", "check-tidy.sh"),
        ("go", "vet", *GO_MODULES),
        ("go", "test", *GO_MODULES),
    ),
)
JAVA = Library("java", ("mvn", "javac"), (("mvn", "-q", "-B", "verify"),))
JAVASCRIPT = Library("js", ("node", "npm"), (("npm", "ci", "--no-audit", "--no-fund"), ("npm", "test")))


def check(library: Library) -> None:
    """Run the commands, their output going to ours. Raises SkipTest or AssertionError."""
    require_tools(library.folder, library.tools)
    for command in library.commands:
        print(f"\n$ cd sdk/{library.folder} && {' '.join(command)}", flush=True)
        done = subprocess.run(
            command,
            cwd=SDK / library.folder,
            stdin=subprocess.DEVNULL,
            stdout=sys.__stdout__,
            stderr=subprocess.STDOUT,
            timeout=SECONDS,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"{' '.join(command)} in sdk/{library.folder} ended with {done.returncode}")


class OwnTests(SynchronousTestCase):
    def test_go(self) -> None:
        check(GO)

    def test_java(self) -> None:
        check(JAVA)

    def test_javascript(self) -> None:
        check(JAVASCRIPT)


class SkipTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.library = Library("none", ("no-such-tool-anywhere",), (("true",),))

    def test_a_language_without_its_tools_is_skipped_by_name(self) -> None:
        self.patch(os, "environ", {"PATH": os.environ["PATH"]})
        skip = self.assertRaises(SkipTest, check, self.library)
        self.assertIn("no-such-tool-anywhere", str(skip))

    def test_it_fails_where_every_language_is_demanded(self) -> None:
        self.patch(os, "environ", {"PATH": os.environ["PATH"], DEMANDED: "1"})
        self.assertRaises(AssertionError, check, self.library)

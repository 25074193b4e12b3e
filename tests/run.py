"""Everything that ``make test`` checks, in one go, with one last line that says how it went.

    python -m tests.run [lint] [types] [imports] [docs] [unit] [sdks] [integration]

Without a name, all of them. A failing step does not stop the others. LFS_TEST_PROCESSES says how many
processes share the modules of a suite: 2, unless it is set. The last line is ``N passed, N failed,
N skipped``, summed over the suites; the exit status is not 0 when a test or a check failed, or no test ran.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from tests.claims import offer

ROOT = Path(__file__).resolve().parent.parent
SUMMARY = ROOT / "build" / "test-summary.txt"

CHECKS = {
    "lint": [["-m", "ruff", "check", "."], ["-m", "ruff", "format", "--check", "."]],
    "types": [["-m", "mypy"]],
    # Its console script, as it has no module to run.
    "imports": [["-c", "from importlinter.cli import lint_imports_command as main; main()"]],
    "docs": [
        ["-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html"],
        ["-m", "tests.docs.site"],
    ],
}
SUITES = {
    "unit": [],
    # The client libraries' own tests, each by its own tools.
    "sdks": [],
    # A download may take longer than trial gives a test, so it comes first.
    "integration": [["-m", "lfsproxy.devstack", "fetch", "--kafka", "3.9", "--kafka", "4.1"]],
}

SIDE_BY_SIDE = ("unit", "integration")
"""Suites whose modules are shared by processes; the others' tools use the machine's cores themselves."""

PROCESSES = int(os.environ.get("LFS_TEST_PROCESSES", "2"))
SLOWEST = 30
"""How many modules are listed with the time that they took."""


@attrs.define
class Counts:
    """What came out of a suite, or of several."""

    passed: int = 0
    failed: list[str] = attrs.Factory(list)
    skipped: list[list[str]] = attrs.Factory(list)
    seconds: dict[str, float] = attrs.Factory(dict)

    def add(self, other: Mapping[str, Any]) -> None:
        """Add what one process wrote."""
        self.passed += other["passed"]
        self.failed += other["failed"]
        self.skipped += other["skipped"]
        self.seconds |= other["seconds"]


def run(title: str, *commands: list[str]) -> bool:
    """Run this Python with each of ``commands`` in the repository, side by side; whether all succeeded."""
    print(f"\n==== {title}", flush=True)
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        # Each is waited for, also after Ctrl-C: they get it too, and end their servers.
        running = [
            stack.enter_context(subprocess.Popen([sys.executable, *command], cwd=ROOT))
            for command in commands
        ]
    good = all(each.returncode == 0 for each in running)
    print(f"---- {title}: {'ok' if good else 'FAILED'}, {time.monotonic() - start:.0f} s", flush=True)
    return good


def run_all(title: str, commands: list[list[str]]) -> bool:
    """Run each of ``commands``, also after one that failed; whether all succeeded."""
    results = [run(title, command) for command in commands]
    return all(results)


def run_suite(name: str) -> tuple[bool, Counts]:
    """Whether the suite succeeded, and what its processes counted."""
    ready = run_all(f"prepare {name} tests", SUITES[name])
    count = PROCESSES if name in SIDE_BY_SIDE else 1
    total = Counts()
    with tempfile.TemporaryDirectory() as folder:
        claims = Path(folder, "claims")
        claims.mkdir()
        offer(name, claims)
        files = [Path(folder, f"counts-{process}.json") for process in range(count)]
        shared = ["-m", "tests.suite", name, "--claims", str(claims), "--processes", str(count)]
        own = [["--process", str(process), "--counts", str(file)] for process, file in enumerate(files)]
        succeeded = run(f"{name} tests", *([*shared, *each] for each in own))
        for process, file in enumerate(files):
            if file.exists():
                total.add(json.loads(file.read_text()))
            else:
                succeeded = False
                total.failed.append(f"the {name} suite's process {process}, which ended before its end")
    return ready and succeeded, total


def main(names: list[str]) -> int:
    """Run the named steps, or all; the exit status."""
    if unknown := set(names) - {*CHECKS, *SUITES}:
        print(f"There is no step {', '.join(sorted(unknown))}; there are: {', '.join([*CHECKS, *SUITES])}.")
        return 2
    chosen = names or [*CHECKS, *SUITES]
    failed_steps = [name for name in CHECKS if name in chosen and not run_all(name, CHECKS[name])]
    total = Counts()
    for name in SUITES:
        if name in chosen:
            succeeded, counts = run_suite(name)
            total.add(attrs.asdict(counts))
            if not succeeded:
                failed_steps.append(f"{name} tests")
    print()
    for module, seconds in sorted(total.seconds.items(), key=lambda each: -each[1])[:SLOWEST]:
        print(f"{seconds:4.0f} s {module}")
    for test, reason in total.skipped:
        print(f"SKIPPED {test}: {reason}")
    for test in total.failed:
        print(f"FAILED {test}")
    if failed_steps:
        print(f"Failed: {', '.join(failed_steps)}")
    summary = f"{total.passed} passed, {len(total.failed)} failed, {len(total.skipped)} skipped"
    SUMMARY.parent.mkdir(exist_ok=True)
    SUMMARY.write_text(f"{summary}\n")
    if any(name in chosen for name in SUITES):
        print(summary, flush=True)
    return 1 if failed_steps else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

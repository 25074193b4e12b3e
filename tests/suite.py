"""Runs one of the trial suites, or the part of it that this process claims, and writes what came out as JSON.

    python -m tests.suite unit|sdks|integration [--counts FILE] [--claims FOLDER --process N --processes N]

A process per suite at least: the tests' servers end with it, and no suite sees another's leftovers.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twisted.trial.itrial import ITestCase
from twisted.trial.reporter import TreeReporter
from twisted.trial.runner import TestLoader, TrialRunner
from twisted.trial.unittest import TestSuite, decorate

from lfsproxy.devstack.ports import take_part
from tests.claims import claimed, modules_of


class Output(io.StringIO):
    """Keeps what is written until it is let go: of processes side by side, each prints whole modules."""

    def let_go(self) -> None:
        """Print all of it at once."""
        sys.stdout.write(self.getvalue())
        sys.stdout.flush()
        self.seek(0)
        self.truncate()


class Modules(TestSuite):
    """The tests of ``names``, each module loaded when the one before was run."""

    def __init__(self, names: Iterable[str], output: Output) -> None:
        super().__init__()
        self._names = names
        self._output = output
        self.seconds = dict[str, float]()
        """How long each module took."""

    def run(self, result: Any, debug: bool = False) -> Any:
        """Run them all."""
        for name in self._names:
            start = time.monotonic()
            decorate(TestLoader().loadByName(name), ITestCase).run(result)
            self.seconds[name] = time.monotonic() - start
            self._output.let_go()
        return result


def counts_of(result: Any) -> dict[str, Any]:
    """What came out, a test that was expected to fail and did counting as passed."""
    failed = [test.id() for kind in (result.failures, result.errors) for test, _ in kind]
    failed += [test.id() for test, *_ in result.unexpectedSuccesses]
    return {
        "passed": result.successes + len(result.expectedFailures),
        "failed": failed,
        "skipped": [[test.id(), str(reason)] for test, reason in result.skips],
    }


def main() -> int:
    """Exit status 0 when every test passed or was skipped, and there was one."""
    parser = argparse.ArgumentParser(prog="python -m tests.suite")
    parser.add_argument("suite", choices=["unit", "sdks", "integration"])
    parser.add_argument("--counts", type=Path)
    parser.add_argument("--claims", type=Path, help="written by tests.claims, shared by all processes")
    parser.add_argument("--process", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    take_part(options.process, options.processes)
    output = Output()
    names = modules_of(options.suite) if options.claims is None else claimed(options.claims)
    modules = Modules(names, output)
    folder = f"_trial_temp_{options.suite}_{options.process}"
    runner = TrialRunner(TreeReporter, logfile="test.log", workingDirectory=folder, stream=output)
    result: Any = runner.run(modules)
    output.let_go()
    counts = counts_of(result)
    if options.counts is not None:
        options.counts.write_text(json.dumps({**counts, "seconds": modules.seconds}))
    return 0 if not counts["failed"] and counts["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())

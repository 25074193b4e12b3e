"""Runs one of the trial suites and writes its counts as JSON, for ``tests.run`` to add up.

    python -m tests.suite unit|sdks|integration [--counts FILE]

A process per suite: the integration tests' servers end with it, and no suite sees another's leftovers.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twisted.trial.reporter import TreeReporter
from twisted.trial.runner import TestLoader, TrialRunner, TrialSuite

PACKAGES = {"sdks": "tests.sdks", "integration": "tests.integration"}
"""Where the tests of a suite are; all the others are the unit tests."""


def tests_of(suite: Any) -> Iterator[Any]:
    """The single tests below a suite, a suite being anything that has others."""
    try:
        members = iter(suite)
    except TypeError:
        yield suite
    else:
        for member in members:
            yield from tests_of(member)


def load(name: str) -> TrialSuite:
    """All tests of the suite. A module that cannot be imported is a failing test."""
    if name in PACKAGES:
        return TrialSuite([TestLoader().loadByName(PACKAGES[name], recurse=True)])
    everything = TestLoader().loadByName("tests", recurse=True)
    others = tuple(f"{package}." for package in PACKAGES.values())
    return TrialSuite([test for test in tests_of(everything) if not test.id().startswith(others)])


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
    parser.add_argument("suite", choices=["unit", *PACKAGES])
    parser.add_argument("--counts", type=Path)
    options = parser.parse_args()
    runner = TrialRunner(TreeReporter, logfile="test.log", workingDirectory=f"_trial_temp_{options.suite}")
    result: Any = runner.run(load(options.suite))
    counts = counts_of(result)
    if options.counts is not None:
        options.counts.write_text(json.dumps(counts))
    return 0 if not counts["failed"] and counts["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())

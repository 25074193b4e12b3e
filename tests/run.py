"""Everything that ``make test`` checks, in one go, with one last line that says how it went.

    python -m tests.run [lint] [types] [imports] [docs] [unit] [sdks] [integration]

Without a name, all of them. A failing step does not stop the others. The last line is ``N passed, N failed,
N skipped``, summed over the suites; the exit status is not 0 when a test or a check failed, or no test ran.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
    "integration": [["-m", "lfsproxy.devstack", "fetch", "--kafka", "3.9", "--kafka", "4.4"]],
}


def run(title: str, arguments: list[str]) -> bool:
    """Run this Python with ``arguments`` in the repository; whether it succeeded."""
    print(f"\n==== {title}", flush=True)
    start = time.monotonic()
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, check=False)
    print(
        f"---- {title}: {'ok' if done.returncode == 0 else 'FAILED'}, {time.monotonic() - start:.0f} s",
        flush=True,
    )
    return done.returncode == 0


def run_all(title: str, commands: list[list[str]]) -> bool:
    """Run each of ``commands``, also after one that failed; whether all succeeded."""
    results = [run(title, command) for command in commands]
    return all(results)


def run_suite(name: str) -> tuple[bool, int, list[str], list[list[str]]]:
    """Whether the suite succeeded, how many passed, which failed, which were skipped and why."""
    ready = run_all(f"prepare {name} tests", SUITES[name])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "counts.json")
        succeeded = run(f"{name} tests", ["-m", "tests.suite", name, "--counts", str(file)])
        if not file.exists():
            return False, 0, [f"the {name} suite, which ended before its results were known"], []
        counts = json.loads(file.read_text())
    return ready and succeeded, counts["passed"], counts["failed"], counts["skipped"]


def main(names: list[str]) -> int:
    """Run the named steps, or all; the exit status."""
    if unknown := set(names) - {*CHECKS, *SUITES}:
        print(f"There is no step {', '.join(sorted(unknown))}; there are: {', '.join([*CHECKS, *SUITES])}.")
        return 2
    chosen = names or [*CHECKS, *SUITES]
    failed_steps = [name for name in CHECKS if name in chosen and not run_all(name, CHECKS[name])]
    passed, failed, skipped = 0, list[str](), list[list[str]]()
    for name in SUITES:
        if name in chosen:
            succeeded, count, failures, skips = run_suite(name)
            passed += count
            failed += failures
            skipped += skips
            if not succeeded:
                failed_steps.append(f"{name} tests")
    print()
    for test, reason in skipped:
        print(f"SKIPPED {test}: {reason}")
    for test in failed:
        print(f"FAILED {test}")
    if failed_steps:
        print(f"Failed: {', '.join(failed_steps)}")
    summary = f"{passed} passed, {len(failed)} failed, {len(skipped)} skipped"
    SUMMARY.parent.mkdir(exist_ok=True)
    SUMMARY.write_text(f"{summary}\n")
    if any(name in chosen for name in SUITES):
        print(summary, flush=True)
    return 1 if failed_steps else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The proxy beside other ways to do the same: rates, latencies, CPU time and memory, held against goals.

    python -m benchmarks.run [--only NAME ...] [--targets NAME ...] [--rounds 5] [--set LFS_WORKERS=2]
    python -m benchmarks.run --list
    python -m benchmarks.run --from build/bench/results.json --markdown
    python -m benchmarks.run --from build/bench/results.json --docs docs

Starts a Kafka, an S3 server (MinIO where PATH has it) and each target that is on this machine;
``benchmarks/compare/anchors.py`` says by which variables others are found. Writes results.json, results.md
and pictures into the folder ``--out``. Linux only.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
import time
from pathlib import Path

from benchmarks.compare import page, results, session, tables, targets, workloads
from lfsproxy.devstack.s3 import find_minio


def setting(text: str) -> str:
    """A setting with its value. Raises ArgumentTypeError."""
    if not re.fullmatch(r"LFS_[A-Z0-9_]+=.*", text):
        raise argparse.ArgumentTypeError(f"{text} is not LFS_NAME=VALUE")
    return text


def parsed() -> argparse.Namespace:
    """The command line."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--only", nargs="*", default=[], metavar="NAME", help="workloads, such as 'kafka-*'")
    options.add_argument("--targets", nargs="*", default=[], metavar="NAME", help="targets; without: all")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--base", default=tables.BASE, help="the target to which the others are a ratio")
    options.add_argument("--other", type=Path, help="a folder with another version of the proxy, to compare")
    options.add_argument("--set", nargs="*", default=[], type=setting, metavar="LFS_X=Y", help="of the proxy")
    options.add_argument("--out", type=Path, default=Path("build/bench"))
    options.add_argument("--list", action="store_true", help="say what there is, and measure nothing")
    options.add_argument("--from", dest="kept", type=Path, help="show a results.json, and measure nothing")
    options.add_argument("--markdown", action="store_true", help="print the tables in Markdown")
    options.add_argument("--docs", type=Path, help="put tables and pictures into the pages of this folder")
    return options.parse_args()


def main() -> int:
    """The exit status: 1 if a target could not do a workload."""
    chosen = parsed()
    if chosen.list:
        print(listing())
        return 0
    try:
        found = results.read(chosen.kept) if chosen.kept else measured(chosen)
        if chosen.markdown:
            print(tables.markdown(found, chosen.base), end="")
        if chosen.docs:
            page.write(found, chosen.docs, tables.markdown(found, chosen.base))
    except (OSError, ValueError) as error:
        raise SystemExit(f"Error: {error}") from error
    return 1 if found.failed else 0


def listing() -> str:
    """The workloads and the targets."""
    lines = ["Workloads (those with * only by name):"]
    for each in workloads.WORKLOADS:
        lines.append(f"  {each.name}{'' if each.default else ' *'}: {each.title}; {each.measures}")
        lines += [f"      goal: {goal}" for goal in each.goals]
    lines.append("Targets:")
    _, absent = targets.present([], targets.Options())
    for target in targets.TARGETS:
        lines.append(f"  {target.name}: {absent.get(target.name, 'here')}; {target.title}")
    return "\n".join(lines)


def measured(chosen: argparse.Namespace) -> results.Results:
    """Measure, show each workload when it is done, and keep the results."""
    given = workloads.chosen(chosen.only)
    options = targets.Options(dict(each.split("=", 1) for each in chosen.set), chosen.other)
    found, absent = targets.present(chosen.targets, options)
    if "other" not in chosen.targets:
        absent.pop("other", None)
    for name, why in absent.items():
        print(f"ABSENT: {name}: {why}. Its figures and the goals beside it are left out.", file=sys.stderr)
    kept = results.Results(machine(), command(chosen), absent)
    print(", ".join(kept.machine.values()), flush=True)
    began = time.monotonic()
    for done in session.measure(given, found, options, chosen.rounds):
        kept.runs[done.workload.name] = done.runs
        print(f"\n{tables.text(done.workload, done.runs, chosen.base)}", flush=True)
        for target, why in done.failed.items():
            kept.failed[f"{done.workload.name} by {target}"] = why.splitlines()[0]
            print(f"FAILED: {done.workload.name} by {target}: {why}", file=sys.stderr)
        kept.write(chosen.out / "results.json")
    (chosen.out / "results.md").write_text(tables.markdown(kept, chosen.base), encoding="utf-8")
    page.draw(kept, chosen.out)
    print(f"\n{tables.summary(kept)}\n{time.monotonic() - began:.0f} s; results are in {chosen.out}")
    return kept


def machine() -> dict[str, str]:
    """On what it was measured."""
    return {
        "cores": f"{os.cpu_count()} cores, shared by all",
        "python": f"Python {sys.version_info.major}.{sys.version_info.minor}",
        "store": "MinIO" if find_minio() else "S3Proxy",
        "load": f"a load of {os.getloadavg()[0]:.1f} by other programs before the start",
    }


def command(chosen: argparse.Namespace) -> str:
    """What measures the same again."""
    given = {
        "ROUNDS": str(chosen.rounds),
        "ONLY": " ".join(chosen.only),
        "TARGETS": " ".join(chosen.targets),
        "SET": " ".join(chosen.set),
    }
    return " ".join(["make bench", *(f"{name}={shlex.quote(each)}" for name, each in given.items() if each)])


if __name__ == "__main__":
    sys.exit(main())

"""Has every fault happen, and prints the table of docs/faults.md.

    python -m tests.integration.faults.report [--minutes 60] [--seed N] [--only PATTERN] [--scale X]

Without ``--minutes`` each fault happens once, in the order of the table; with it, all of them again and again
in a random order, until the time is over. Exits 1 where a promise was broken.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch

from tests.integration.faults.cases import Case
from tests.integration.faults.kafka_cases import KAFKA_CASES
from tests.integration.faults.other_cases import OTHER_CASES
from tests.integration.faults.run import BOUND, Result, Run, faults
from tests.integration.faults.store_cases import STORE_CASES
from tests.integration.storm.notes import MIB

CASES = (*STORE_CASES, *KAFKA_CASES, *OTHER_CASES)
COUNTS = {
    "sent": "requests",
    "acknowledged": "acknowledged",
    "refused": "refused",
    "unknown": "unknown",
    "lost": "lost",
    "twice": "twice",
    "dangling": "dangling",
    "wrong": "wrong bytes",
}
"""The fields of a row with their headings."""
HEADS = (
    "fault",
    "times",
    *COUNTS.values(),
    *("orphans", "removed", "RSS at the start", "at the end", "at most", "served again"),
)


def row(results: Sequence[Result]) -> str:
    """One fault, as often as it happened, in Markdown: sums, the first start, the last end, and the worst."""
    counts = [sum(result.total(field) for result in results) for field in COUNTS]
    orphans = [sum(result.orphans for result in results), sum(result.removed for result in results)]
    sizes = (results[0].rss[0], results[-1].rss[1], max(result.peak for result in results))
    memory = [f"{size / MIB:.0f} MiB" for size in sizes]
    served = max(result.served for result in results)
    cells = [results[0].name, len(results), *counts, *orphans, *memory, f"{served:.1f} s"]
    return f"| {' | '.join(map(str, cells))} |"


def table(done: Run) -> str:
    """All of them, by fault."""
    by_name: dict[str, list[Result]] = {}
    for result in done.results:
        by_name.setdefault(result.name, []).append(result)
    lines = [row(results) for results in by_name.values()]
    return "\n".join([f"| {' | '.join(HEADS)} |", "|---" * len(HEADS) + "|", *lines])


def summary(done: Run) -> str:
    """What the table has no place for."""
    looked, deleted, fsck = done.upkeep.looked, done.upkeep.deleted, done.upkeep.fsck
    return (
        f"gc found {looked['orphans']} blobs and {looked['uploads']} unfinished uploads, and removed "
        f"{deleted['deleted']} and {deleted['aborted']}; {done.upkeep.after.count} are left "
        f"({done.upkeep.ghosts} uploads are only listed). "
        f"fsck --verify read {fsck['records']} records with {fsck['envelopes']} envelopes: "
        f"{len(fsck['findings'])} findings.\n"
        f"Memory that docs/operate/sizing.md allows: {BOUND // MIB} MiB."
    )


def endless(cases: list[Case], minutes: float, seed: int) -> Iterator[Case]:
    """In a random order, each once before one comes again, until the time is over."""
    deadline = time.monotonic() + minutes * 60
    order = random.Random(seed)
    for _ in itertools.count():
        for case in order.sample(cases, len(cases)):
            if time.monotonic() > deadline:
                return
            yield case


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=None)
    options.add_argument("--seed", type=int, default=None)
    options.add_argument("--only", default="*", help="faults whose name fits this pattern")
    options.add_argument("--scale", type=float, default=1.0, help="how much longer each fault is")
    chosen = options.parse_args()
    seed = random.randrange(10**6) if chosen.seed is None else chosen.seed
    cases = [case for case in CASES if fnmatch(case.name, chosen.only)]
    print(f"SEED={seed}", flush=True)

    order = cases if chosen.minutes is None else endless(cases, chosen.minutes, seed)
    with faults(seed, chosen.scale) as happening:
        for case in order:
            result = happening.observe(case)
            print(row([result]), flush=True)
            for each in result.findings.sent_anew:
                print(f"SENT ANEW: {each}", flush=True)
            for each in result.broken:
                print(f"BROKEN: {each}", flush=True)
        done = happening.end()
    print(f"\n{table(done)}\n\n{summary(done)}")
    for each in done.broken:
        print(f"BROKEN: {each}")
    sys.exit(1 if done.broken else 0)


if __name__ == "__main__":
    main()

"""Uploads over HTTP in whose midst something dies or hangs; prints the table of docs/faults-http.md.

    python -m benchmarks.http_faults [--mib 256] [--case REGEX]

Each fault comes at 1, 50 and 99 % of the file and behind the last byte, with Content-Length, chunked and as a
form. Settings are the defaults but for LFS_S3_RETRY_TIMEOUT, 5 s.
"""

from __future__ import annotations

import argparse
import itertools
import re

from benchmarks.stack import BUCKET, MIB, servers
from tests.integration.http_faults import Case, Fault, Form, Observed, Scene
from tests.integration.stack import Stack


def row(name: str, seen: list[Observed]) -> str:
    """A row of the table for the runs of one fault at one point, in all forms."""

    def values(each: list[object]) -> str:
        return " or ".join(sorted({str(value) for value in each}))

    slowest = max(one.seconds for one in seen)
    counts = (
        [one.records - one.damaged for one in seen],
        [one.unnamed for one in seen],
        [one.unfinished for one in seen],
        [one.orphans for one in seen],
    )
    cells = [values([one.answer for one in seen]), *(values(list(count)) for count in counts)]
    return f"| {name} | {' | '.join(cells)} | {slowest:.0f} s |"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--mib", type=int, default=256)
    options.add_argument("--case", default="", help="only those whose name matches")
    chosen = options.parse_args()
    numbers = itertools.count()
    with servers(LFS_S3_RETRY_TIMEOUT="5") as running:
        scene = Scene(Stack(running.kafka, running.s3, BUCKET), running.proxy)
        print(
            "| what happens | at | answer | envelopes | blobs without one | unfinished | counted | at most |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for fault in Fault:
            for percent in (1, 50, 99, 100):
                cases = [Case(fault, form, percent, chosen.mib * MIB) for form in Form]
                seen = [
                    scene.run(case, f"faults-{next(numbers)}")
                    for case in cases
                    if re.search(chosen.case, str(case))
                ]
                if seen:
                    print(row(f"{fault.value} | {percent} %", seen), flush=True)


if __name__ == "__main__":
    main()

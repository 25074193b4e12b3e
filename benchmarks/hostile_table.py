"""Sends hostile input to the proxy, and prints the table of docs/hostile-input.md.

    python -m benchmarks.hostile_table [--case REGEX]

Each case runs beside an ordinary producer of small records, every other one offloaded. Memory is the peak of
the resident set beyond that of the idle process (VmHWM), with default settings but for
LFS_MAX_DECOMPRESSED_SIZE, 1 GB; memory that the allocator keeps after a case counts in those that follow.
"""

from __future__ import annotations

import argparse
import re

from benchmarks.stack import servers
from tests.integration.hostile import PARTITIONS, Scene, observe
from tests.integration.hostile_cases import CASES
from tests.integration.ordinary import Ordinary

DECOMPRESSED = 1_000_000_000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--case", default="", help="only those whose name matches")
    chosen = options.parse_args()
    with servers(LFS_MAX_DECOMPRESSED_SIZE=str(DECOMPRESSED)) as running:
        proxy, topic = running.proxy, "hostile"
        running.kafka.create_topic(topic, partitions=PARTITIONS)
        running.kafka.create_topic("ordinary")
        ordinary = Ordinary(proxy.bootstrap, "ordinary")
        scene = Scene(proxy, topic, running.kafka.bootstrap, DECOMPRESSED)
        idle = proxy.memory
        print(f"\nIdle: {idle / 1e6:.0f} MB.\n")
        print(
            "| case | answer | log | memory | seconds | others: slowest, failed |\n|---|---|---|---|---|---|"
        )
        for case in CASES:
            if not re.search(chosen.case, case.name):
                continue
            seen = observe(case, scene, ordinary)
            verdict = "" if (seen.answer, seen.closed) == (case.expected, case.closes) else " **unexpected**"
            print(
                f"| {case.name} | {seen.answer}{verdict} | {case.log} "
                f"| +{max(seen.peak - idle, 0) / 1e6:.0f} MB | {seen.seconds:.1f} "
                f"| {seen.slowest:.2f} s, {seen.failed} of {seen.delivered + seen.failed} |",
                flush=True,
            )
        ordinary.stop()


if __name__ == "__main__":
    main()

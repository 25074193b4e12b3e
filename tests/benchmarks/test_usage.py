"""CPU time and memory of this very process, and of its children."""

from __future__ import annotations

import os
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.compare.usage import Usage

MIB = 1024 * 1024


class UsageTests(SynchronousTestCase):
    def test_the_peak_is_that_of_the_time_that_is_measured(self) -> None:
        usage = Usage(os.getpid())
        held = bytearray(64 * MIB)
        held[::4096] = b"x" * len(held[::4096])
        del held
        _, peak = usage.end()
        self.assertGreater(peak - usage.base, 60 * MIB)
        again = Usage(os.getpid())
        self.assertLess(again.end()[1], peak - 30 * MIB)

    def test_children_count(self) -> None:
        alone = Usage(os.getpid()).base
        burn = "import sys; print(sum(range(3_000_000)), flush=True); sys.stdin.read()"
        with subprocess.Popen(
            [sys.executable, "-c", "input();" + burn],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            assert child.stdin is not None and child.stdout is not None
            usage = Usage(os.getpid())
            child.stdin.write("\n")
            child.stdin.flush()
            child.stdout.readline()
            seconds, _ = usage.end()
        self.assertGreater(usage.base, alone)
        self.assertGreater(seconds, 0.01)

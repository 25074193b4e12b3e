"""The memory of gc does not grow with the number of blobs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

COUNT = 100_000
"""docs/operate/upkeep.md has the figures of a million."""
MOST_MIB = 200


class ManyTests(SynchronousTestCase):
    def test_very_many_blobs_in_bounded_memory(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "tests.upkeep.many", str(COUNT)],
            capture_output=True,
            text=True,
            check=True,
            timeout=110,
            cwd=Path(__file__).parents[2],
        )
        found = json.loads(done.stdout)
        self.assertEqual(
            (found["blobs"], found["referenced"], found["orphans"]), (COUNT, COUNT * 99 // 100, COUNT // 100)
        )
        self.assertLess(found["MiB"], MOST_MIB)

"""``auto``: the cores that a process may use, by its affinity and its control group."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.settings.cores import MOST_WORKERS, WORKERS, usable_cores


class CoresTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Path(self.mktemp())
        self.patch(os, "sched_getaffinity", lambda _: set(range(4)))

    def group(self, limit: str, path: str = "/system.slice/lfsproxy.service") -> None:
        """A control group with a quota."""
        (self.root / "proc/self").mkdir(parents=True, exist_ok=True)
        (self.root / "proc/self/cgroup").write_text(f"0::{path}\n")
        folder = self.root / "sys/fs/cgroup" / path.strip("/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cpu.max").write_text(f"{limit}\n")

    def test_without_a_control_group_the_affinity_counts(self) -> None:
        self.assertEqual(usable_cores(self.root), 4)

    def test_a_quota_counts_in_whole_cores(self) -> None:
        for limit, cores in (
            ("200000 100000", 2),
            ("150000 100000", 1),
            ("50000 100000", 1),
            ("max 100000", 4),
        ):
            self.group(limit)
            self.assertEqual(usable_cores(self.root), cores, limit)

    def test_a_quota_of_a_container_is_that_of_the_root(self) -> None:
        self.group("300000 100000", "/")
        self.assertEqual(usable_cores(self.root), 3)

    def test_a_quota_above_the_affinity_changes_nothing(self) -> None:
        self.group("900000 100000")
        self.assertEqual(usable_cores(self.root), 4)

    def test_there_is_an_upper_bound(self) -> None:
        self.patch(os, "sched_getaffinity", lambda _: set(range(200)))
        self.assertEqual(usable_cores(self.root), MOST_WORKERS)

    def test_auto_is_read_in_any_case(self) -> None:
        self.assertEqual(WORKERS("Auto"), usable_cores())
        self.assertEqual(WORKERS("3"), 3)

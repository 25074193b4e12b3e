"""The tables of workloads and targets fit together, and the page names them."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.compare import http_loads, kafka_loads, straight_loads
from benchmarks.compare.figures import FIGURES
from benchmarks.compare.targets import TARGETS, Options, present
from benchmarks.compare.workloads import LOADS, WORKLOADS, chosen
from tests.docs.blocks import ROOT

PAGE = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")


class TablesTests(SynchronousTestCase):
    def test_names_are_unique(self) -> None:
        for names in ([each.name for each in WORKLOADS], [each.name for each in TARGETS]):
            self.assertEqual(len(names), len(set(names)))

    def test_figures_are_there(self) -> None:
        for workload in WORKLOADS:
            used = {*workload.shown, *(goal.figure for goal in workload.goals)}
            self.assertEqual(used - set(FIGURES), set(), workload.name)

    def test_a_goal_is_beside_a_target_that_can_do_the_workload(self) -> None:
        for workload in WORKLOADS:
            able = {target.name for target in TARGETS if workload.load in target.loads}
            self.assertIn("ours", able)
            self.assertEqual({goal.base for goal in workload.goals if goal.base} - able, set(), workload.name)

    def test_there_is_a_client_for_what_each_target_can_do(self) -> None:
        proxied = {**http_loads.LOADS, **kafka_loads.LOADS}
        self.assertEqual(set(proxied), set(LOADS))
        for target in TARGETS:
            known = {**kafka_loads.LOADS, **straight_loads.LOADS} if target.name == "straight" else proxied
            self.assertEqual(set(target.loads) - set(known), set(), target.name)

    def test_the_page_has_each_workload_and_target(self) -> None:
        names = [*(each.name for each in WORKLOADS), *(each.name for each in TARGETS)]
        self.assertEqual([name for name in names if f"`{name}`" not in PAGE], [])


class ChosenTests(SynchronousTestCase):
    def test_without_patterns_the_default_ones(self) -> None:
        names = [each.name for each in chosen([])]
        self.assertIn("http-1g", names)
        self.assertNotIn("tiny", names)

    def test_patterns_in_the_order_of_the_table(self) -> None:
        self.assertEqual(
            [each.name for each in chosen(["tiny", "http-1?"])], ["http-1g", "http-1k", "http-1m", "tiny"]
        )

    def test_a_pattern_that_fits_none(self) -> None:
        error = self.assertRaises(ValueError, chosen, ["http-*", "htpp-*"])
        self.assertIn("htpp-* fits no workload", str(error))


class PresentTests(SynchronousTestCase):
    def test_what_is_absent_says_what_would_name_it(self) -> None:
        self.patch(os, "environ", {"PATH": "/nowhere", "LFS_BENCH_KAFSCALE": "/nowhere/proxy"})
        found, absent = present([], Options())
        self.assertEqual([each.name for each in found], ["ours", "straight", "null"])
        self.assertEqual(absent["kafka-proxy"], "set LFS_BENCH_KAFKA_PROXY")
        self.assertEqual(absent["kafscale"], "LFS_BENCH_KAFSCALE is /nowhere/proxy, which is no program")
        self.assertIn("OTHER", absent["other"])

    def test_kafscale_needs_etcd(self) -> None:
        program = Path(self.mktemp())
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        self.patch(os, "environ", {"PATH": "/nowhere", "LFS_BENCH_KAFSCALE": str(program.absolute())})
        _, absent = present(["kafscale"], Options())
        self.assertEqual(absent, {"kafscale": "set LFS_BENCH_ETCD (there is no etcd on PATH)"})

    def test_an_unknown_name(self) -> None:
        error = self.assertRaises(ValueError, present, ["ours", "theirs"], Options())
        self.assertIn("there is no target theirs", str(error))

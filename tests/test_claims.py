"""Processes that share a suite run each of its modules once, and keep those together that belong so."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.claims import LONGEST, PACKAGES, TOGETHER, claimed, grouped, modules_of, offer


class ClaimTests(SynchronousTestCase):
    def test_every_module_of_tests_is_in_one_suite(self) -> None:
        folder = Path(__file__).parent
        files = {
            ".".join(("tests", *path.relative_to(folder).with_suffix("").parts))
            for path in folder.rglob("test_*.py")
        }
        suites = [modules_of(name) for name in ("unit", *PACKAGES)]
        self.assertEqual(sorted(name for suite in suites for name in suite), sorted(files))

    def test_each_module_is_run_by_one_of_two_processes(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        offer("integration", folder)
        (one, other) = claimed(folder), claimed(folder)
        taken = [next(each) for _ in range(10) for each in (one, other)]
        ran = [*taken, *one, *other]
        self.assertEqual(sorted(ran), sorted(modules_of("integration")))

    def test_modules_that_share_something_are_claimed_together(self) -> None:
        modules = modules_of("integration")
        for together in TOGETHER:
            self.assertEqual(set(together) - set(modules), set(), "there is no such module any more")
            self.assertIn(list(together), grouped(modules))

    def test_the_longest_begin(self) -> None:
        groups = grouped(modules_of("integration"))
        first = {name for group in groups[: len(LONGEST)] for name in group}
        self.assertEqual(set(LONGEST) - first, set())

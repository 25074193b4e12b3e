"""The page that the four client libraries share: the tests that it names are there."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.blocks import ROOT

PAGE = ROOT / "docs" / "sdk" / "index.md"


class NamedTests(SynchronousTestCase):
    def test_files_that_hold_a_promise_exist(self) -> None:
        named = set(re.findall(r"`((?:tests|sdk)/[\w./-]+)`", PAGE.read_text()))
        self.assertGreater(len(named), 10)
        self.assertEqual([name for name in sorted(named) if not (ROOT / name).exists()], [])

    def test_tests_of_all_four_exist(self) -> None:
        tests = (ROOT / "tests/integration/test_sdks.py").read_text()
        _, _, table = PAGE.read_text().partition("| fault |")
        named = re.findall(r"`(test_\w+|polls_in_order|streams_in_little_memory)`", table)
        self.assertGreater(len(named), 8)
        self.assertEqual([name for name in named if name not in tests], [])

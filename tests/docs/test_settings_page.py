"""docs/reference/settings.md is what ``make docs-reference`` writes."""

from __future__ import annotations

import runpy
from contextlib import redirect_stdout
from io import StringIO

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.settings import setting_table, variable
from lfsproxy.settings.page import page
from tests.docs.blocks import ROOT

PAGE = ROOT / "docs" / "reference" / "settings.md"


class SettingsPageTests(SynchronousTestCase):
    def test_the_page_in_the_repository_is_current(self) -> None:
        self.assertEqual(PAGE.read_text(encoding="utf-8"), page(), "it is not: make docs-reference")

    def test_the_command_prints_the_page(self) -> None:
        printed = StringIO()
        with redirect_stdout(printed):
            runpy.run_module("lfsproxy.settings", run_name="__main__")
        self.assertEqual(printed.getvalue(), page())

    def test_it_has_a_row_for_each_setting(self) -> None:
        rows = [line.split(" | ")[0] for line in page().splitlines() if line.startswith("| `")]
        self.assertEqual(rows, [f"| `{variable(name)}`" for name in setting_table()])

"""Run by test_one_place against a package whose table of settings has ``made_up_limit`` too."""

from __future__ import annotations

from typing import Any, cast

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import SettingError
from lfsproxy.settings import load_settings, setting_table, unknown_variables
from lfsproxy.settings.page import page
from lfsproxy.tap import Options
from tests.service import ProxyTestCase
from tests.settings.test_table import example

NAME = "made_up_limit"
VARIABLE = "LFS_MADE_UP_LIMIT"


class SettingTests(SynchronousTestCase):
    def value(self, environment: dict[str, str], flags: dict[str, str | None]) -> int:
        value: int = getattr(load_settings(environment, flags).settings, NAME)
        return value

    def test_it_has_a_default_a_variable_and_a_flag(self) -> None:
        self.assertEqual(self.value({}, {}), 7)
        self.assertEqual(self.value({VARIABLE: "1k"}, {}), 1024)
        self.assertEqual(self.value({VARIABLE: "1k"}, {NAME: "2k"}), 2048)

    def test_twistd_takes_its_flag(self) -> None:
        self.patch(Options, "environment", {})
        options: Any = cast(Any, Options)()
        options.parseOptions(["--made-up-limit", "9"])
        self.assertEqual(getattr(options.loaded.settings, NAME), 9)

    def test_help_and_the_reference_page_show_it(self) -> None:
        shown = " ".join(str(cast(Any, Options)()).split())
        self.assertIn("--made-up-limit= Bytes of something made up. Allowed: a size from 0", shown)
        self.assertIn(f"[{VARIABLE}, default 7]", shown)
        self.assertIn(f"| `{VARIABLE}` | `--made-up-limit` | `7` | a size from 0", page())

    def test_a_bad_value_is_named_and_a_misspelt_one_is_guessed(self) -> None:
        error = self.assertRaises(SettingError, load_settings, {VARIABLE: "much"}, {})
        self.assertIn(f"{VARIABLE} is 'much': a size from 0", str(error))
        self.assertEqual(unknown_variables({"LFS_MADEUP_LIMIT": "1"}), {"LFS_MADEUP_LIMIT": VARIABLE})

    def test_it_has_an_example_of_its_own(self) -> None:
        info = setting_table()[NAME]
        self.assertNotEqual(info.parse(example(NAME)), info.parse(info.default))


class StartTests(ProxyTestCase):
    async def test_the_start_says_its_value(self) -> None:
        with capturedLogs() as events:
            self.start(self.proxy(**{VARIABLE: "1k"}))
        self.assertIn(f"{VARIABLE} is '1k'", [formatEvent(event) for event in events])

"""The page that the four client libraries share: the tests that it names are there."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.client.options import EnvironmentOptions, ReaderOptions
from tests.docs.blocks import ROOT

PAGE = ROOT / "docs" / "sdk" / "index.md"


PARTS = {
    "Python": (("lfsproxy/client/options.py",), r"^    {}: "),
    "Go": (("sdk/go/config.go",), r"^\t{} "),
    "Java": (
        ("sdk/java/src/main/java/io/github/lfsproxy/client/LfsReaderBuilder.java",),
        r"public LfsReaderBuilder {}\(",
    ),
    "JavaScript": (
        ("sdk/js/src/options.ts", "sdk/js/src/sources.ts", "sdk/js/src/location.ts"),
        r"^  readonly {}\?: ",
    ),
}
"""By the head of a column of the table of settings: the files that define them, and how."""


def settings_table() -> list[dict[str, list[str]]]:
    """Its rows: the names of settings in each language's column."""
    _, _, text = PAGE.read_text().partition("## Settings\n")
    table = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    heads = [cell.strip() for cell in table[0]]
    rows = [row for row in table[2:] if len(row) == len(heads)]
    return [
        {head: re.findall(r"`(\w+)`", cell) for head, cell in zip(heads, row, strict=True)} for row in rows
    ]


class SettingsTests(SynchronousTestCase):
    def test_each_language_has_the_settings_that_the_page_names(self) -> None:
        for language, (files, definition) in PARTS.items():
            text = "\n".join((ROOT / file).read_text() for file in files)
            named = [name for row in settings_table() for name in row[language]]
            self.assertGreater(len(named), 15)
            unknown = [name for name in named if not re.search(definition.format(name), text, re.M)]
            self.assertEqual((language, unknown), (language, []))

    def test_the_page_names_each_setting_of_a_reader(self) -> None:
        named = {name for row in settings_table() for name in row["Python"]}
        self.assertEqual(named, {*EnvironmentOptions.__annotations__, *ReaderOptions.__annotations__})


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

"""What a release had and a later one has not is on docs/upgrading.md: nobody finds out by an outage."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.blocks import ROOT
from tests.released import Names, current, missing, released

PAGE = ROOT / "docs" / "upgrading.md"


def untold(before: Names, now: Names, page: str) -> list[str]:
    """The names that are gone and that the page does not have in backticks."""
    return [name for name in missing(before, now) if f"`{name}`" not in page]


class UpgradingTests(SynchronousTestCase):
    def test_what_is_gone_is_on_the_page(self) -> None:
        before = released()
        self.assertTrue(all(before.values()))
        self.assertEqual(untold(before, current(), PAGE.read_text(encoding="utf-8")), [])

    def test_a_name_of_each_kind_that_goes_is_found(self) -> None:
        before: Mapping[str, list[str]] = current()
        for kind, names in before.items():
            for name in names:
                now = {**before, kind: [each for each in names if each != name]}
                self.assertEqual(untold(before, now, ""), [name])
                self.assertEqual(untold(before, now, f"| `{name}` | gone |"), [])

    def test_a_label_that_goes_is_found(self) -> None:
        before = {"metrics": ["lfsproxy_uploads_total{path,topic,result}"]}
        now = {"metrics": ["lfsproxy_uploads_total{path,result}"]}
        self.assertEqual(untold(before, now, ""), before["metrics"])

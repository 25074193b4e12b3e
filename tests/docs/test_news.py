"""The news of the next release: names as towncrier reads them, where a + stands for no issue."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.blocks import ROOT


class NewsTests(SynchronousTestCase):
    def test_each_fragment_is_of_a_kind_and_of_no_issue(self) -> None:
        found = sorted((ROOT / "newsfragments").glob("*.md"))
        self.assertNotEqual(found, [])
        for each in found:
            self.assertRegex(each.name, r"^\+[a-z0-9-]+\.(feature|bugfix)\.md$")
            self.assertTrue(each.read_text(encoding="utf-8").strip(), each.name)

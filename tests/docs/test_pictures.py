"""The diagram of README and of the site's first page is drawn twice, and only the colours differ."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.blocks import ROOT

COLOUR = re.compile(r"#[0-9a-f]{6}")


class DiagramTests(SynchronousTestCase):
    def test_light_and_dark_are_the_same_drawing(self) -> None:
        light, dark = (
            (ROOT / "docs" / "images" / f"flow-{name}.svg").read_text(encoding="utf-8")
            for name in ("light", "dark")
        )
        self.assertNotEqual(COLOUR.findall(light), COLOUR.findall(dark))
        self.assertEqual(COLOUR.sub("", light), COLOUR.sub("", dark))

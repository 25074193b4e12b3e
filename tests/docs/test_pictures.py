"""Diagram and dashboard are drawn twice, and only colours differ; the dashboard has today's panels."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from tests.deploy.panels import panels
from tests.docs.blocks import ROOT

COLOUR = re.compile(r"#[0-9a-f]{6}")


def pair(name: str) -> list[str]:
    """A picture for light pages, and for dark ones."""
    folder = ROOT / "docs" / "images"
    return [(folder / f"{name}-{kind}.svg").read_text(encoding="utf-8") for kind in ("light", "dark")]


class DiagramTests(SynchronousTestCase):
    def test_light_and_dark_are_the_same_drawing(self) -> None:
        for name in ("flow", "dashboard"):
            light, dark = pair(name)
            self.assertNotEqual(COLOUR.findall(light), COLOUR.findall(dark))
            self.assertEqual(COLOUR.sub("", light), COLOUR.sub("", dark))

    def test_the_picture_of_the_dashboard_has_its_panels(self) -> None:
        for picture in pair("dashboard"):
            shown = re.findall(r'<text class="(?:row|name)"[^>]*>([^<]*)</text>', picture)
            self.assertEqual(shown, [panel.title for panel in panels()], "run python -m benchmarks.dashboard")

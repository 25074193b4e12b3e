"""Each diagram is drawn twice, only the colours differ, it says what it shows, and a page shows it."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from tests.deploy.panels import panels
from tests.docs.blocks import ROOT

IMAGES = ROOT / "docs" / "images"
COLOUR = re.compile(r"#[0-9a-f]{6}")
NAMES = sorted(path.name.removesuffix("-light.svg") for path in IMAGES.glob("*-light.svg"))
SVG = "{http://www.w3.org/2000/svg}"
WIDEST = 704
"""Pixels that a page gives to a picture: a wider one would be shown with smaller letters."""
SMALLEST = 12


class DiagramTests(SynchronousTestCase):
    def test_light_and_dark_are_the_same_drawing(self) -> None:
        self.assertGreater(len(NAMES), 5)
        for name in NAMES:
            light, dark = ((IMAGES / f"{name}-{kind}.svg").read_text() for kind in ("light", "dark"))
            self.assertNotEqual(COLOUR.findall(light), COLOUR.findall(dark), name)
            self.assertEqual(COLOUR.sub("", light), COLOUR.sub("", dark), name)

    def test_each_says_what_it_shows(self) -> None:
        for name in NAMES:
            root = ElementTree.parse(IMAGES / f"{name}-light.svg").getroot()
            self.assertTrue(root.findtext(f"{SVG}title"), name)

    def test_the_letters_can_be_read(self) -> None:
        # The dashboard is looked at in its full size.
        for name in sorted({*NAMES} - {"dashboard"}):
            text = (IMAGES / f"{name}-light.svg").read_text()
            width = int(re.findall(r'viewBox="0 0 (\d+) ', text)[0])
            sizes = [int(size) for size in re.findall(r"font-size: (\d+)px", text)]
            self.assertLessEqual(width, WIDEST, name)
            self.assertGreaterEqual(min(sizes), SMALLEST, name)

    def test_each_is_on_a_page(self) -> None:
        pages = "".join(
            path.read_text() for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts
        )
        self.assertEqual([name for name in NAMES if f"images/{name}-light.svg" not in pages], [])

    def test_the_picture_of_the_dashboard_has_its_panels(self) -> None:
        for kind in ("light", "dark"):
            picture = (IMAGES / f"dashboard-{kind}.svg").read_text()
            shown = re.findall(r'<text class="(?:row|name)"[^>]*>([^<]*)</text>', picture)
            self.assertEqual(shown, [panel.title for panel in panels()], "run python -m benchmarks.dashboard")

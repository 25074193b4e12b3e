"""Every link of every page works on GitHub and in the site, and README leads to every page."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.blocks import ROOT
from tests.docs.links import DEEPEST, anchors_of, links_of, problems_of

GLOBS = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "tests/README.md",
    "docs/**/*.md",
    "sdk/*/README.md",
    "examples/**/*.md",
    "benchmarks/**/*.md",
)


def pages() -> list[str]:
    """The pages of the repository, without what is built or installed there."""
    found = {path for glob in GLOBS for path in ROOT.glob(glob)}
    names = [path.relative_to(ROOT) for path in found]
    return sorted(str(name) for name in names if not {"_build", "node_modules"} & set(name.parts))


class PagesTests(SynchronousTestCase):
    def test_every_link_works(self) -> None:
        names = pages()
        self.assertIn("docs/index.md", names)
        problems = [problem for name in names for problem in problems_of(ROOT, name)]
        self.assertEqual(problems, [], "\n".join(problems))

    def test_readme_leads_to_every_page_of_the_site(self) -> None:
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        linked = {link.target for link in links_of(readme)}
        wanted = {name for name in pages() if name.startswith("docs/") and name != "docs/index.md"}
        self.assertEqual(wanted - linked, set())

    def test_anchors_are_made_as_deep_as_the_rule_says(self) -> None:
        text = (ROOT / "docs" / "conf.py").read_text(encoding="utf-8")
        self.assertIn(f"\nmyst_heading_anchors = {DEEPEST}\n", text)


class RuleTests(SynchronousTestCase):
    """The rule itself, on pages of the test's own."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp())
        (self.root / "docs").mkdir(parents=True)
        (self.root / "setup.cfg").touch()
        self.write("docs/other.md", "# Other\n\n## What `x` says, and why\n\n#### Deep\n")

    def write(self, name: str, text: str) -> None:
        (self.root / name).write_text(text)

    def problem(self, text: str, name: str = "docs/page.md") -> str:
        """The one problem of a page, or ""."""
        self.write(name, text)
        problems = problems_of(self.root, name)
        self.assertLessEqual(len(problems), 1)
        return problems[0] if problems else ""

    def test_links_that_work(self) -> None:
        for text in (
            "[a](other.md) [b](other.md#what-x-says-and-why) [c](https://example.com/x#y) [`d`](#e)\n\n# E\n",
            "| a |\n|---|\n| [b](other.md) |\n",
            "```md\n[](none.md)\n```\n",
        ):
            self.assertEqual(self.problem(text), "")
        self.assertEqual(self.problem("[a](docs/other.md#other) [b](setup.cfg)\n", "README.md"), "")

    def test_links_that_do_not(self) -> None:
        for text, why in (
            ("a\n\n[](other.md)", "docs/page.md:3: [](other.md) has no text"),
            ("![](other.md)", "has no text"),
            ("[a](none.md)", "leads to no file"),
            ("[a](other.md#none)", "names no heading"),
            ("[a](other.md#deep)", "below level 3"),
            ("[a](../setup.cfg)", "leads out of docs/"),
            ("[a](/docs/other.md)", "begins with a slash"),
            ("| a |\n|---|\n| [b](none.md) |", "leads to no file"),
            ('<picture>\n  <img alt="a" src="none.svg">\n</picture>', "leads to no file"),
            ('text <a href="none.md">a</a>', "leads to no file"),
        ):
            self.assertIn(why, self.problem(text), text)

    def test_anchors_are_those_of_github(self) -> None:
        page = "# A `b_c`: d\n## What's new, *really*?\n## Same\n## Same\n### `/readyz` says 503\n"
        wanted = {"a-b_c-d": 1, "whats-new-really": 2, "same": 2, "same-1": 2, "readyz-says-503": 3}
        self.assertEqual(anchors_of(page), wanted)

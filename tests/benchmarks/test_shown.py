"""Tables, pictures, the page and the file of results."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.compare.bars import PICTURES, WIDTH, picture
from benchmarks.compare.page import BEGIN, END, replaced
from benchmarks.compare.results import Results, read
from benchmarks.compare.tables import markdown, summary, text
from benchmarks.compare.workloads import WORKLOADS
from tests.benchmarks.samples import sample

HTTP = next(each for each in WORKLOADS if each.name == "http-1g")
RUNS = {
    "ours": [sample(1.0, cpu=0.1, base=80_000_000, peak=120_000_000), sample(2.0, cpu=0.2, base=1, peak=1)],
    "straight": [sample(2.0), sample(2.0)],
}


def results() -> Results:
    return Results({"cores": "2 cores"}, "make bench ROUNDS=2", {"kafscale": "set X"}, runs={"http-1g": RUNS})


class TextTests(SynchronousTestCase):
    def test_a_workload(self) -> None:
        self.assertEqual(
            text(HTTP, RUNS).splitlines(),
            [
                "HTTP, 1 GiB (http-1g): how fast one large file goes to S3, and in how much memory",
                "                      MB/s  to straight  CPU s/GB  idle, MB  peak, MB  client's cores",
                "  ours      75 (50 to 100)         1.50      1.50        80       120            0.25",
                "  straight   50 (50 to 50)                                                       0.25",
                "  goal: rate ≥ 1.8 x kafscale: not judged, there is no figure of kafscale",
                "  goal: rate ≥ 1 x straight: 1.50, met",
                "  goal: CPU ≤ 1.5 s/GB: 1.50, met",
                "  goal: peak memory ≤ 130 MB: 120, met",
            ],
        )

    def test_another_base(self) -> None:
        self.assertIn("to ours", text(HTTP, RUNS, "ours"))
        self.assertIn("50 (50 to 50)     0.67", text(HTTP, RUNS, "ours"))

    def test_a_base_that_is_not_there_gives_no_ratios(self) -> None:
        self.assertRegex(text(HTTP, RUNS, "kafscale"), r"75 \(50 to 100\) {9,}1\.50")

    def test_a_workload_that_nobody_could_do(self) -> None:
        found = text(HTTP, {}).splitlines()
        self.assertEqual(found[1].split("  ")[-1], "client's cores")
        self.assertIn("not judged", found[2])

    def test_the_summary_counts_the_met_and_names_the_others(self) -> None:
        found = results()
        found.failed["http-1g by null"] = "it was closed"
        self.assertEqual(
            summary(found).splitlines(),
            [
                "3 of 4 goals are met",
                "  http-1g: rate ≥ 1.8 x kafscale: not judged, there is no figure of kafscale",
                "ABSENT: kafscale: set X",
                "FAILED: http-1g by null: it was closed",
            ],
        )


class MarkdownTests(SynchronousTestCase):
    def test_it_has_command_machine_tables_and_goals(self) -> None:
        found = markdown(results())
        for part in (
            "```sh\nmake bench ROUNDS=2\n```\n",
            "\n2 cores.\n",
            "\n| straight | 50 (50 to 50) |  |  |  |  | 0.25 |\n",
            "\n- rate ≥ 1 x straight: 1.50, met\n",
            "\nNot there: `kafscale` (set X).\n",
        ):
            self.assertIn(part, found)

    def test_every_row_has_as_many_cells(self) -> None:
        rows = [line for line in markdown(results()).splitlines() if line.startswith("|")]
        self.assertEqual(len(rows), 4)
        self.assertEqual(len({row.count("|") for row in rows}), 1)


class PageTests(SynchronousTestCase):
    def test_only_what_is_between_the_comments_is_replaced(self) -> None:
        page = f"before\n{BEGIN}\nold\n{END}\nbehind\n"
        found = replaced(page, "new\n")
        self.assertTrue(found.startswith(f"before\n{BEGIN}\n\nnew\n"))
        self.assertTrue(found.endswith(f"{END}\nbehind\n"))
        self.assertNotIn("old", found)
        for name in PICTURES:
            self.assertIn(f"](images/{name}-light.svg)", found)
        self.assertEqual(replaced(found, "new\n"), found)

    def test_a_page_without_a_place(self) -> None:
        for page in ("nothing", f"{BEGIN}\n", f"{END} {BEGIN}"):
            self.assertRaises(ValueError, replaced, page, "new")


class PictureTests(SynchronousTestCase):
    def test_bars_are_as_long_as_their_values(self) -> None:
        root = ElementTree.fromstring(picture(results(), "bench-speed", dark=False))
        svg = "{http://www.w3.org/2000/svg}"
        ours, straight = (float(each.attrib["width"]) for each in root.findall(f"{svg}rect")[1:])
        self.assertAlmostEqual(ours / straight, 1.5, places=2)
        self.assertIn(
            "HTTP, 1 GiB: MB/s (more is better)", [each.text for each in root.findall(f"{svg}text")]
        )

    def test_nothing_leaves_the_picture(self) -> None:
        for name in PICTURES:
            for x in re.findall(r'\bx="([\d.]+)"', picture(results(), name, dark=False)):
                self.assertLess(float(x), WIDTH)

    def test_a_target_without_the_figure_has_no_bar(self) -> None:
        found = picture(results(), "bench-cost", dark=False)
        self.assertIn(">ours<", found)
        self.assertNotIn(">straight<", found)

    def test_light_and_dark_differ_only_in_colours(self) -> None:
        light, dark = (picture(results(), "bench-speed", kind) for kind in (False, True))
        self.assertNotEqual(light, dark)
        self.assertEqual(*(re.sub(r"#[0-9a-f]{6}", "", each) for each in (light, dark)))


class ResultsTests(SynchronousTestCase):
    def test_what_is_written_is_read_again(self) -> None:
        path = Path(self.mktemp()) / "results.json"
        results().write(path)
        self.assertEqual(read(path), results())

    def test_a_workload_that_is_gone_from_the_table_is_not_shown(self) -> None:
        found = results()
        found.runs["older"] = RUNS
        self.assertEqual([workload.name for workload, _ in found.of()], ["http-1g"])

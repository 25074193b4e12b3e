"""Every program that a page shows is a file below examples/, so that what is pasted is what the tests run."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.blocks import ROOT, ExampleError, blocks_of, comments_of, example, part_of

PAGES = sorted(
    [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "sdk").glob("*/README.md")],
    key=str,
)
PROGRAMS = {
    *("go", "golang", "java", "python", "py"),
    *("javascript", "js", "mjs", "jsx", "typescript", "ts", "tsx"),
}
"""Languages of which a page of docs/sdk/ shows nothing but examples."""
RUNNERS = ("tests/integration/*.py", "tests/deploy/test_*.py")
RUN_HERE = ("go", "js", "operate", "python")
SHOWN = (*RUN_HERE, "java", "connect")
SETUP = "setup.sh"
"""How a project is set up; tests/integration/examples.py runs its parts."""


def pages() -> dict[str, str]:
    """Each page's text by its path in the repository, without what is built or installed there."""
    found = {str(page.relative_to(ROOT)): page for page in PAGES if "_build" not in page.parts}
    return {name: page.read_text(encoding="utf-8") for name, page in found.items()}


def problems_of(name: str, page: str, root: Path = ROOT) -> list[str]:
    """What is wrong with the blocks of one page, in sentences."""
    problems = []
    blocks = list(blocks_of(page))
    for block in blocks:
        if block.file is None:
            if name.startswith("docs/sdk/") and block.language in PROGRAMS:
                problems.append(f"{name}:{block.line}: no comment names the example that this program is")
            continue
        try:
            wanted = example(root, block.file, block.part)
        except ExampleError as error:
            problems.append(f"{name}:{block.line}: {error}")
            continue
        if block.code != wanted:
            problems.append(f"{name}:{block.line}: this is not what {block.file} has:\n{wanted}")
    named = sum(1 for block in blocks if block.file is not None)
    if comments_of(page) != named:
        problems.append(f"{name}: a comment names an example, and no fenced block is on the next line")
    return problems


class PagesTests(SynchronousTestCase):
    def test_what_pages_show_is_what_the_files_have(self) -> None:
        problems = [problem for name, page in pages().items() for problem in problems_of(name, page)]
        self.assertEqual(problems, [], "\n".join(problems))

    def test_every_example_is_on_a_page(self) -> None:
        shown = {block.file for page in pages().values() for block in blocks_of(page)}
        files = [path for folder in SHOWN for path in (ROOT / "examples" / folder).rglob("*")]
        names = {
            str(path.relative_to(ROOT)) for path in files if path.is_file() and "target" not in path.parts
        }
        self.assertTrue(names)
        self.assertEqual(names - shown, set())

    def test_every_example_is_run_by_a_test(self) -> None:
        tests = "".join(path.read_text(encoding="utf-8") for glob in RUNNERS for path in ROOT.glob(glob))
        files = [path for folder in RUN_HERE for path in (ROOT / "examples" / folder).glob("*")]
        programs = [path.name for path in files if path.name != SETUP]
        self.assertEqual([name for name in programs if f'"{name}"' not in tests], [])


class RuleTests(SynchronousTestCase):
    """The rule itself, on pages and files of the test's own."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp())
        folder = self.root / "examples" / "go"
        folder.mkdir(parents=True)
        (folder / "read.go").write_text("package main\n\nfunc main() {\n\t// [a]\n\tread()\n\t// [/a]\n}\n")
        self.whole = (folder / "read.go").read_text()

    def problems(self, page: str, name: str = "docs/sdk/go.md") -> list[str]:
        return problems_of(name, page, self.root)

    def test_the_whole_file(self) -> None:
        self.assertEqual(self.problems(f"<!-- examples/go/read.go -->\n```go\n{self.whole}```\n"), [])

    def test_a_part_without_its_indentation(self) -> None:
        self.assertEqual(self.problems("<!-- examples/go/read.go#a -->\n```go\nread()\n```\n"), [])

    def test_a_block_in_a_list(self) -> None:
        self.assertEqual(
            self.problems("- so\n  <!-- examples/go/read.go#a -->\n  ```go\n  read()\n  ```\n"), []
        )

    def test_another_text_is_told_by_page_and_line(self) -> None:
        [problem] = self.problems("# Go\n\n<!-- examples/go/read.go#a -->\n```go\nwrite()\n```\n")
        self.assertTrue(
            problem.startswith("docs/sdk/go.md:4: this is not what examples/go/read.go has"), problem
        )

    def test_a_missing_file_or_part(self) -> None:
        self.assertEqual(
            self.problems("<!-- examples/go/none.go -->\n```go\n```\n"),
            ["docs/sdk/go.md:2: there is no examples/go/none.go"],
        )
        [problem] = self.problems("<!-- examples/go/read.go#b -->\n```go\n```\n")
        self.assertIn("[b]", problem)

    def test_a_part_that_is_there_twice(self) -> None:
        self.assertRaises(ExampleError, part_of, "# [a]\n# [/a]\n# [a]\n# [/a]\n", "a", "x.py")

    def test_a_program_of_an_sdk_page_without_a_comment(self) -> None:
        for language in ("go", "java", "python", "js", "typescript"):
            page = f"text\n\n```{language}\nmain()\n```\n"
            self.assertEqual(
                self.problems(page),
                ["docs/sdk/go.md:3: no comment names the example that this program is"],
            )
            self.assertEqual(self.problems(page, "docs/kafka.md"), [])

    def test_other_blocks_of_an_sdk_page_need_none(self) -> None:
        self.assertEqual(self.problems("```console\n$ go test\n```\n\n~~~\ntext\n~~~\n"), [])

    def test_a_comment_with_nothing_below_it(self) -> None:
        [problem] = self.problems("<!-- examples/go/read.go#a -->\n\n```console\nread()\n```\n")
        self.assertIn("no fenced block is on the next line", problem)

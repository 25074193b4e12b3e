"""Each block of commands of README, quick start and how-tos is run by a test, or the list says why not."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.blocks import ROOT, Block, blocks_of
from tests.docs.shell import BLOCKS, PAGES, NotRun, Run, blocks_run_by, problems_of, shell_blocks

PAGE = "docs/quickstart.md"


def block(code: str, language: str = "sh") -> Block:
    return Block(7, language, code, None, None)


class PagesTests(SynchronousTestCase):
    def test_every_block_is_in_the_list(self) -> None:
        problems = [problem for page in PAGES for problem in problems_of(page, shell_blocks(page))]
        self.assertEqual(problems, [], "\n".join(problems))
        self.assertEqual(set(BLOCKS) - set(PAGES), set())

    def test_every_block_says_its_language(self) -> None:
        for page in PAGES:
            text = (ROOT / page).read_text(encoding="utf-8")
            self.assertEqual([each.line for each in blocks_of(text) if not each.language], [], page)

    def test_the_tests_that_are_named_run_them(self) -> None:
        for page, named in BLOCKS.items():
            for part, fate in named.items():
                if isinstance(fate, Run):
                    source = (ROOT / f"{fate.module.replace('.', '/')}.py").read_text(encoding="utf-8")
                    self.assertIn(fate.by, source, f"{page}: {part}")
                else:
                    self.assertTrue(fate.why)


class RuleTests(SynchronousTestCase):
    """The rule itself."""

    def test_a_block_that_is_not_in_the_list(self) -> None:
        blocks = [*shell_blocks(PAGE), block("rm -rf /\n")]
        self.assertEqual(problems_of(PAGE, blocks), [f"{PAGE}:7: 0 entries of the list name this block"])

    def test_a_block_that_two_entries_name(self) -> None:
        both = block("lfsproxy download a\ncurl localhost:8080/readyz\n")
        self.assertIn(f"{PAGE}:7: 2 entries of the list name this block", problems_of(PAGE, [both]))

    def test_an_entry_without_a_block(self) -> None:
        self.assertIn(f"{PAGE}: 'lfsproxy download' names no block, or several", problems_of(PAGE, []))

    def test_prompts(self) -> None:
        [one, _, *_] = problems_of(PAGE, [block("$ make lfs-demo\n", "console")])
        self.assertIn("prompts cannot be pasted", one)

    def test_a_test_gets_its_own_blocks_in_order(self) -> None:
        mine = blocks_run_by("tests.integration.test_readme", PAGE)
        self.assertEqual(mine[0].code, "make lfs-demo\n")
        self.assertEqual(len(mine), len(BLOCKS[PAGE]) - 1)
        self.assertEqual(blocks_run_by("tests.none", PAGE), [])
        self.assertIsInstance(BLOCKS[PAGE]["twistd -n"], NotRun)

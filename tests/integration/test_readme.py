"""README and the quick start as a new user follows them: the demo in one terminal, the rest in another.

Everything is run as it stands on the page, in its order, in one shell. Three things differ: the repository is
not cloned, make gets an environment that has what the demo needs, and the ports are not those of the pages.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from twisted.trial import unittest

from tests.devstack.test_demo import free_variables
from tests.docs.blocks import ROOT, blocks_of
from tests.docs.shell import blocks_run_by
from tests.integration.examples import CLONE
from tests.integration.stack import in_thread

SECONDS = 180
SIZE = 20_000_000
DOWNLOADS = ("LFS_DEMO_CACHE", "LFS_DEMO_MAVEN_URL")
ENVELOPE = '{"lfs_version":1,"s3_bucket":"kafscale","s3_key":"lfs/default/demo-topic/0/0-'
CLONE_AND_ENTER = f"{CLONE.rstrip()} && cd lfsproxy\n"


def commands_of(page: str) -> tuple[str, list[str]]:
    """What starts the demo, and the commands and programs behind it that the other terminal gets."""
    text = (ROOT / page).read_text(encoding="utf-8")
    mine = [block.line for block in blocks_run_by(__name__, page)]
    blocks = [block for block in blocks_of(text) if block.line in mine or block.language == "python"]
    first, *others = [
        f"python - <<'END'\n{block.code}END\n" if block.language == "python" else block.code
        for block in blocks
    ]
    return first, others


class ReadmeTests(unittest.TestCase):
    timeout = 3 * SECONDS

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        # What make looks for: an environment whose packages are installed.
        environment = self.folder / "venv"
        environment.mkdir()
        (environment / "bin").symlink_to(Path(sys.executable).parent)
        (environment / "installed-demo").touch()
        self.ports = free_variables()
        ours = ("LFS_", "AWS_", "PYTHON")
        self.inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self.variables = {
            **self.inherited,
            **{name: value for name, value in os.environ.items() if name in DOWNLOADS},
            **self.ports,
            "VENV": str(environment),
            "LFS_DEMO_FOLDER": str(self.folder),
            "LFS_DEMO_FILE_SIZE": str(SIZE),
            "LFS_DEMO_RECORD_SIZE": "9000000",
            "LFS_DEMO_WHOLE_SIZE": "9000000",
        }

    def until_invited(self, demo: subprocess.Popen[str]) -> list[str]:
        """The lines that the demo prints for the other terminal."""
        assert demo.stdout is not None
        lines = list[str]()
        for line in demo.stdout:
            lines.append(line.strip())
            if lines[-1] == "Then try":
                start = lines.index("For another terminal: paste these lines first")
                return [each for each in lines[start + 1 : -1] if each]
        raise AssertionError("the demo ended:\n" + "\n".join(lines))

    def in_one_shell(self, pasted: Sequence[str]) -> str:
        """What a new shell prints that gets these lines."""
        script = "\n".join(pasted)
        for printed, here in (("localhost:8080", "HTTP"), ("localhost:19092", "PROXY")):
            script = script.replace(printed, f"localhost:{self.ports[f'LFS_DEMO_{here}_PORT']}")
        done = subprocess.run(
            ["sh", "-eu"],
            input=script,
            env=self.inherited,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def follow(self) -> tuple[str, str]:
        """What the shells of README and of the quick start show."""
        start, readme = commands_of("README.md")
        self.assertTrue(start.startswith(CLONE_AND_ENTER), start)
        quick_start, quick = commands_of("docs/quickstart.md")
        self.assertEqual(start.removeprefix(CLONE_AND_ENTER), quick_start)
        demo = subprocess.Popen(
            ["sh", "-euc", quick_start],
            cwd=ROOT,
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        with demo:
            try:
                exports = self.until_invited(demo)
                shown = self.in_one_shell([*exports, *readme])
                (self.folder / "again.bin").unlink()
                return shown, self.in_one_shell([*exports, *quick])
            finally:
                # As Ctrl-C in its terminal: make ends at once, and the demo when its servers have ended.
                os.killpg(demo.pid, signal.SIGINT)
                assert demo.stdout is not None
                demo.stdout.read()

    async def test_both_pages_from_top_to_bottom(self) -> None:
        readme, quick = await in_thread(self.follow)
        for shown in (readme, quick):
            self.assertRegex(shown, r'"offset": \d+')
            self.assertIn(ENVELOPE, shown)
        self.assertIn("the same bytes: True", readme)
        # The demo's round and what the page sent: file, record, ordinary record, file, record.
        sizes = re.findall(r"^(\d+) (\d+)$", readme, re.MULTILINE)
        self.assertEqual(sizes[:1] + sizes[3:], [("0", str(SIZE)), ("3", str(SIZE)), ("4", str(SIZE))])
        self.assertRegex(quick, r"HTTP/1.1 200 OK\r?\n")
        self.assertEqual((self.folder / "again.bin").stat().st_size, SIZE)

"""The frame of the upkeep commands, in processes of their own: each has the reactor for itself."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "tests.cli.upkeep_program", "fsck")
SECONDS = 60


def environment(variables: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LFS_")}
    return {**kept, **variables}


def run(*arguments: str, given: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        cwd=ROOT,
        env=environment(variables),
    )


class EndingTests(SynchronousTestCase):
    def test_clean(self) -> None:
        done = run("fine")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "nothing is wrong\n", ""))

    def test_findings(self) -> None:
        done = run("findings", "--json")
        self.assertEqual((done.returncode, json.loads(done.stdout), done.stderr), (1, {"found": "ä"}, ""))

    def test_could_not_run(self) -> None:
        done = run("unavailable", "--json")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (2, "", "Error: S3 is away\n"))

    def test_a_bug(self) -> None:
        done = run("bug")
        self.assertEqual(done.returncode, 70)
        self.assertIn("this is a bug in lfsproxy: nobody foresaw this", done.stderr)

    def test_an_unknown_option(self) -> None:
        self.assertEqual(run("fine", "--bukket", "x").returncode, 2)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment({}),
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        assert process.stdout is not None
        self.assertIn("line" if "lines" in arguments else "waiting", process.stdout.readline())
        return process

    def test_ctrl_c_lets_it_clean_up(self) -> None:
        process = self.start("wait", "--json")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)
        self.assertEqual((process.returncode, out, err), (130, "", "cleaned up\nError: interrupted\n"))

    def test_sigterm_lets_it_clean_up(self) -> None:
        process = self.start("wait")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=SECONDS)
        self.assertEqual((process.returncode, out, err), (143, "", "cleaned up\nError: ended by SIGTERM\n"))

    def test_a_second_ctrl_c_does_not_wait(self) -> None:
        process = self.start("hang")
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        self.assertEqual(process.stderr.readline(), "cleaned up\n")
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=SECONDS)
        self.assertEqual(process.returncode, 130)

    def test_a_reader_that_leaves(self) -> None:
        process = self.start("lines")
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        process.wait(SECONDS)
        self.assertEqual((process.returncode, process.stderr.read()), (141, ""))


class SettingTests(SynchronousTestCase):
    def test_from_a_variable(self) -> None:
        self.assertEqual(run("settings", LFS_S3_BUCKET="blobs").stdout, "blobs * *\n")

    def test_an_option_wins(self) -> None:
        done = run("settings", "--s3-bucket", "others", LFS_S3_BUCKET="blobs")
        self.assertEqual(done.stdout, "others * *\n")

    def test_an_option_of_the_commands_own_is_not_the_settings(self) -> None:
        done = run("settings", "--topics", "mine", LFS_TOPICS="theirs")
        self.assertEqual((done.stdout, done.stderr), ("kafscale theirs mine\n", ""))

    def test_a_bad_value_is_one_line(self) -> None:
        done = run("settings", "--s3-path-style", "maybe")
        self.assertEqual(
            (done.returncode, done.stdout, done.stderr),
            (2, "", "Error: LFS_S3_PATH_STYLE (flag --s3-path-style) is 'maybe': true or false is needed\n"),
        )

    def test_a_misspelt_variable_is_told(self) -> None:
        done = run("fine", LFS_S3_BUKET="blobs")
        self.assertEqual(
            done.stderr, "LFS_S3_BUKET is set, but no setting (is LFS_S3_BUCKET meant?)\n", done.stderr
        )


class SpeakingTests(SynchronousTestCase):
    def test_warnings_of_the_log_are_told(self) -> None:
        self.assertEqual(run("warn").stderr, "warn: look: out\n")

    def test_what_is_told_follows_the_log_level(self) -> None:
        self.assertEqual(run("warn", LFS_LOG_LEVEL="error").stderr, "")
        self.assertIn("info: never mind\n", run("warn", LFS_LOG_LEVEL="info").stderr)

    def test_an_answer_is_read_from_standard_input(self) -> None:
        done = run("ask", given="12\n")
        self.assertEqual((done.stdout, done.stderr), ("answered 12\n", "How many?\n"))

    def test_no_answer_is_an_empty_one(self) -> None:
        self.assertEqual(run("ask").stdout, "answered \n")

    def test_no_bars_without_a_terminal(self) -> None:
        done = run("bars")
        self.assertEqual(done.stdout, "line 0\nline 1\nline 2\nline 3\nnothing is wrong\n")
        self.assertEqual(done.stderr, "")

    def on_a_terminal(self, *arguments: str) -> tuple[str, str]:
        """What goes to standard output, and to a terminal as standard error."""
        ours, theirs = pty.openpty()
        with os.fdopen(ours, "rb", buffering=0) as screen:
            process = subprocess.Popen(
                [*COMMAND, *arguments],
                stdout=subprocess.PIPE,
                stderr=theirs,
                text=True,
                cwd=ROOT,
                env=environment({"TERM": "xterm", "COLUMNS": "100"}),
            )
            os.close(theirs)
            out, _ = process.communicate(timeout=SECONDS)
            return out, screen_text(screen.fileno())

    def test_bars_are_on_the_terminal_and_results_where_they_belong(self) -> None:
        out, err = self.on_a_terminal("bars")
        self.assertEqual(out, "line 0\nline 1\nline 2\nline 3\nnothing is wrong\n")
        self.assertIn("looking [b]at[/b] things", err)
        self.assertIn("4/4", err)

    def test_quiet_shows_no_bars(self) -> None:
        self.assertEqual(self.on_a_terminal("bars", "--quiet")[1], "")


def screen_text(terminal: int) -> str:
    """What was written to a terminal that its writer has closed."""
    found = b""
    try:
        while data := os.read(terminal, 65536):
            found += data
    except OSError:
        # So Linux says that the other side is closed.
        pass
    return found.decode()

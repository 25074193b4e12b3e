"""``lfsproxy check``: its table, for terminals of any width and for pipes, and what becomes of a bug."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.cli import check as command
from lfsproxy.cli.console import Screen
from lfsproxy.cli.upkeep import Ended, Job
from lfsproxy.settings import LoadedSettings, Settings
from lfsproxy.testing import MemoryMetrics
from lfsproxy.upkeep.steps.chain import Step

URL = "https://objects.storage.example:9000/kafscale"
WRONG = f"{URL} (LFS_S3_ENDPOINT) cannot be reached: connection refused, nothing listens at that port"
DO = "correct LFS_S3_ENDPOINT, or have it reachable from here, which a firewall may be against"
BROKER = "Kafka broker 1, kafka-1.internal:9092: host name"
STEPS = [
    Step("settings: memory", True, 0.001, "up to 1307 MiB"),
    Step(BROKER, True, 12.3, "10.0.0.11", warning=True),
    Step("S3: connection", False, 0.31, wrong=WRONG, do=DO),
    Step("S3: put", None, note="skipped because connection failed"),
]
MARGIN = 7 + 2 + len(BROKER) + 9 + 2


class Paper(Screen):
    """Shows nothing, and has as many columns as it is told."""

    columns: int | None = None

    def __init__(self) -> None:
        super().__init__(quiet=True)

    @property
    def width(self) -> int | None:
        return self.columns


class CheckTestCase(SynchronousTestCase):
    def check(self, steps: Sequence[Step], width: int | None = None, shows_bugs: bool = False) -> Ended:
        async def check_all(*_: Any) -> Sequence[Step]:
            return steps

        self.patch(command, "check_all", check_all)
        screen = Paper()
        screen.columns = width
        loaded = LoadedSettings(Settings(), {})
        job = Job(Clock(), loaded, {}, MemoryMetrics(), screen, False, shows_bugs)
        callback: Any = command.check.callback
        ended: Ended = self.successResultOf(Deferred.fromCoroutine(callback.__wrapped__(job, topic=None)))
        return ended


class TableTests(CheckTestCase):
    def lines(self, width: int | None) -> list[str]:
        return self.check(STEPS, width).text.splitlines()

    def test_in_a_pipe_each_text_is_on_one_line(self) -> None:
        self.assertEqual(
            self.lines(None),
            [
                f"ok       {'settings: memory':{len(BROKER)}}   0.00 s  up to 1307 MiB",
                f"ok, but  {BROKER}  12.30 s  10.0.0.11",
                f"FAILED   {'S3: connection':{len(BROKER)}}   0.31 s  {WRONG}",
                f"{'':{MARGIN}}-> {DO}",
                f"skipped  {'S3: put':{len(BROKER)}}           skipped because connection failed",
                "",
                "4 steps: 2 ok, 1 failed, 1 skipped; read what is behind 'ok, but' (1)",
            ],
        )

    def test_a_wide_terminal_folds_texts_in_their_own_column(self) -> None:
        for width in (200, 130, MARGIN + len(URL)):
            lines = self.lines(width)
            self.assertLessEqual(max(map(len, lines[:-1])), width)
            failed = next(number for number, line in enumerate(lines) if line.startswith("FAILED"))
            texts = [line[MARGIN:] for line in lines[failed:-3]]
            self.assertEqual(" ".join(" ".join(texts).split()), f"{WRONG} -> {DO}")
            self.assertEqual({line[:MARGIN].strip() for line in lines[failed + 1 : -3]}, {""})

    def test_a_narrow_terminal_has_texts_below_the_names(self) -> None:
        for width in (80, 60):
            lines = self.lines(width)
            self.assertLessEqual(max(map(len, lines[:-1])), width)
            begin = lines.index("FAILED   S3: connection  0.31 s")
            end = lines.index("skipped  S3: put")
            self.assertEqual(
                " ".join(" ".join(lines[begin + 1 : end]).split()), f"{WRONG} -> {DO}", "\n".join(lines)
            )
            self.assertEqual({line[:9] for line in lines[begin + 1 : end]}, {" " * 9})
            self.assertEqual(lines[end + 1], " " * 9 + "skipped because connection failed")
            self.assertEqual(lines[0], "ok       settings: memory  0.00 s")

    def test_what_people_copy_is_never_cut(self) -> None:
        for width in (20, 40, 60, 80, 110):
            self.assertIn(URL, self.check(STEPS, width).text)

    def test_control_characters_are_shown(self) -> None:
        self.assertNotIn("\x1b", self.check([Step("S3: \x1b", False, wrong="\x1b", do="\x1b")], 80).text)


class BugTests(CheckTestCase):
    def test_its_traceback_is_shown_where_that_is_wanted(self) -> None:
        try:
            raise TypeError("a mistake in the code")
        except TypeError as error:
            step = Step("S3: put", False, wrong="this is a bug", bug=error)
        for shows_bugs in (True, False):
            with contextlib.redirect_stderr(io.StringIO()) as told:
                ended = self.check([step], shows_bugs=shows_bugs)
            self.assertEqual("in test_its_traceback_is_shown" in told.getvalue(), shows_bugs)
            self.assertTrue(ended.findings)
            self.assertNotIn("a mistake", json.dumps(ended.summary))


class WidthTests(SynchronousTestCase):
    def test_only_a_terminal_has_one(self) -> None:
        self.patch(os, "environ", {"COLUMNS": "77"})
        for is_terminal, width in ((True, 77), (False, None)):
            self.patch(sys.stdout, "isatty", lambda answer=is_terminal: answer)
            self.assertEqual(Screen().width, width)

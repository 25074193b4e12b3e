"""Lines of the log name their worker, whichever way they go."""

from __future__ import annotations

import io
import json
from typing import Any, cast

from twisted.logger import LogEvent, Logger, LogLevel, formatEvent, textFileLogObserver
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.log.file import json_line, json_observer
from lfsproxy.workers.logs import EventLines, events_observer, goes_to_stdout, named


class NamedTests(SynchronousTestCase):
    def test_text_has_it_in_the_brackets(self) -> None:
        file = io.StringIO()
        Logger("a.room", observer=named(1, textFileLogObserver(file))).info("hello {who}", who="you")
        self.assertRegex(file.getvalue(), r"\[worker 1 a\.room#info\] hello you\n$")

    def test_json_has_it_as_a_field(self) -> None:
        file = io.StringIO()
        log = Logger("a.room", observer=named(0, json_observer(file)))
        log.info("an upload", fields={"event": "upload"})
        line = json.loads(file.getvalue())
        self.assertEqual((line["worker"], line["event"], line["message"]), (0, "upload", "an upload"))

    def test_an_event_keeps_what_it_was(self) -> None:
        events: list[LogEvent] = []
        Logger("a.room", observer=named(1, cast(Any, events.append))).warn("hello")
        [event] = events
        self.assertEqual((event["log_level"], event["log_namespace"]), (LogLevel.warn, "a.room"))


class ThroughTheParentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.file = io.StringIO()
        self.log = Logger("a.room", observer=named(1, events_observer(self.file)))
        self.published: list[LogEvent] = []
        self.lines = EventLines(1, self.published.append)

    def test_events_arrive_as_they_were(self) -> None:
        self.log.warn("hello {who}", who="you", fields={"bytes": 7})
        try:
            raise ValueError("broken")
        except ValueError:
            self.log.failure("it failed", failure=Failure())
        data = self.file.getvalue().encode()
        # Bytes arrive as they please.
        for at in range(0, len(data), 100):
            self.lines(data[at : at + 100])
        first, second = self.published
        self.assertEqual((formatEvent(first), first["log_level"]), ("hello you", LogLevel.warn))
        line = json.loads(json_line(first))
        self.assertEqual((line["worker"], line["bytes"], line["logger"]), (1, 7, "a.room"))
        self.assertIn("ValueError: broken", json.loads(json_line(second))["error"])

    def test_a_line_that_is_no_event_is_a_text(self) -> None:
        self.patch(Logger, "emit", self._record)
        self.lines(b"Fatal Python error\n\xff\n12\n")
        self.assertEqual([each["line"] for each in self.published], ["Fatal Python error", "\ufffd", "12"])

    def _record(self, level: Any, format: str | None = None, **values: Any) -> None:
        self.published.append(values)


class WhereTests(SynchronousTestCase):
    def test_only_the_parent_writes_files_and_to_syslog(self) -> None:
        self.assertTrue(goes_to_stdout({"nodaemon": True, "logfile": None}))
        self.assertTrue(goes_to_stdout({"nodaemon": True, "logfile": "-"}))
        for options in (
            {"nodaemon": False},
            {"nodaemon": True, "logfile": "a.log"},
            {"nodaemon": True, "syslog": True},
            {"nodaemon": True, "logger": "a.factory"},
        ):
            self.assertFalse(goes_to_stdout(options), options)

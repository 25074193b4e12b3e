"""The log as twistd writes it: which levels, and what a line of JSON has."""

from __future__ import annotations

import errno
import io
import json
from pathlib import Path
from typing import Any, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, globalLogPublisher
from twisted.scripts._twistd_unix import ServerOptions
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.log.file import FLUSH_SECONDS, Log, json_line, json_observer, log_observer
from lfsproxy.log.repeats import FEW, WINDOW_SECONDS
from lfsproxy.log.uploads import UploadEnd, upload_ended
from lfsproxy.settings import Settings
from lfsproxy.tap import Process
from lfsproxy.testing import MemoryMetrics


class ObserverTests(SynchronousTestCase):
    """The observer that twistd is given, with twistd's own options."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute()

    def written(self, *flags: str, **settings: str) -> list[str]:
        """The lines after one event of each level."""
        options = cast(Any, ServerOptions())
        options.parseOptions(["-n", f"--logfile={self.path}", *flags])
        observer = log_observer(Settings(**cast(Any, settings)), options)
        assert observer is not None
        log = Logger(namespace="n", observer=observer)
        for level in LogLevel.iterconstants():
            log.emit(level, "it is {word}", word=level.name)
        return self.path.read_text().splitlines()

    def test_debug_is_left_out_unless_asked_for(self) -> None:
        for level, count in (("debug", 5), ("info", 4), ("warn", 3), ("error", 2)):
            self.path.unlink(missing_ok=True)
            self.assertEqual(len(self.written(log_level=level)), count)

    def test_text_stays_as_twistd_writes_it(self) -> None:
        self.assertRegex(self.written(log_level="error")[0], r"^\d{4}-\d\d-\d\dT\S+ \[n#error\] it is error$")

    def test_json_is_one_object_on_each_line(self) -> None:
        lines = [json.loads(line) for line in self.written(log_format="json")]
        self.assertEqual([line["level"] for line in lines], ["info", "warn", "error", "critical"])
        self.assertEqual(list(lines[0]), ["time", "level", "logger", "message"])
        self.assertEqual((lines[0]["logger"], lines[0]["message"]), ("n", "it is info"))
        self.assertRegex(lines[0]["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def test_a_traceback_shows_no_values(self) -> None:
        def fail(password: str) -> None:
            raise RuntimeError("an unforeseen one")

        for form in ("text", "json"):
            self.path.unlink(missing_ok=True)
            options = cast(Any, ServerOptions())
            options.parseOptions(["-n", f"--logfile={self.path}"])
            observer = log_observer(Settings(log_level="debug", log_format=form), options)
            log = Logger(namespace="n", observer=cast(ILogObserver, observer))
            try:
                fail("hunter" + "2")
            except RuntimeError:
                log.failure("it failed")
            written = self.path.read_text()
            self.assertIn("an unforeseen one", written)
            self.assertNotIn("hunter2", written)

    def test_an_observer_that_twistd_was_told_stays(self) -> None:
        self.assertIsNone(log_observer(Settings(), {"logger": lambda: None}))

    def test_syslog_keeps_its_format(self) -> None:
        observer = log_observer(
            Settings(log_format="json"), {"syslog": True, "prefix": "x", "nodaemon": True}
        )
        self.assertTrue(ILogObserver.providedBy(observer))


class JsonTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.file = io.StringIO()
        self.log = Logger(namespace="n", observer=json_observer(self.file))

    @property
    def line(self) -> dict[str, Any]:
        (line,) = self.file.getvalue().splitlines()
        return cast(dict[str, Any], json.loads(line))

    def test_fields_are_beside_the_message(self) -> None:
        self.log.info(
            "upload {line}", line="result=ok", fields={"event": "upload", "result": "ok", "offset": 7}
        )
        self.assertEqual(
            {name: self.line[name] for name in ("message", "event", "result", "offset")},
            {"message": "upload result=ok", "event": "upload", "result": "ok", "offset": 7},
        )

    def test_a_failure_has_its_traceback(self) -> None:
        try:
            raise ValueError("no such thing")
        except ValueError:
            self.log.failure("it failed")
        self.assertEqual((self.line["level"], self.line["message"]), ("critical", "it failed"))
        self.assertIn("ValueError: no such thing", self.line["error"])

    def test_nothing_breaks_a_line(self) -> None:
        self.log.info("{text}", text="a\nb\u2028c\udc80")
        self.assertEqual(self.line["message"], "a\nb\u2028c\udc80")

    def test_an_upload_with_a_long_reason_has_its_line(self) -> None:
        file = io.StringIO()
        observe = json_observer(file)
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        upload_ended(MemoryMetrics(), UploadEnd(door="http", topic="t", reason="x" * 100_000))
        (line,) = [json.loads(line) for line in file.getvalue().splitlines()]
        self.assertEqual((line["event"], line["topic"], line["reason"][:3]), ("upload", "t", "xxx"))
        self.assertLess(len(line["reason"]), 5000)


class ProcessTests(SynchronousTestCase):
    """What was left out of the log is told while the process runs, and at its end."""

    def test_flushed_now_and_then_and_at_the_end(self) -> None:
        reactor = MemoryReactorClock()
        written: list[LogEvent] = []
        log = Log("info", cast(ILogObserver, written.append))
        self.patch(log.repeats, "_now", reactor.seconds)
        process = Process(reactor, cast(Any, Service()), log)
        process.startService()
        ours = Logger(namespace="n", observer=cast(ILogObserver, log))
        for number in range(FEW + 2):
            ours.info("{peer} {number}", peer="10.0.0.1", number=number)
            ours.debug("{peer} at debug", peer="10.0.0.1")
        self.assertEqual(len(written), FEW)
        reactor.pump([FLUSH_SECONDS] * int(WINDOW_SECONDS / FLUSH_SECONDS))
        self.assertEqual(written[-1]["fields"]["count"], 2)
        for _ in range(FEW + 3):
            ours.info("{peer}", peer="10.0.0.1")
        self.successResultOf(Deferred.fromCoroutine(cast(Any, process.stopService())))
        self.assertEqual(written[-1]["fields"]["count"], 3)
        self.assertEqual(reactor.getDelayedCalls(), [])

    def test_a_log_that_could_not_be_written_goes_on_later(self) -> None:
        lines: list[LogEvent] = []
        disk = {"full": False}

        def write(event: LogEvent) -> None:
            if disk["full"]:
                raise OSError(errno.ENOSPC, "No space left on device")
            lines.append(event)

        clock = MemoryReactorClock()
        log = Log("info", cast(ILogObserver, write))
        log.repeats._now = clock.seconds
        log.start(clock)
        self.addCleanup(log.stop)
        for disk["full"] in (True, False):
            for _ in range(FEW + 1):
                log.repeats._is_left_out({"log_format": "again"}, [])
            for _ in range(int(WINDOW_SECONDS // FLUSH_SECONDS) + 1):
                clock.advance(FLUSH_SECONDS)
        self.assertEqual([each["count"] for each in lines], [1])

    def test_a_line_about_a_client_names_it_in_json(self) -> None:
        event = {"log_format": "x", "log_level": LogLevel.info, "peer": "10.0.0.1:7"}
        self.assertEqual(json.loads(json_line(event))["peer"], "10.0.0.1:7")

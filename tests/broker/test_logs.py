"""kafka-python's log: for programmers at debug, except for what it did not foresee itself."""

from __future__ import annotations

import logging

from twisted.logger import LogEvent, LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.broker.logs import REPEAT_SECONDS, TwistedHandler


class HandlerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.handler = TwistedHandler()

    def emit(self, text: str, *arguments: object, error: Exception | None = None, at: float = 1000.0) -> None:
        info = (type(error), error, None) if error is not None else None
        record = logging.LogRecord("kafka.net", logging.ERROR, "", 0, text, arguments, info)
        record.created = at
        self.handler.handle(record)

    def said(self, *calls: tuple[str, tuple[object, ...], Exception | None, float]) -> list[LogEvent]:
        with capturedLogs() as events:
            for text, arguments, error, at in calls:
                self.emit(text, *arguments, error=error, at=at)
        return [event for event in events if event["log_namespace"] == "kafka"]

    def test_what_is_tried_again_is_for_programmers(self) -> None:
        (event,) = self.said(
            ("%s: Connection lost: %s", ("<KafkaConnection object at 0x7f>", "x"), None, 1000.0)
        )
        self.assertEqual(event["log_level"], LogLevel.debug)

    def test_what_it_did_not_foresee_is_a_warning_in_words(self) -> None:
        events = self.said(("IO loop crashed (client_id=%s)", ("lfsproxy",), KeyError(b"x"), 1000.0))
        (warning,) = [event for event in events if event["log_level"] == LogLevel.warn]
        self.assertEqual(
            formatEvent(warning), "the Kafka client library failed in an unforeseen way (kafka.net): key"
        )

    def test_the_same_is_passed_on_once_in_a_while(self) -> None:
        times = (1000.0, 1001.0, 1000.0 + REPEAT_SECONDS + 1)
        self.assertEqual(len(self.said(*(("Bootstrap failed: %s", ("x",), None, at) for at in times))), 2)

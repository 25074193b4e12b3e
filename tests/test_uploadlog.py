"""The line about an upload: what is in it, and that nothing a client sends can break it."""

from __future__ import annotations

import json

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.log.uploads import SENDER, Sender, UploadEnd, as_value, sent_by, upload_ended
from lfsproxy.testing import MemoryMetrics


class LineTests(SynchronousTestCase):
    def test_the_whole_line(self) -> None:
        metrics = MemoryMetrics()
        with capturedLogs() as events:
            upload_ended(
                metrics,
                UploadEnd(
                    door="kafka",
                    topic="photos",
                    partition=3,
                    offset=0,
                    key="lfs/default/photos/3/0-x.bin",
                    size=10485760,
                    seconds=0.51249,
                    sender=Sender("app 1", "10.0.0.7:51234"),
                ),
            )
        (event,) = events
        self.assertEqual(event["log_level"], LogLevel.info)
        self.assertEqual(
            formatEvent(event),
            'upload result=ok door=kafka client="app 1" peer=10.0.0.7:51234 topic=photos partition=3 '
            "offset=0 key=lfs/default/photos/3/0-x.bin bytes=10485760 seconds=0.512",
        )
        self.assertEqual(metrics.of("upload"), [("kafka", "photos", "ok", 10485760, 0.51249)])
        self.assertEqual(
            " ".join(event["fields"]),
            "event result door client key_id peer topic partition offset key bytes seconds request_id "
            "s3_request_id trace_id reason",
        )

    def test_a_value_stays_on_its_line(self) -> None:
        for text in ("a b", 'a"b', "a\nupload result=ok", "\x1b[2J", "é", "\u2028", "\ud800"):
            self.assertRegex(as_value(text), r'\A"[ -~]+"\Z')
            self.assertEqual(json.loads(as_value(text)), text)
        self.assertEqual(as_value("lfs/x/{y}"), "lfs/x/{y}")
        self.assertEqual(len(as_value("x" * 5000)), 1000)

    def test_the_sender_is_who_began_it(self) -> None:
        gate: Deferred[None] = Deferred()

        async def work() -> str:
            await gate
            return SENDER.get().peer

        with sent_by(Sender("", "a:1")):
            first = Deferred.fromCoroutine(work())
        with sent_by(Sender("", "b:2")):
            second = Deferred.fromCoroutine(work())
            gate.callback(None)
        self.assertEqual((self.successResultOf(first), self.successResultOf(second)), ("a:1", "b:2"))
        self.assertEqual(SENDER.get(), Sender())

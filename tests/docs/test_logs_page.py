"""The page about the log has the fields that lines have, each kind of line by itself."""

from __future__ import annotations

import re
from typing import cast

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.log import repeats
from lfsproxy.log.downloads import DownloadEnd, log_download
from lfsproxy.log.uploads import UploadEnd, log_upload
from lfsproxy.logs import Logger
from lfsproxy.tracing.otel import CLOSE_SECONDS
from tests.docs.blocks import ROOT
from tests.web.doubles import Door, request

ROW = re.compile(r"^\| `(\w+)` \| ([a-z, ]+) \| ", re.MULTILINE)
KINDS = {"upload", "download", "request", "repeated"}


class FieldTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.page = (ROOT / "docs" / "operate" / "logs.md").read_text(encoding="utf-8")

    def test_every_kind_of_line_has_the_fields_of_the_page(self) -> None:
        door = Door()
        written: list[LogEvent] = []
        with capturedLogs() as events:
            log_upload(UploadEnd(door="http", topic="t"))
            log_download(DownloadEnd(method="GET", topic="t", partition="0", offset="0"))
            door.ask(request("GET", "/nowhere", None))
            observer = repeats.Repeats(cast(ILogObserver, written.append), Clock().seconds)
            for _ in range(repeats.FEW + 1):
                Logger(observer=cast(ILogObserver, observer)).info("{peer}", peer="10.0.0.1")
            observer.flush(all=True)
        lines = [event["fields"] for event in [*events, *written] if "fields" in event]
        self.assertEqual({line["event"] for line in lines}, KINDS)
        documented = {name: set(kinds.split(", ")) for name, kinds in ROW.findall(self.page)}
        for line in lines:
            kind = line["event"]
            self.assertEqual({name for name, kinds in documented.items() if kind in kinds}, set(line), kind)
        self.assertEqual({kind for kinds in documented.values() for kind in kinds}, KINDS)

    def test_figures(self) -> None:
        text = " ".join(self.page.split())
        for said in (
            f"the first {repeats.FEW} in a minute",
            f"of all such lines of all hosts together {repeats.MANY}.",
            f"waits up to {CLOSE_SECONDS:.0f} seconds for the spans",
        ):
            self.assertIn(said, text)

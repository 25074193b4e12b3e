"""A worker's own start, without a process around it."""

from __future__ import annotations

from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.log.file import Log
from lfsproxy.settings import Settings
from lfsproxy.workers.boot import Boot
from lfsproxy.workers.worker import Worker


class StartTests(SynchronousTestCase):
    def test_a_start_that_fails_in_any_way_ends_the_worker(self) -> None:
        events: list[LogEvent] = []
        boot = Boot(0, 2, Settings(), self.mktemp())
        worker = Worker(None, boot, Log("info", events.append))  # type: ignore[arg-type]
        transport = StringTransport()
        worker._control.transport = transport
        worker._start()
        # Its folder is missing, as the parent has just ended.
        self.assertEqual(len(self.flushLoggedErrors(FileNotFoundError)), 1)
        self.assertEqual(worker.status, 1)
        self.assertTrue(transport.disconnecting)

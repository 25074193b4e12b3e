"""What systemd is told, and when: a clock that the test moves, and a real datagram socket."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.systemd import Notifications, Supervisor

SOON = "EXTEND_TIMEOUT_USEC=30000000"


class SupervisorTests(SynchronousTestCase):
    def take(self, **environment: str) -> Supervisor | None:
        self.environment = {"PATH": "/bin", **environment}
        return Supervisor.take_from(self.environment)

    def test_nobody_is_told_who_did_not_ask(self) -> None:
        self.assertIsNone(self.take())
        self.assertIsNone(self.take(NOTIFY_SOCKET="", WATCHDOG_USEC="1000000"))

    def test_processes_that_are_started_later_inherit_nothing(self) -> None:
        self.take(NOTIFY_SOCKET="/run/x", WATCHDOG_USEC="1000000", WATCHDOG_PID="1")
        self.assertEqual(self.environment, {"PATH": "/bin"})

    def test_the_watchdog_of_this_process_counts_in_microseconds(self) -> None:
        for process in ({}, {"WATCHDOG_PID": str(os.getpid())}):
            taken = self.take(NOTIFY_SOCKET="/run/x", WATCHDOG_USEC="2500000", **process)
            self.assertEqual(taken, Supervisor("/run/x", 2.5))

    def test_the_watchdog_of_another_process_or_none_is_not_answered(self) -> None:
        for watchdog in (
            {"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": "1"},
            {"WATCHDOG_USEC": "0"},
            {"WATCHDOG_USEC": "often"},
            {},
        ):
            self.assertEqual(self.take(NOTIFY_SOCKET="/run/x", **watchdog), Supervisor("/run/x"))


class NotificationsTestCase(SynchronousTestCase):
    """``problems`` is why the proxy is not ready."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.problems = "S3: no answer"
        folder = tempfile.TemporaryDirectory(prefix="lfsproxy-notify-")
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name, "socket")
        self.listen(str(self.path))

    def listen(self, address: str) -> None:
        self.systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.systemd.close)
        self.systemd.setblocking(False)
        self.systemd.bind(address)

    def start(self, watchdog: float | None = None, address: str = "") -> Notifications:
        self.notifications = Notifications(
            self.clock,
            Supervisor(address or str(self.path), watchdog),
            lambda: not self.problems,
            lambda: self.problems or "ready",
            75,
        )
        self.notifications.startService()
        self.addCleanup(self.notifications.close)
        return self.notifications

    def told(self) -> list[list[str]]:
        """The lines of each message since the last call."""
        messages = []
        while True:
            try:
                messages.append(self.systemd.recv(4096).decode().split("\n"))
            except BlockingIOError:
                return messages


class NotificationsTests(NotificationsTestCase):
    def test_a_start_that_waits_says_for_what_and_asks_for_more_time(self) -> None:
        self.start()
        self.assertEqual(self.told(), [[SOON, "STATUS=S3: no answer"]])
        self.clock.pump([1] * 9)
        self.assertEqual(self.told(), [])
        self.clock.advance(1)
        self.assertEqual(self.told(), [[SOON]])

    def test_ready_is_told_once_when_the_proxy_is_ready(self) -> None:
        self.start()
        self.told()
        self.problems = ""
        self.clock.advance(1)
        self.assertEqual(self.told(), [["READY=1", "STATUS=ready"]])
        self.clock.pump([1] * 60)
        self.assertEqual(self.told(), [])

    def test_an_outage_later_on_changes_the_status_alone(self) -> None:
        self.problems = ""
        self.start()
        self.told()
        self.problems = "Kafka: no answer"
        self.clock.pump([1] * 20)
        self.assertEqual(self.told(), [["STATUS=Kafka: no answer"]])
        self.problems = ""
        self.clock.advance(1)
        self.assertEqual(self.told(), [["STATUS=ready"]])

    def test_a_stop_is_told_at_once_with_the_time_it_may_take_and_what_is_left(self) -> None:
        self.problems = ""
        notifications = self.start()
        self.told()
        self.problems = "stopping: 2 requests"
        notifications.stopService()
        stopping = ["STOPPING=1", "EXTEND_TIMEOUT_USEC=75000000", "STATUS=stopping: 2 requests"]
        self.assertEqual(self.told(), [stopping])
        self.problems = "stopping: 1 request"
        self.clock.advance(1)
        self.assertEqual(self.told(), [["STATUS=stopping: 1 request"]])
        notifications.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_stop_before_the_proxy_was_ready_is_never_followed_by_ready(self) -> None:
        notifications = self.start()
        notifications.stopService()
        self.problems = ""
        self.clock.pump([1] * 20)
        lines = [line for message in self.told() for line in message]
        self.assertIn("STOPPING=1", lines)
        self.assertNotIn("READY=1", lines)

    def test_the_watchdog_hears_from_the_reactor_at_half_its_time_until_the_end(self) -> None:
        notifications = self.start(watchdog=5)
        self.clock.pump([0.5] * 10)
        self.assertEqual(self.told().count(["WATCHDOG=1"]), 3)
        notifications.stopService()
        self.clock.advance(2.5)
        self.assertEqual(self.told().count(["WATCHDOG=1"]), 1)

    def test_without_a_watchdog_nothing_is_said_to_it(self) -> None:
        self.start()
        self.clock.pump([1] * 60)
        self.assertNotIn(["WATCHDOG=1"], self.told())

    def test_an_abstract_socket_is_reached(self) -> None:
        name = f"lfsproxy-test-{os.getpid()}"
        self.listen(f"\0{name}")
        self.start(address=f"@{name}")
        self.assertEqual(len(self.told()), 1)

    def test_a_status_is_one_line_of_text_that_systemd_takes(self) -> None:
        self.problems = "broken\nREADY=1\udcff" + "\N{GRINNING FACE}" * 2000
        self.start()
        [[_, status]] = self.told()
        self.assertTrue(status.startswith("STATUS=broken\N{SYMBOL FOR LINE FEED}READY=1"), status[:20])
        self.assertLess(len(status), 600)


class GoneTests(NotificationsTestCase):
    """A socket that cannot be written to is said once, and tried again."""

    def said(self, seconds: int) -> list[str]:
        with capturedLogs() as events:
            self.clock.pump([1] * seconds)
        return [formatEvent(event) for event in events]

    def test_a_socket_that_is_gone_disturbs_nothing_and_is_said_once(self) -> None:
        self.start(watchdog=2)
        self.systemd.close()
        self.path.unlink()
        self.problems = ""
        self.assertEqual(
            self.said(30),
            [
                f"systemd cannot be told how the proxy is: NOTIFY_SOCKET is {self.path}: "
                "No such file or directory"
            ],
        )

    def test_what_was_not_told_is_told_when_the_socket_is_back(self) -> None:
        self.start()
        self.systemd.close()
        self.path.unlink()
        self.problems = ""
        self.said(5)
        self.listen(str(self.path))
        self.clock.advance(1)
        self.assertEqual(self.told(), [["READY=1", "STATUS=ready"]])

    def test_a_reader_that_is_behind_is_not_waited_for(self) -> None:
        self.start()
        filling = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(filling.close)
        filling.setblocking(False)
        with self.assertRaises(BlockingIOError):
            while True:
                filling.sendto(b"x", str(self.path))
        self.problems = ""
        self.assertEqual(len(self.said(5)), 1)
        self.told()
        self.clock.advance(1)
        self.assertEqual(self.told(), [["READY=1", "STATUS=ready"]])

    def test_an_address_that_is_none_is_said(self) -> None:
        with capturedLogs() as events:
            self.start(address="vsock:2:9999")
        self.assertIn("NOTIFY_SOCKET is vsock:2:9999", formatEvent(events[0]))

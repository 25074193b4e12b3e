"""A worker and its parent hear each other over a pair of sockets, until one of them is gone."""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.workers import commands


class Heard(commands.Channel):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Any] = []

    @commands.State.responder
    def _state(self, problems: list[str]) -> dict[str, Any]:
        self.heard.append(problems)
        return {}

    @commands.Ping.responder
    def _ping(self) -> dict[str, Any]:
        return {}

    def lost(self) -> None:
        self.heard.append("lost")


class ChannelTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ends = Heard(), Heard()
        self.wires = StringTransport(), StringTransport()
        for end, wire in zip(self.ends, self.wires, strict=True):
            end.makeConnection(wire)

    def deliver(self) -> None:
        for _ in range(2):
            for wire, end in zip(self.wires, reversed(self.ends), strict=True):
                data = wire.value()
                wire.clear()
                end.dataReceived(data)

    def test_what_is_told_arrives(self) -> None:
        self.ends[0].tell(commands.State, problems=["S3: away", ""])
        self.deliver()
        self.assertEqual(self.ends[1].heard, [["S3: away", ""]])

    def test_as_much_as_problems_may_be_fits(self) -> None:
        self.ends[0].tell(commands.State, problems=commands.fitting(["\u20ac" * 9000] * 20))
        self.deliver()
        [problems] = self.ends[1].heard
        self.assertEqual(len(problems), commands.MOST_TEXTS)

    def test_a_ping_is_answered(self) -> None:
        answered = self.ends[0].tell(commands.Ping)
        self.deliver()
        self.assertEqual(self.successResultOf(answered), {})

    def test_once_the_other_is_gone_nothing_is_told_and_nothing_logged(self) -> None:
        with capturedLogs() as events:
            self.ends[0].connectionLost(Failure(ConnectionError()))
        self.assertIsNone(self.ends[0].tell(commands.State, problems=[]))
        self.assertEqual((self.ends[0].heard, events), (["lost"], []))

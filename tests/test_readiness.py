"""Readiness follows what S3 and Kafka answer, and says each change once."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import StoreUnavailable
from lfsproxy.readiness import ANSWER_SECONDS, MOST_SAID, RETRY_SECONDS, Readiness


class ReadinessTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.answers: list[Deferred[None]] = []
        self.readiness = Readiness(self.clock, {"S3": self.check}, interval=5)
        logs = capturedLogs()
        self.events = logs.__enter__()
        self.addCleanup(logs.__exit__, None, None, None)

    @property
    def lines(self) -> list[str]:
        """What Readiness logged."""
        return [
            str(formatEvent(event))
            for event in self.events
            if event.get("log_namespace") == "lfsproxy.readiness.Readiness"
        ]

    async def check(self) -> None:
        self.answers.append(Deferred())
        await self.answers[-1]

    def test_not_ready_before_the_first_answer(self) -> None:
        self.readiness.start()
        self.assertEqual(self.readiness.problems(), ["S3: was not asked yet"])
        self.answers[-1].callback(None)
        self.assertEqual(self.readiness.problems(), [])

    def test_changes_are_logged_once(self) -> None:
        self.readiness.start()
        for answers in (True, True, False, False, True, True):
            if answers:
                self.answers[-1].callback(None)
            else:
                self.answers[-1].errback(StoreUnavailable("nobody there"))
            self.assertEqual(self.readiness.problems(), [] if answers else ["S3: nobody there"])
            self.clock.advance(5)
        self.assertEqual(
            self.lines,
            ["S3 answers", "S3 cannot be used, not ready: nobody there", "S3 answers again"],
        )

    def test_each_problem_of_an_outage_is_logged_once(self) -> None:
        self.readiness.start()
        for text in ("nobody there", "who are you", "nobody there", "who are you"):
            self.answers[-1].errback(StoreUnavailable(text))
            self.assertEqual(self.readiness.problems(), [f"S3: {text}"])
            self.clock.advance(RETRY_SECONDS)
        self.assertEqual(len(self.lines), 2)
        for number in range(20):
            self.answers[-1].errback(StoreUnavailable(f"always something else: {number}"))
            self.clock.advance(RETRY_SECONDS)
        self.assertEqual(len(self.lines), MOST_SAID)

    def test_a_problem_is_asked_about_more_often(self) -> None:
        self.readiness.start()
        self.answers[-1].errback(StoreUnavailable("nobody there"))
        self.clock.advance(RETRY_SECONDS)
        self.assertEqual(len(self.answers), 2)
        self.answers[-1].callback(None)
        self.clock.advance(RETRY_SECONDS)
        self.assertEqual(len(self.answers), 2)
        self.clock.advance(5 - RETRY_SECONDS)
        self.assertEqual(len(self.answers), 3)

    def test_no_answer_is_a_problem(self) -> None:
        self.readiness.start()
        self.answers[-1].callback(None)
        self.clock.advance(5)
        self.clock.advance(ANSWER_SECONDS)
        self.assertEqual(self.readiness.problems(), ["S3: no answer within 10 s"])
        self.clock.advance(5)
        self.answers[-1].callback(None)
        self.assertEqual(self.readiness.problems(), [])

    def test_an_unforeseen_failure_is_a_problem(self) -> None:
        self.readiness.start()
        self.answers[-1].errback(RuntimeError("what"))
        self.assertEqual(self.readiness.problems(), ["S3: RuntimeError: what"])

    def test_draining_is_not_ready(self) -> None:
        self.readiness.start()
        self.answers[-1].callback(None)
        self.readiness.drain()
        self.assertTrue(self.readiness.draining)
        self.assertEqual(self.readiness.problems(), ["the proxy is shutting down"])

    def test_stop_leaves_nothing_behind(self) -> None:
        self.readiness.start()
        self.readiness.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.lines, [])
        self.readiness.stop()

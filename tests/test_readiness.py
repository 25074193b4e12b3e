"""Readiness follows what S3 and Kafka answer, and says each change once."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import StoreUnavailable
from lfsproxy.readiness import (
    ANSWER_SECONDS,
    FIRST_SECONDS,
    MOST_SAID,
    RETRY_SECONDS,
    FleetReadiness,
    Readiness,
)


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
        self.assertEqual(self.readiness.problems(), ["S3: has not answered yet"])
        self.answers[-1].callback(None)
        self.assertEqual(self.readiness.problems(), [])

    def test_who_asks_at_the_start_waits_for_the_first_answer(self) -> None:
        self.readiness.start()
        waiting = [self.readiness.first_answers() for _ in range(2)]
        self.clock.advance(1)
        for each in waiting:
            self.assertNoResult(each)
        self.answers[-1].errback(StoreUnavailable("nobody there"))
        # Not in the frames of the check that was answered.
        self.assertNoResult(waiting[0])
        self.clock.advance(0)
        for each in waiting:
            self.successResultOf(each)
        self.assertEqual(self.readiness.problems(), ["S3: nobody there"])
        self.successResultOf(self.readiness.first_answers())

    def test_the_first_answer_is_not_waited_for_for_ever(self) -> None:
        self.readiness.start()
        waiting, given_up = self.readiness.first_answers(), self.readiness.first_answers()
        given_up.addErrback(lambda _: None)
        given_up.cancel()
        self.clock.advance(FIRST_SECONDS)
        self.successResultOf(waiting)
        self.assertEqual(self.readiness.problems(), ["S3: has not answered yet"])
        self.answers[-1].callback(None)

    def test_a_problem_that_nobody_foresaw_is_told_in_words(self) -> None:
        self.readiness.start()
        self.answers[-1].errback(KeyError(b"key"))
        self.assertEqual(self.readiness.problems(), ["S3: key"])

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
        self.assertEqual(self.readiness.problems(), ["S3: what"])

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


class FleetTests(SynchronousTestCase):
    """A process that serves its ports together with others."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[list[str]] = []
        self.fleet = FleetReadiness(self.told.append)
        self.answers: list[Deferred[None]] = []
        self.readiness = Readiness(self.clock, {"S3": self.check}, interval=5, fleet=self.fleet)
        self.readiness.start()

    async def check(self) -> None:
        self.answers.append(Deferred())
        await self.answers[-1]

    def fail(self) -> None:  # type: ignore[override]
        self.answers[-1].errback(StoreUnavailable("nobody there"))

    def test_each_change_is_told(self) -> None:
        self.answers[-1].callback(None)
        self.clock.advance(5)
        self.fail()
        self.readiness.drain()
        self.assertEqual(
            self.told,
            [
                ["S3: has not answered yet"],
                [],
                ["S3: nobody there"],
                ["the proxy is shutting down", "S3: nobody there"],
            ],
        )

    def test_one_that_is_ready_says_so_whatever_the_others_say(self) -> None:
        self.fleet.others = ["S3: away"]
        self.answers[-1].callback(None)
        self.assertEqual(self.readiness.problems(), [])

    def test_one_that_is_not_ready_is_covered_by_another(self) -> None:
        self.fail()
        self.fleet.ready = True
        self.assertEqual(self.readiness.problems(), [])

    def test_where_none_is_ready_all_problems_are_said(self) -> None:
        self.fail()
        self.fleet.others = ["S3: has not answered yet", "Kafka: away"]
        self.assertEqual(self.readiness.problems(), ["S3: nobody there", "Kafka: away"])

    def test_one_that_shuts_down_is_covered_by_nobody(self) -> None:
        self.answers[-1].callback(None)
        self.fleet.ready = True
        self.readiness.leave()
        self.assertEqual(self.readiness.problems(), ["the proxy is shutting down"])

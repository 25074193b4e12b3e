"""Which workers are started, replaced and stopped, with workers that only say what they are told."""

from __future__ import annotations

import errno

import attrs
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.workers.fleet import GOOD_SECONDS, MOST_PAUSE, MOST_UNANSWERED, PING_SECONDS, Fleet, Slot

KILLED = "been ended by SIGKILL"


@attrs.define(eq=False)
class Running:
    """A worker that runs until the test ends it. ``said`` is what it was told."""

    slot: Slot
    said: list[str] = attrs.Factory(list)
    told: list[tuple[bool, list[str]]] = attrs.Factory(list)
    hangs: bool = False

    def tell_fleet(self, ready: bool, problems: list[str]) -> None:
        self.told.append((ready, problems))

    def ping(self) -> None:
        if not self.hangs:
            self.slot.alive()

    def stop(self, why: str) -> None:
        self.said.append("stop")

    def hurry(self) -> None:
        self.said.append("hurry")

    def kill(self) -> None:
        self.said.append("kill")
        self.slot.ended(KILLED)


class FleetTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.begun: list[Running] = []
        self.restarts = 0
        self.no_memory = False
        self.refusals: list[str] = []
        self.fleet = Fleet(self.clock, 2, self.begin, self.count, self.refusals.append, 40.0)
        logs = capturedLogs()
        self.events = logs.__enter__()
        self.addCleanup(logs.__exit__, None, None, None)

    def begin(self, slot: Slot) -> Running:
        if self.no_memory:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        self.begun.append(Running(slot))
        return self.begun[-1]

    def count(self) -> None:
        self.restarts += 1

    def start(self) -> tuple[Running, Running]:
        """Both workers run and are ready."""
        self.fleet.start()
        for running in self.begun:
            running.slot.started()
            running.slot.state([])
        first, second = self.begun
        return first, second

    @property
    def lines(self) -> list[str]:
        return [formatEvent(event) or "" for event in self.events]


class ReplaceTests(FleetTestCase):
    def test_each_place_has_a_worker(self) -> None:
        first, second = self.start()
        self.assertEqual((first.slot.index, second.slot.index), (0, 1))
        self.assertEqual(self.restarts, 0)

    def test_a_worker_that_ends_is_replaced_at_once_in_its_place(self) -> None:
        first, second = self.start()
        first.kill()
        self.clock.advance(0)
        self.assertEqual([each.slot for each in self.begun], [first.slot, second.slot, first.slot])
        self.assertEqual(self.restarts, 1)
        self.assertEqual(self.lines, [f"worker 0 has {KILLED}: it is replaced at once"])

    def test_one_that_cannot_be_started_is_tried_again(self) -> None:
        first, _ = self.start()
        self.no_memory = True
        first.kill()
        self.clock.advance(0)
        self.assertEqual(
            self.lines[1:],
            ["worker 0 has not been started (Cannot allocate memory): it is replaced in 1 s"],
        )
        self.no_memory = False
        self.clock.advance(1)
        self.assertIs(self.begun[-1].slot, first.slot)
        self.assertEqual(len(self.begun), 3)

    def test_a_start_without_memory_is_tried_again(self) -> None:
        self.no_memory = True
        self.fleet.start()
        self.no_memory = False
        self.clock.advance(0)
        self.assertEqual([each.slot.index for each in self.begun], [0, 1])

    def test_one_that_ends_again_and_again_is_replaced_ever_more_slowly(self) -> None:
        self.start()
        pauses: list[float] = []
        for _ in range(8):
            before, begun = self.clock.seconds(), len(self.begun)
            self.begun[-1].kill()
            while len(self.begun) == begun:
                self.clock.advance(0.5 if len(pauses) else 0)
            pauses.append(self.clock.seconds() - before)
        self.assertEqual(pauses, [0, 1, 2, 4, 8, 16, MOST_PAUSE, MOST_PAUSE])
        self.assertEqual(self.restarts, 8)

    def test_the_other_worker_s_pause_is_its_own(self) -> None:
        first, second = self.start()
        first.kill()
        self.clock.advance(0)
        self.begun[-1].kill()
        second.kill()
        self.clock.advance(0)
        self.assertIs(self.begun[-1].slot, second.slot)

    def test_one_that_ran_well_is_replaced_at_once_again(self) -> None:
        self.start()
        for _ in range(4):
            self.begun[-1].kill()
            self.clock.advance(MOST_PAUSE)
        self.clock.advance(GOOD_SECONDS)
        begun = len(self.begun)
        self.begun[-1].kill()
        self.clock.advance(0)
        self.assertEqual(len(self.begun), begun + 1)

    def test_a_worker_that_answers_nothing_is_killed_and_replaced(self) -> None:
        first, _ = self.start()
        first.hangs = True
        self.clock.pump([PING_SECONDS] * MOST_UNANSWERED)
        self.assertEqual(first.said, [])
        self.clock.advance(PING_SECONDS)
        self.assertEqual(first.said, ["kill"])
        self.clock.advance(0)
        self.assertEqual(len(self.begun), 3)

    def test_one_that_answers_late_lives(self) -> None:
        first, second = self.start()
        first.hangs = True
        self.clock.pump([PING_SECONDS] * MOST_UNANSWERED)
        first.slot.alive()
        self.clock.advance(PING_SECONDS)
        self.assertEqual((first.said, second.said), ([], []))


class RefusedTests(FleetTestCase):
    def test_a_setting_that_lets_no_worker_start_ends_the_start(self) -> None:
        self.fleet.start()
        for running in self.begun[:2]:
            running.slot.refused("LFS_HTTP_TLS_CERT is wrong")
            running.slot.ended("ended with exit code 1")
        self.clock.advance(MOST_PAUSE)
        self.assertEqual(self.refusals[0], "LFS_HTTP_TLS_CERT is wrong")
        self.assertEqual((len(self.begun), self.restarts), (2, 0))

    def test_a_crash_at_the_start_is_no_refusal(self) -> None:
        self.fleet.start()
        self.begun[0].kill()
        self.clock.advance(0)
        self.assertEqual((self.refusals, len(self.begun)), ([], 3))

    def test_a_file_that_broke_later_does_not_end_those_that_serve(self) -> None:
        first, second = self.start()
        first.kill()
        self.clock.advance(0)
        third = self.begun[-1]
        third.slot.refused("LFS_HTTP_TLS_CERT is wrong")
        third.slot.ended("ended with exit code 1")
        self.assertEqual((self.refusals, second.said), ([], []))
        self.assertIn("worker 0 has ended with exit code 1", self.lines[-1])
        self.clock.advance(1)
        self.assertEqual(len(self.begun), 4)


class StopTests(FleetTestCase):
    def test_every_worker_is_stopped_and_waited_for(self) -> None:
        first, second = self.start()
        stopped = self.fleet.stop("SIGTERM received")
        self.assertEqual((first.said, second.said), (["stop"], ["stop"]))
        first.slot.ended("ended with exit code 0")
        self.assertNoResult(stopped)
        second.slot.ended("ended with exit code 0")
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nobody_is_replaced_meanwhile(self) -> None:
        first, second = self.start()
        self.fleet.stop("SIGTERM received")
        first.slot.ended(KILLED)
        self.clock.advance(MOST_PAUSE)
        self.assertEqual((len(self.begun), self.restarts), (2, 0))
        second.slot.ended(KILLED)

    def test_a_worker_whose_turn_has_not_come_yet_is_not_started(self) -> None:
        first, second = self.start()
        first.kill()
        stopped = self.fleet.stop("SIGTERM received")
        second.slot.ended("ended with exit code 0")
        self.successResultOf(stopped)
        self.clock.advance(MOST_PAUSE)
        self.assertEqual(len(self.begun), 2)

    def test_a_second_signal_is_passed_on(self) -> None:
        first, second = self.start()
        self.fleet.stop("SIGTERM received")
        self.fleet.hurry()
        self.assertEqual((first.said, second.said), (["stop", "hurry"], ["stop", "hurry"]))

    def test_what_has_not_ended_in_time_is_killed(self) -> None:
        first, second = self.start()
        stopped = self.fleet.stop("SIGTERM received")
        first.slot.ended("ended with exit code 0")
        self.clock.advance(39)
        self.assertNoResult(stopped)
        self.clock.advance(1)
        self.successResultOf(stopped)
        self.assertEqual((first.said, second.said), (["stop"], ["stop", "kill"]))

    def test_a_fleet_without_a_worker_stops_at_once(self) -> None:
        first, second = self.start()
        first.kill()
        second.kill()
        self.successResultOf(self.fleet.stop("SIGTERM received"))


class ReadyTests(FleetTestCase):
    def test_it_is_ready_once_one_worker_is(self) -> None:
        self.fleet.start()
        first, second = self.begun
        self.assertFalse(self.fleet.ready)
        first.slot.state(["S3: has not answered yet"])
        self.assertFalse(self.fleet.ready)
        second.slot.state([])
        self.assertTrue(self.fleet.ready)
        self.assertEqual(first.told[-1], (True, ["S3: has not answered yet"]))

    def test_a_worker_that_is_replaced_does_not_make_it_red(self) -> None:
        first, second = self.start()
        first.kill()
        self.assertTrue(self.fleet.ready)
        second.kill()
        self.assertFalse(self.fleet.ready)

    def test_it_is_red_where_none_is_ready_and_each_problem_is_said_once(self) -> None:
        first, second = self.start()
        first.slot.state(["S3: refused"])
        self.assertTrue(self.fleet.ready)
        second.slot.state(["S3: refused", "Kafka: away"])
        self.assertEqual(first.told[-1], (False, ["S3: refused", "Kafka: away"]))
        self.assertEqual(second.told[-1], first.told[-1])

    def test_what_has_not_changed_is_not_told_again(self) -> None:
        first, _ = self.start()
        told = len(first.told)
        first.slot.state([])
        self.assertEqual(len(first.told), told)

    def test_a_new_worker_is_told(self) -> None:
        first, _ = self.start()
        first.kill()
        self.clock.advance(0)
        self.begun[-1].slot.started()
        self.assertEqual(self.begun[-1].told[-1], (True, []))

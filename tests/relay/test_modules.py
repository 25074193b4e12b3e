"""The small parts by themselves: the line, holes, and offset hints."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import FramingError
from lfsproxy.names import LONGEST_TOPIC
from lfsproxy.relay.line import Line, Place
from lfsproxy.relay.produce.hints import MOST_PARTITIONS, OffsetHints
from lfsproxy.relay.produce.holes import MOST_HOLES, Holes
from lfsproxy.wire.batch import BatchHeader


class LineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.line = Line(self.clock)

    def leave(self, place: Place) -> None:
        place.leave()
        self.clock.advance(0)

    def turn(self, place: Place) -> Deferred[None]:
        return Deferred.fromCoroutine(place.turn())

    def test_the_first_has_its_turn_at_once(self) -> None:
        self.successResultOf(self.turn(self.line.join()))

    def test_turns_come_in_the_order_of_joining(self) -> None:
        first, second, third = self.line.join(), self.line.join(), self.line.join()
        turns = [self.turn(third), self.turn(second)]
        self.leave(first)
        self.successResultOf(turns[1])
        self.assertNoResult(turns[0])
        self.leave(second)
        self.successResultOf(turns[0])

    def test_a_turn_that_nobody_waited_for_is_kept(self) -> None:
        first, second = self.line.join(), self.line.join()
        self.leave(first)
        self.successResultOf(self.turn(second))
        self.successResultOf(self.turn(second))

    def test_leaving_early_gives_nobody_a_turn(self) -> None:
        first, second, third = self.line.join(), self.line.join(), self.line.join()
        turn = self.turn(third)
        self.leave(second)
        self.leave(second)
        self.assertNoResult(turn)
        self.leave(first)
        self.successResultOf(turn)

    def test_several_may_wait_for_one_place_s_turn(self) -> None:
        first, second = self.line.join(), self.line.join()
        turns = [self.turn(second), self.turn(second)]
        turns[0].cancel()
        self.failureResultOf(turns[0], CancelledError)
        self.assertNoResult(turns[1])
        self.leave(first)
        self.successResultOf(turns[1])

    def test_a_turn_can_be_cancelled(self) -> None:
        first, second, third = self.line.join(), self.line.join(), self.line.join()
        cancelled, waiting = self.turn(second), self.turn(third)
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.leave(second)
        self.leave(first)
        self.successResultOf(waiting)

    def test_who_left_has_no_turn_to_wait_for(self) -> None:
        first, second = self.line.join(), self.line.join()
        waiting = self.turn(second)
        self.leave(second)
        self.failureResultOf(waiting, CancelledError)
        self.leave(first)
        self.failureResultOf(self.turn(second), CancelledError)

    def test_nothing_behind_one_that_was_given_up_has_its_turn(self) -> None:
        before, given_up, behind = self.line.join(), self.line.join(), self.line.join()
        turns = [self.turn(given_up), self.turn(behind)]
        self.line.join().give_up()
        given_up.give_up()
        later = self.line.join()
        self.successResultOf(self.turn(before))
        self.leave(given_up)
        self.failureResultOf(turns[0], CancelledError)
        self.leave(before)
        for each in (turns[1], self.turn(later)):
            self.failureResultOf(each, CancelledError)

    def test_room_is_there_when_enough_have_left(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.line.shorter_than(1)))
        places = [self.line.join() for _ in range(3)]
        room = Deferred.fromCoroutine(self.line.shorter_than(2))
        self.leave(places[2])
        self.assertNoResult(room)
        self.leave(places[0])
        self.successResultOf(room)

    def test_who_leaves_goes_on_before_the_next_has_its_turn(self) -> None:
        first, second = self.line.join(), self.line.join()
        turn, room = self.turn(second), Deferred.fromCoroutine(self.line.shorter_than(2))
        first.leave()
        self.assertNoResult(turn)
        self.assertNoResult(room)
        self.clock.advance(0)
        self.successResultOf(turn)
        self.successResultOf(room)

    def test_many_that_leave_when_it_is_their_turn_all_have_it_in_order(self) -> None:
        order: list[int] = []

        async def pass_through(number: int, place: Place) -> None:
            try:
                await place.turn()
                order.append(number)
            finally:
                place.leave()

        first = self.line.join()
        passing = [Deferred.fromCoroutine(pass_through(number, self.line.join())) for number in range(5000)]
        room = Deferred.fromCoroutine(self.line.shorter_than(1))
        for each in passing[1000:2000]:
            each.cancel()
            self.failureResultOf(each, CancelledError)
        self.leave(first)
        for each in passing[:1000] + passing[2000:]:
            self.successResultOf(each)
        self.assertEqual(order, [*range(1000), *range(2000, 5000)])
        self.successResultOf(room)


def header(sequence: int, producer: int = 7, epoch: int = 0) -> BatchHeader:
    return BatchHeader(0, 0, producer_id=producer, producer_epoch=epoch, base_sequence=sequence)


class HolesTests(SynchronousTestCase):
    def test_only_the_refused_sequence_or_the_start_of_another_epoch_fills_a_hole(self) -> None:
        for filler in (header(10), header(0, epoch=1)):
            holes = Holes()
            holes.remember("t", 0, header(10))
            for blocked in (header(11), header(9), header(0), header(10, epoch=1), header(11, epoch=1)):
                self.assertTrue(holes.blocks("t", 0, blocked))
            self.assertFalse(holes.blocks("t", 0, filler))
            self.assertFalse(holes.blocks("t", 0, header(11)))

    def test_a_hole_is_of_one_topic_partition_and_producer(self) -> None:
        holes = Holes()
        holes.remember("t", 0, header(10))
        self.assertFalse(holes.blocks("u", 0, header(11)))
        self.assertFalse(holes.blocks("t", 1, header(11)))
        self.assertFalse(holes.blocks("t", 0, header(11, producer=8)))
        self.assertTrue(holes.blocks("t", 0, header(11)))

    def test_batches_without_a_producer_are_not_remembered(self) -> None:
        holes = Holes()
        holes.remember("t", 0, header(-1, producer=-1, epoch=-1))
        self.assertFalse(holes)
        self.assertFalse(holes.blocks("t", 0, header(-1, producer=-1, epoch=-1)))

    def test_there_is_an_end_to_holes(self) -> None:
        holes = Holes()
        for partition in range(MOST_HOLES):
            holes.remember("t", partition, header(10))
        self.assertRaises(FramingError, holes.remember, "t", -1, header(10))


def hints_of(next_offset: int | None = None) -> OffsetHints:
    """Hints whose broker cannot be asked, or says this."""
    return OffsetHints(lambda *_: None if next_offset is None else succeed(next_offset))


class HintsTests(SynchronousTestCase):
    def test_what_was_learnt_first_is_forgotten_first(self) -> None:
        hints = hints_of()
        for partition in range(MOST_PARTITIONS + 1):
            hints.learn("t", partition, 42)
        self.assertFalse(hints.knows("t", 0))
        self.assertTrue(hints.knows("t", 1))
        hints.settle("t", 0, 1, 43)

    def test_topics_are_counted_for_as_long_as_a_partition_of_theirs_is_known(self) -> None:
        hints = hints_of()
        hints.learn("first", 0, 42)
        hints.learn("t", 0, 42)
        hints.learn("t", 0, 43)
        for partition in range(1, MOST_PARTITIONS - 1):
            hints.learn("t", partition, 42)
        self.assertIn(b"first", hints.topics)
        hints.learn("other", 0, 42)
        self.assertNotIn(b"first", hints.topics)
        self.assertIn(b"t", hints.topics)
        hints.learn("x" * (LONGEST_TOPIC + 1), 0, 42)
        self.assertNotIn(b"x" * (LONGEST_TOPIC + 1), hints.topics)
        hints.learn("\udcff", 0, 42)
        self.assertIn(b"\xff", hints.topics)

    def test_a_count_that_is_none_does_not_move_the_hint(self) -> None:
        hints = hints_of()
        hints.learn("t", 0, 42)
        hints.reserve("t", 0, -5)
        self.assertEqual(hints.reserve("t", 0, 1), 42)

    def test_pending_records_move_the_hint(self) -> None:
        hints = hints_of()
        hints.learn("t", 0, 42)
        self.assertEqual([hints.reserve("t", 0, 3), hints.reserve("t", 0, 1)], [42, 45])

    def test_an_acknowledged_batch_tells_the_next_offset(self) -> None:
        hints = hints_of()
        hints.learn("t", 0, 42)
        hints.reserve("t", 0, 3)
        hints.reserve("t", 0, 1)
        hints.settle("t", 0, 3, 103)
        self.assertEqual(hints.reserve("t", 0, 1), 104)

    def test_records_that_are_not_in_the_log_are_not_counted(self) -> None:
        hints = hints_of()
        hints.learn("t", 0, 42)
        hints.reserve("t", 0, 3)
        hints.settle("t", 0, 3, None)
        self.assertEqual(hints.reserve("t", 0, 1), 42)

    def test_nothing_is_learnt_of_a_partition_that_was_not_asked_for(self) -> None:
        hints = hints_of()
        hints.settle("t", 0, 0, 42)
        self.assertFalse(hints.knows("t", 0))
        self.assertEqual(hints.reserve("t", 0, 1), 0)
        self.assertTrue(hints.knows("t", 0))

    def test_an_unknown_offset_is_0(self) -> None:
        hints = hints_of()
        hints.learn("t", 0, -1)
        self.assertEqual(hints.reserve("t", 0, 1), 0)

    def test_a_broker_is_asked_where_nothing_is_known(self) -> None:
        hints = hints_of(42)
        self.successResultOf(Deferred.fromCoroutine(hints.ask("t", 0)))
        self.assertEqual(hints.reserve("t", 0, 1), 42)
        self.successResultOf(Deferred.fromCoroutine(hints.ask("t", 0)))
        self.assertEqual(hints.reserve("t", 0, 1), 43)

    def test_an_answer_that_comes_late_is_not_believed(self) -> None:
        answer: Deferred[int | None] = Deferred()
        hints = OffsetHints(lambda *_: answer)
        asked = Deferred.fromCoroutine(hints.ask("t", 0))
        hints.learn("t", 0, 50)
        answer.callback(42)
        self.successResultOf(asked)
        self.assertEqual(hints.reserve("t", 0, 1), 50)

    def test_a_broker_that_cannot_be_asked_or_says_nothing_teaches_nothing(self) -> None:
        for hints in (hints_of(), OffsetHints(lambda *_: succeed(None))):
            self.successResultOf(Deferred.fromCoroutine(hints.ask("t", 0)))
            self.assertFalse(hints.knows("t", 0))

"""The partitions that Produce requests name take memory that is bounded, however small their entries are."""

from __future__ import annotations

import tracemalloc

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.budget import MemoryBudget
from lfsproxy.errors import TooLarge
from lfsproxy.relay.produce.entries import BLOCK, ENTRY_BYTES, MOST_ENTRIES, Entries
from lfsproxy.wire.produce import PartitionRecords, TopicRecords
from tests.relay.records import TOPIC, produce_topics
from tests.relay.test_produce import ProduceTestCase, says

MIB = 1024 * 1024


def nothing_for(count: int, **fields: int) -> bytes:
    """A request that names so many partitions, with no records for any of them."""
    return produce_topics(
        1, [TopicRecords(TOPIC, [PartitionRecords(each, None) for each in range(count)])], **fields
    )


class EntriesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.budget = MemoryBudget(self.clock, 8 * MIB, MIB, 30.0)
        self.entries = Entries(self.budget)

    def waits(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.entries.room())

    def test_as_many_as_a_producer_has_take_no_lease(self) -> None:
        request = self.entries.of_request()
        for _ in range(MOST_ENTRIES):
            request.add()
        self.assertEqual((self.budget.used, self.entries.held), (0, MOST_ENTRIES))

    def test_what_is_beyond_is_in_the_budget(self) -> None:
        request = self.entries.of_request()
        for _ in range(MOST_ENTRIES + 3 * BLOCK):
            request.add()
        self.assertEqual(self.budget.used, 3 * BLOCK * ENTRY_BYTES)
        request.release()
        request.release()
        self.assertEqual((self.budget.used, self.entries.held), (0, 0))

    def test_where_the_budget_has_none_the_request_is_refused(self) -> None:
        lease = self.budget.try_acquire(6 * MIB)
        assert lease is not None
        request = self.entries.of_request()
        with self.assertRaisesRegex(TooLarge, "LFS_UPLOAD_MEMORY"):
            for _ in range(8 * MIB // ENTRY_BYTES):
                request.add()
        self.assertLessEqual(self.budget.used, self.budget.limit)
        request.release()
        lease.release()
        self.assertEqual(self.budget.used, 0)

    def test_a_request_waits_until_earlier_ones_are_answered(self) -> None:
        first, second = self.entries.of_request(), self.entries.of_request()
        for _ in range(MOST_ENTRIES // 2):
            first.add()
            second.add()
        waiting = self.waits()
        self.assertNoResult(waiting)
        second.release()
        self.clock.pump([0, 0])
        self.successResultOf(waiting)
        self.successResultOf(self.waits())

    def test_the_wait_can_be_given_up(self) -> None:
        request = self.entries.of_request()
        for _ in range(MOST_ENTRIES):
            request.add()
        waiting = self.waits()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        request.release()
        self.clock.pump([0, 0])


class RequestTests(ProduceTestCase):
    def test_they_are_held_until_the_broker_has_answered(self) -> None:
        self.successResultOf(self.bring_to_end(self.request(nothing_for(3))))
        self.assertEqual(self.connection.entries.held, 3)
        self.connection.broker_says(says(0, 0, 0))
        self.assertEqual(self.connection.entries.held, 0)

    def test_a_lost_answer_lets_go_of_them(self) -> None:
        self.successResultOf(self.bring_to_end(self.request(nothing_for(3))))
        _, lost = self.connection.owed.pop()
        lost()
        self.assertEqual(self.connection.entries.held, 0)

    def test_without_an_answer_they_go_when_the_request_is_sent(self) -> None:
        self.successResultOf(self.bring_to_end(self.request(nothing_for(3, acks=0))))
        self.assertEqual((len(self.connection.sent), self.connection.entries.held), (1, 0))

    def test_a_request_that_is_given_up_lets_go_of_them(self) -> None:
        self.connection.waits = Deferred()
        over = self.bring_to_end(self.request(nothing_for(3)))
        self.assertEqual(self.connection.entries.held, 3)
        over.cancel()
        self.failureResultOf(over, CancelledError)
        self.assertEqual(self.connection.entries.held, 0)

    def test_a_request_of_nothing_but_entries_ends_its_connection_within_the_bound(self) -> None:
        frame = nothing_for(60_000)
        start = self.request(frame)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        self.failureResultOf(self.bring_to_end(start), TooLarge)
        peak = tracemalloc.get_traced_memory()[1]
        # The budget of these tests, what needs no lease, and the frame in its pieces.
        self.assertLess(peak, 2 * MIB + MOST_ENTRIES * ENTRY_BYTES + 3 * len(frame))
        self.assertEqual(self.connection.entries.held, 0)

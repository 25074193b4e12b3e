"""Single records out of the log: what the broker's answers mean, and how many lookups are held at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, cast

import attrs
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.broker.log import READ_SECONDS, KafkaLog
from lfsproxy.broker.lookups import Lookups
from lfsproxy.budget import MemoryBudget
from lfsproxy.errors import (
    BrokerUnavailable,
    LfsError,
    NoSuchRecord,
    NotAuthorised,
    UnknownTopic,
    UnreadableRecord,
)
from lfsproxy.interfaces import LogRecord
from lfsproxy.settings import DEFAULTS, Settings
from tests.wire.helpers import batch_of, raw_records

BASE = 9
"""The base offset of the batches of ``batch_of``."""
SMALL, LARGE = b"small", b"l" * 100_000
BATCH = batch_of(raw_records([(None, SMALL, []), (None, LARGE, []), (None, None, [])]), 3)


@attrs.define
class FetchAnswer:
    """A Fetch answer's part about a partition."""

    error_code: int = 0
    high_watermark: int = 100
    last_stable_offset: int = 100
    records: bytes | None = BATCH
    aborted_transactions: None = None


class HeldThreads:
    """Threads that do their work when they are let."""

    def __init__(self) -> None:
        self.held: list[Callable[[], object]] = []
        self.runs_at_once = False

    def run(self, call: Callable[..., Any], *args: Any) -> Deferred[Any]:
        if self.runs_at_once:
            return maybeDeferred(call, *args)
        done: Deferred[Any] = Deferred()
        self.held.append(lambda: maybeDeferred(call, *args).chainDeferred(done))
        return done


class Cluster:
    """Gives the answers that it was given."""

    def __init__(self) -> None:
        self.answer = FetchAnswer()
        self.asked = 0

    def fetch(self, topic: str, partition: int, offset: int) -> Deferred[FetchAnswer]:
        self.asked += 1
        return succeed(self.answer)


class LogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.cluster = Cluster()
        self.threads = HeldThreads()
        self.log = KafkaLog(
            self.clock, cast(Any, self.cluster), Lookups(self.clock), self.threads.run, Settings()
        )

    def begin(self, offset: int = BASE, most: int = 1000) -> Deferred[LogRecord]:
        return Deferred.fromCoroutine(self.log.read("t", 0, offset, most))

    def let_go(self) -> None:
        while self.threads.held:
            self.threads.held.pop(0)()
            self.clock.advance(0)

    def read(self, offset: int = BASE, most: int = 1000) -> LogRecord:
        reading = self.begin(offset, most)
        self.let_go()
        return self.successResultOf(reading)

    def assertFails(self, error: type[LfsError], offset: int = BASE) -> None:
        reading = self.begin(offset)
        self.let_go()
        self.failureResultOf(reading, error)

    def test_a_value_of_more_than_was_asked_for_is_only_described(self) -> None:
        found = self.read()
        self.assertEqual((found.value, found.size), (SMALL, len(SMALL)))
        found = self.read(BASE + 1)
        self.assertEqual((found.value, found.size), (None, len(LARGE)))
        self.assertEqual(found.sha256, hashlib.sha256(LARGE).hexdigest())
        self.assertEqual(self.read(BASE + 1, most=len(LARGE)).value, LARGE)
        found = self.read(BASE + 2)
        self.assertEqual((found.value, found.size), (None, None))

    def test_a_value_that_no_batch_may_have_is_not_taken_out_so_that_there_is_memory_for_all_others(
        self,
    ) -> None:
        settings = Settings(max_passthrough_size=len(LARGE) - 1)
        self.log = KafkaLog(
            self.clock, cast(Any, self.cluster), Lookups(self.clock), self.threads.run, settings
        )
        self.assertFails(UnreadableRecord, BASE + 1)
        # The start refuses less upload memory than this, and a download may have three quarters of it.
        least = 2 * (settings.s3_part_size + settings.max_passthrough_size)
        self.assertGreater(MemoryBudget(self.clock, least, 1, 1).largest, settings.max_passthrough_size)

    def test_answers(self) -> None:
        for answer, error in (
            (FetchAnswer(error_code=1), NoSuchRecord),
            (FetchAnswer(error_code=3), UnknownTopic),
            (FetchAnswer(error_code=29), NotAuthorised),
            (FetchAnswer(error_code=-1), BrokerUnavailable),
            (FetchAnswer(high_watermark=BASE, last_stable_offset=BASE), NoSuchRecord),
            (FetchAnswer(last_stable_offset=BASE), NoSuchRecord),
            (FetchAnswer(records=None), BrokerUnavailable),
            (FetchAnswer(0, BASE, -1, None), NoSuchRecord),
            (FetchAnswer(records=BATCH[:-1]), UnreadableRecord),
            (FetchAnswer(records=BATCH[:-1] + b"x"), UnreadableRecord),
        ):
            self.cluster.answer = answer
            self.assertFails(error)

    def test_a_lookup_keeps_its_place_until_its_thread_is_done(self) -> None:
        readings = [self.begin() for _ in range(DEFAULTS.max_lookups)]
        for reading in readings:
            reading.cancel()
            self.failureResultOf(reading, CancelledError)
        late = self.begin()
        self.assertEqual(self.cluster.asked, DEFAULTS.max_lookups)
        self.let_go()
        self.assertEqual(self.successResultOf(late).value, SMALL)

    def test_one_that_nobody_waits_for_any_more_is_not_begun(self) -> None:
        readings = [self.begin() for _ in range(DEFAULTS.max_lookups)]
        gone = self.begin()
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.let_go()
        self.assertEqual(self.cluster.asked, DEFAULTS.max_lookups)
        for reading in readings:
            self.successResultOf(reading)

    def test_many_are_read_in_the_order_they_were_asked_for(self) -> None:
        order: list[int] = []
        readings = [self.begin() for _ in range(1000)]

        def done(_: object, number: int) -> None:
            order.append(number)

        for number, reading in enumerate(readings):
            reading.addBoth(done, number)
        for number in range(100, 200):
            readings[number].cancel()
        self.threads.runs_at_once = True
        self.let_go()
        # The second one is in a thread of its own from the start, until all others are done.
        self.assertEqual([*range(100, 200), 0, *range(2, 100), *range(200, 1000), 1], order)
        self.assertEqual(self.cluster.asked, 900)

    def test_waiting_has_an_end(self) -> None:
        reading = self.begin()
        self.clock.advance(READ_SECONDS)
        self.failureResultOf(reading, BrokerUnavailable)
        self.let_go()

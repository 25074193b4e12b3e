"""The two places for searches: short ones overtake long ones, and connections share them."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import LfsError, UndecodableRecords
from lfsproxy.relay.scanning import AT_ONCE_SECONDS, HALF_LIFE, SHORT_SECONDS, Scans, Share, TakesLong
from lfsproxy.wire.records import Pace
from lfsproxy.wire.scan import BatchScan


@attrs.define
class Threads:
    """A thread pool whose threads end when the test says so; ``seconds`` is their processor time."""

    started: list[Callable[[], None]] = attrs.field(factory=list)
    seconds: float = 0.0

    def callInThreadWithCallback(
        self, told: Callable[[bool, Any], None] | None, function: Callable[[], Any]
    ) -> None:
        assert told is not None
        self.started.append(lambda: told(True, function()))


class Net(MemoryReactorClock):
    """A reactor with these threads."""

    def __init__(self) -> None:
        super().__init__()
        self.threads = Threads()

    def getThreadPool(self) -> Threads:
        return self.threads

    def callFromThread(self, function: Callable[..., Any], *args: Any, **named: Any) -> None:
        self.callLater(0, function, *args, **named)


class ScansTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = Net()
        self.threads = self.net.threads
        self.scans = Scans(cast(Any, self.net), lambda: self.threads.seconds)
        self.ended: list[str] = []

    def search(
        self, name: str, seconds: float, error: LfsError | None = None
    ) -> Callable[[Pace], BatchScan | None]:
        """A search that takes so long, told of every millisecond."""

        def search(pace: Pace) -> None:
            for _ in range(round(seconds * 1000)):
                self.threads.seconds += 0.001
                pace()
            self.ended.append(name)
            if error is not None:
                raise error

        return search

    def begin(
        self, share: Share, name: str, seconds: float, error: LfsError | None = None
    ) -> Deferred[BatchScan | LfsError | None]:
        return Deferred.fromCoroutine(self.scans.run(share, self.search(name, seconds, error)))

    def step(self) -> int:
        """Let every thread end that runs, and give the places on; how many ran."""
        self.net.advance(0)
        running, self.threads.started = self.threads.started, []
        for end in running:
            end()
        for _ in range(3):
            self.net.advance(0)
        return len(running)

    def all(self) -> None:
        while self.step():
            pass

    def test_a_result_or_an_error_is_returned(self) -> None:
        error = UndecodableRecords("no")
        right, wrong = self.begin(Share(), "a", 0.001), self.begin(Share(), "b", 0.001, error)
        self.assertEqual(self.step(), 2)
        self.assertIs(self.successResultOf(right), None)
        self.assertIs(self.successResultOf(wrong), error)
        self.assertEqual(self.scans.running, 0)

    def test_a_search_at_once_takes_no_thread_and_no_more_than_its_time(self) -> None:
        self.scans.at_once(self.search("a", AT_ONCE_SECONDS / 2))
        with self.assertRaises(TakesLong):
            self.scans.at_once(self.search("b", 2 * AT_ONCE_SECONDS))
        self.assertEqual((self.ended, self.step()), (["a"], 0))

    def test_one_connection_does_not_have_both_places(self) -> None:
        share = Share()
        for index in range(4):
            self.begin(share, str(index), 0.001)
        self.assertEqual([self.step() for _ in range(5)], [1, 1, 1, 1, 0])
        self.assertEqual(self.ended, ["0", "1", "2", "3"])

    def test_a_long_search_ends(self) -> None:
        long = self.begin(Share(), "long", 100.0)
        self.all()
        self.assertIs(self.successResultOf(long), None)
        self.assertEqual(self.ended, ["long"])

    def test_short_searches_overtake_long_ones(self) -> None:
        self.begin(Share(), "long", 1.0)
        self.step()
        (long,) = self.threads.started
        self.threads.started.clear()
        for index in range(3):
            self.begin(Share(), f"another long {index}", 1.0)
            self.begin(Share(), f"short {index}", 0.001)
        # While the first one runs, all short ones come to their end, one after the other, but no long one.
        self.assertEqual([self.step() for _ in range(7)], [1, 1, 1, 1, 1, 1, 0])
        self.assertEqual(self.ended, ["short 0", "short 1", "short 2"])
        long()
        self.all()
        self.assertEqual(self.ended[3], "long")
        self.assertEqual(len(self.ended), 7)

    def test_a_long_one_is_not_put_off_for_ever_by_short_ones(self) -> None:
        long = self.begin(Share(), "long", 1.0)
        for _ in range(4):
            for index in range(5):
                self.begin(Share(), f"short {index}", 0.001)
            self.step()
        self.assertIs(self.successResultOf(long), None)
        self.all()

    def test_who_has_used_least_is_next(self) -> None:
        busy, calm = Share(), Share()
        self.begin(busy, "before", 0.03)
        self.all()
        for name in ("one", "two"):
            self.begin(Share(), name, 0.001)
        for name in ("busy 0", "busy 1"):
            self.begin(busy, name, 0.001)
        for name in ("calm 0", "calm 1"):
            self.begin(calm, name, 0.001)
        self.all()
        # At once with calm 0, since no connection has both places.
        self.assertEqual(set(self.ended[3:5]), {"calm 0", "busy 0"})
        self.assertEqual(self.ended[5], "calm 1")

    def test_a_place_that_is_free_is_taken_at_once(self) -> None:
        for name in ("one", "two", "three"):
            self.begin(Share(), name, 0.001)
        self.assertEqual(len(self.threads.started), 2)
        self.all()

    def test_what_was_used_is_forgotten(self) -> None:
        share = Share()
        share.add(8.0, 0.0)
        self.assertAlmostEqual(share.used(3 * HALF_LIFE), 1.0)

    def test_a_short_one_uses_no_more_than_its_time(self) -> None:
        self.begin(Share(), "long", 100.0)
        self.step()
        self.assertLess(self.threads.seconds, SHORT_SECONDS + 0.01)
        self.all()

    def test_a_search_that_waits_may_be_cancelled(self) -> None:
        share = Share()
        _, second, third = (self.begin(share, name, 0.001) for name in ("1", "2", "3"))
        self.net.advance(0)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.all()
        self.assertEqual(self.ended, ["1", "3"])
        self.assertIs(self.successResultOf(third), None)

    def test_a_cancelled_search_keeps_its_place_until_its_thread_ends(self) -> None:
        search = self.begin(Share(), "1", 0.001)
        self.net.advance(0)
        search.cancel()
        self.assertNoResult(search)
        self.assertEqual(self.scans.running, 1)
        self.step()
        self.failureResultOf(search, CancelledError)
        self.assertEqual(self.scans.running, 0)

    def test_five_thousand_that_wait_are_served(self) -> None:
        waiting = [self.begin(Share(), str(index), 0.001) for index in range(5000)]
        self.all()
        self.assertEqual([self.successResultOf(each) for each in waiting], [None] * 5000)
        self.assertEqual(self.scans.running, 0)

    def test_those_that_wait_are_listed_once_however_many_searches_end_meanwhile(self) -> None:
        long = self.begin(Share(), "long", 1.0)
        self.step()
        (end_long,) = self.threads.started
        self.threads.started.clear()
        share = Share()
        also_long = self.begin(share, "also long", 1.0)
        self.step()
        for index in range(200):
            self.begin(share, f"short {index}", 0.001)
        self.assertEqual([self.step() for _ in range(201)], [1] * 200 + [0])
        self.assertEqual(self.scans.listed, 1)
        end_long()
        self.all()
        self.assertIs(self.successResultOf(long), None)
        self.assertIs(self.successResultOf(also_long), None)
        self.assertEqual(self.scans.listed, 0)

    def test_connections_that_are_gone_do_not_stay_in_line_while_others_keep_the_places_busy(self) -> None:
        for _ in range(100):
            share = Share()
            used = self.begin(share, "used", 0.001)
            for _ in range(3):
                self.begin(Share(), "new", 0.001)
            while not used.called:
                self.step()
            for _ in range(6):
                self.begin(Share(), "new", 0.001)
            gone = self.begin(share, "gone", 0.001)
            gone.cancel()
            self.failureResultOf(gone, CancelledError)
            self.step()
        self.assertLess(self.scans.listed, 30)
        self.all()
        self.assertEqual(self.scans.listed, 0)
        self.assertEqual(self.ended.count("used"), 100)
        self.assertEqual(self.ended.count("new"), 900)

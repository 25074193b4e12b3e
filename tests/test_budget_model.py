"""Leases of upload memory in whichever order things happen, against a model."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.budget import SMALL, Lease, MemoryBudget
from lfsproxy.log.uploads import Sender, sent_by
from tests.budgets import MIB


class BudgetModel(RuleBasedStateMachine):
    """Leases and the waiters for one, kept beside the budget: nothing is lost, nobody is passed.

    A place is (size, host, what was asked for).
    """

    LIMIT = 8 * MIB
    HOSTS = st.sampled_from(["10.0.0.1", "10.0.0.1", "10.0.0.2", "2001:db8::1"])
    SIZES = st.sampled_from([0, 1, MIB // 2, SMALL, SMALL + 1, 2 * MIB, 5 * MIB, 6 * MIB])

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.budget = MemoryBudget(self.clock, self.LIMIT, MIB, stall_timeout=30)
        self.waiting: list[tuple[int, str, Deferred[Lease]]] = []
        self.held: list[tuple[int, str, Lease]] = []
        self.wrong = ""

    def used(self) -> int:
        return sum(lease.size for _, _, lease in self.held)

    def nexts(self, is_large: bool) -> list[tuple[int, str, Deferred[Lease]]]:
        """Who may be next: the first one of each address, of those that hold nothing if there are any."""
        waiting = [each for each in self.waiting if (each[0] > SMALL) == is_large]
        holders = {host for size, host, _ in self.held if (size > SMALL) == is_large}
        firsts = {host: each for each in reversed(waiting) for host in [each[1]]}
        without = [each for host, each in firsts.items() if host not in holders]
        return without or list(firsts.values())

    def fits(self, size: int) -> bool:
        small = sum(first for first, _, _ in self.held if first <= SMALL)
        if self.used() + size > self.LIMIT:
            return False
        if size > SMALL:
            return self.used() - small + size <= self.LIMIT * 3 // 4
        return small + size <= self.LIMIT // 4 or not any(size > SMALL for size, _, _ in self.waiting)

    @rule(size=SIZES, host=HOSTS, then=st.sampled_from(["hold", "hold", "release", "fail", "ask again"]))
    def acquire(self, size: int, host: str, then: str) -> None:
        with sent_by(Sender(peer=f"{host}:1")):
            asked = self.budget.acquire(size)
        place = (size, host, asked)
        self.waiting.append(place)

        def got(lease: Lease) -> None:
            if place not in self.nexts(size > SMALL):
                self.wrong = "one was passed"
            self.waiting.remove(place)
            if then in ("hold", "ask again"):
                self.held.append((size, host, lease))
            else:
                lease.release()
            if then == "ask again":
                self.acquire(size, host, "hold")
            if then == "fail":
                raise ValueError("on purpose")

        asked.addCallback(got)
        asked.addErrback(lambda failure: failure.trap(CancelledError, ValueError))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        _, _, asked = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        asked.cancel()

    @precondition(lambda self: self.held)
    @rule(data=st.data(), again=st.booleans())
    def release(self, data: st.DataObject, again: bool) -> None:
        _, _, lease = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        lease.release()
        if again:
            lease.release()

    @precondition(lambda self: self.held)
    @rule(data=st.data(), size=SIZES)
    def grow(self, data: st.DataObject, size: int) -> None:
        _, _, lease = data.draw(st.sampled_from(self.held))
        small = sum(first for first, _, _ in self.held if first <= SMALL)
        most = min(self.LIMIT - self.used(), self.LIMIT * 3 // 4 - (self.used() - small))
        could = not self.waiting and size <= most
        before = lease.size
        assert lease.try_take(size) == could
        assert lease.size == before + size * could

    @precondition(lambda self: any(lease.size > first for first, _, lease in self.held))
    @rule(data=st.data())
    def shrink(self, data: st.DataObject) -> None:
        grown = [(first, lease) for first, _, lease in self.held if lease.size > first]
        first, lease = data.draw(st.sampled_from(grown))
        lease.give_back(data.draw(st.integers(1, lease.size - first)))

    @rule(size=SIZES)
    def try_acquire(self, size: int) -> None:
        could = not self.waiting and self.fits(size)
        lease = self.budget.try_acquire(size)
        assert (lease is not None) == could
        if lease is not None:
            self.held.append((size, "", lease))

    @rule(seconds=st.sampled_from([0.0, 0.0, 0.4, 1.0]))
    def turn(self, seconds: float) -> None:
        self.clock.advance(seconds)
        for is_large in (True, False):
            sizes = [size for size, _, _ in self.nexts(is_large)]
            assert not sizes or not all(map(self.fits, sizes)), (
                "whoever is next waits for bytes that are free"
            )

    @invariant()
    def nothing_is_lost(self) -> None:
        assert not self.wrong, self.wrong
        assert self.budget.used == self.used() <= self.LIMIT
        assert self.budget.waiting == len(self.waiting)
        assert self.waiting or not self.later(), "it looks for slow holders although nobody waits"

    def later(self) -> list[object]:
        return [call for call in self.clock.getDelayedCalls() if call.getTime() > self.clock.seconds()]


class ModelTests(SynchronousTestCase):
    def test_nothing_is_lost_in_whichever_order_things_happen(self) -> None:
        run_state_machine_as_test(
            BudgetModel, settings=settings(max_examples=150, deadline=None, database=None)
        )

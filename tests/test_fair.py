"""No address waits behind another one's crowd."""

from __future__ import annotations

import random

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.budget import SMALL, Lease
from lfsproxy.fair import FairQueue
from lfsproxy.log.uploads import Sender, sent_by
from tests.budgets import MIB, BudgetTestCase


class QueueTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.queue: FairQueue[str] = FairQueue()

    def add(self, *waiters: str) -> None:
        """``a1`` is the first one of address ``a``."""
        for waiter in waiters:
            self.queue.add(waiter, waiter[0], 10)

    def order(self) -> list[str]:
        """Who is served, when nothing is given back."""
        served = []
        while len(self.queue):
            waiter, host, size = self.queue.pop()
            self.assertEqual((host, size), (waiter[0], 10))
            self.queue.taken(host)
            served.append(waiter)
        return served

    def test_those_of_one_address_are_served_in_their_order(self) -> None:
        self.add("a1", "a2", "a3")
        self.assertEqual(self.order(), ["a1", "a2", "a3"])

    def test_one_of_each_address_in_turn(self) -> None:
        self.add("a1", "a2", "a3", "b1", "b2", "c1")
        self.assertEqual(self.order(), ["a1", "b1", "c1", "a2", "b2", "a3"])

    def test_who_holds_nothing_goes_first(self) -> None:
        self.queue.taken("a")
        self.add("a1", "a2", "b1", "c1", "b2")
        self.assertEqual(self.order(), ["b1", "c1", "a1", "b2", "a2"])

    def test_who_has_given_all_back_goes_before_who_has_not(self) -> None:
        for host in "aab":
            self.queue.taken(host)
        self.add("a1", "b1")
        self.queue.given_back("a")
        self.queue.given_back("b")
        self.assertEqual(self.order(), ["b1", "a1"])

    def test_who_leaves_is_not_served(self) -> None:
        self.add("a1", "a2", "b1")
        self.assertTrue(self.queue.leave("a1"))
        self.assertFalse(self.queue.leave("a1"))
        self.assertEqual((len(self.queue), self.queue.bytes, self.queue.first), (2, 20, 10))
        self.assertTrue(self.queue.leave("b1"))
        self.assertEqual(self.order(), ["a2"])

    def test_nothing_is_kept_of_addresses_that_are_gone(self) -> None:
        for number in range(1000):
            host = str(number)
            self.queue.add(f"{host}/1", host, 1)
            self.queue.pop()
            self.queue.taken(host)
            self.queue.given_back(host)
        self.assertEqual((self.queue._held, self.queue._without, self.queue._others), ({}, {}, {}))
        self.assertEqual(self.queue.bytes, 0)


class FirstTests(BudgetTestCase):
    def wait_at(self, host: str, size: int) -> Deferred[Lease]:
        with sent_by(Sender(peer=f"{host}:1")):
            return self.wait(size)

    def test_who_goes_before_all_that_wait_gets_what_is_free(self) -> None:
        with sent_by(Sender(peer="10.0.0.1:1")):
            self.take(24 * MIB)
        more = self.wait_at("10.0.0.1", 32 * MIB)
        one = self.wait_at("10.0.0.2", 8 * MIB)
        self.clock.advance(0)
        self.assertNoResult(more)
        self.assertEqual(self.successResultOf(one).size, 8 * MIB)


class Crowd(BudgetTestCase):
    """Some greedy addresses, each of which always asks for more than it gets, and one that asks once."""

    def wait_of_one(self, addresses: int, requests: int, size: int) -> int:
        """How many leases others get before the one gets its own."""
        source = random.Random(addresses)
        held: list[Lease] = []
        grants = 0
        is_full = False

        def ask(host: str) -> Deferred[Lease]:
            with sent_by(Sender(peer=f"{host}:1")):
                asked = self.budget.acquire(size)

            def got(lease: Lease) -> Lease:
                nonlocal grants
                grants += 1
                held.append(lease)
                if is_full:
                    ask(host)
                return lease

            return asked if host == "small" else asked.addCallback(got)

        for number in range(addresses * requests):
            ask(f"greedy-{number % addresses}")
        before, is_full = grants, True
        one = ask("small")
        while not one.called:
            self.free(held.pop(source.randrange(len(held))))
        self.successResultOf(one).release()
        return grants - before

    def test_one_lease_at_most_goes_before_it_where_there_is_memory_for_all(self) -> None:
        for size, addresses in ((SMALL, 1), (SMALL, 10), (8 * MIB, 1), (8 * MIB, 3)):
            with self.subTest(size=size, addresses=addresses):
                self.setUp()
                self.assertLessEqual(self.wait_of_one(addresses, 100, size), 1)

    def test_else_one_of_each_address(self) -> None:
        for addresses in (10, 100):
            with self.subTest(addresses=addresses):
                self.setUp()
                self.assertLessEqual(self.wait_of_one(addresses, 10, 8 * MIB), addresses)

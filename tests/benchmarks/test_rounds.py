"""The order in which targets take turns."""

from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.compare.rounds import order


class OrderTests(SynchronousTestCase):
    def test_every_round_has_each_target_once(self) -> None:
        for number in range(20):
            self.assertEqual(sorted(order("abcde", number)), list("abcde"))

    def test_each_target_is_at_each_place_equally_often(self) -> None:
        for count in range(1, 7):
            rounds = [order(range(count), number) for number in range(2 * count)]
            for place in range(count):
                self.assertEqual(Counter(each[place] for each in rounds), dict.fromkeys(range(count), 2))

    def test_none_follows_always_the_same(self) -> None:
        rounds = [order("abcd", number) for number in range(8)]
        for target in "abcd":
            before = {each[each.index(target) - 1] for each in rounds if each[0] != target}
            self.assertGreater(len(before), 1, target)

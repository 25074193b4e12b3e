"""Goals: what is held against what, and when nothing can be said."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.compare.goals import Goal, at_least, at_most, at_most_beyond, judge
from tests.benchmarks.samples import sample


class JudgeTests(SynchronousTestCase):
    def verdicts(self, goal: Goal, ours: list[float], base: list[float] | None = None) -> bool | None:
        """The verdict, where these are the seconds of each round."""
        runs = {"ours": [sample(each, p50=each, cpu=each) for each in ours]}
        if base is not None:
            runs["base"] = [sample(each, p50=each, cpu=each) for each in base]
        return judge(goal, runs).met

    def test_by_itself(self) -> None:
        self.assertIs(self.verdicts(at_most("cpu_per_gb", 20), [1, 2, 5]), True)
        self.assertIs(self.verdicts(at_most("cpu_per_gb", 19.9), [1, 2, 5]), False)
        self.assertIs(self.verdicts(at_least("rate", 50), [1, 2, 5]), True)
        self.assertIs(self.verdicts(at_least("rate", 50.1), [1, 2, 5]), False)

    def test_times_another_target(self) -> None:
        self.assertIs(self.verdicts(at_least("rate", 2, of="base"), [1], [2]), True)
        self.assertIs(self.verdicts(at_least("rate", 2, of="base"), [1], [1.9]), False)
        self.assertIs(self.verdicts(at_most("p50", 1, of="base"), [2], [2]), True)
        self.assertIs(self.verdicts(at_most("p50", 1, of="base"), [2.1], [2]), False)

    def test_so_much_beyond_another_target(self) -> None:
        self.assertIs(self.verdicts(at_most_beyond("p50", 2.5, base="base"), [0.0075], [0.0050]), True)
        self.assertIs(self.verdicts(at_most_beyond("p50", 2.5, base="base"), [0.0076], [0.0050]), False)

    def test_rounds_are_compared_with_their_own(self) -> None:
        # The machine was slow in one round, for both: medians of each would say 10 to 2, and 1 to 1.
        ours, base = [1.0, 10.0, 10.0], [2.0, 20.0, 2.0]
        self.assertEqual(
            judge(
                at_least("rate", 2, of="base"), {"ours": [*map(sample, ours)], "base": [*map(sample, base)]}
            ),
            judge(at_least("rate", 2, of="base"), {"ours": [sample(1)], "base": [sample(2)]}),
        )

    def test_without_the_other_target_or_ours_there_is_no_verdict(self) -> None:
        goal = at_least("rate", 2, of="base")
        for runs in ({"ours": [sample()]}, {"base": [sample()]}, {"ours": [sample()], "base": []}):
            verdict = judge(goal, runs)
            self.assertIsNone(verdict.met)
            self.assertEqual(verdict.word, "not judged")
        self.assertIsNone(judge(at_least("rate", 2), {}).met)


class WordsTests(SynchronousTestCase):
    def test_goals(self) -> None:
        goals = (
            at_least("rate", 1.8, of="kafscale"),
            at_most("cpu_per_gb", 1.5),
            at_most_beyond("p50", 2.5, base="straight"),
            at_most("cpu_per_request", 160),
        )
        words = ["rate ≥ 1.8 x kafscale", "CPU ≤ 1.5 s/GB", "p50 ≤ straight + 2.5 ms", "CPU ≤ 160 us"]
        self.assertEqual([str(goal) for goal in goals], words)

    def test_verdicts(self) -> None:
        runs = {"ours": [sample(p50=0.004, peak=140_000_000)], "straight": [sample(p50=0.003)]}
        goals = (
            at_most("peak", 130),
            at_most_beyond("p50", 2.5, base="straight"),
            at_least("rate", 1.8, of="none"),
        )
        self.assertEqual(
            [str(judge(goal, runs)) for goal in goals],
            [
                "peak memory ≤ 130 MB: 140, NOT MET",
                "p50 ≤ straight + 2.5 ms: +1.00, met",
                "rate ≥ 1.8 x none: not judged, there is no figure of none",
            ],
        )

"""What is made of the samples of several rounds."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.compare.figures import FIGURES, quantile
from tests.benchmarks.samples import sample


class FigureTests(SynchronousTestCase):
    def test_units(self) -> None:
        one = sample(
            2.0, size=500_000_000, requests=100, p50=0.003, cpu=0.5, base=80_000_000, peak=90_000_000
        )
        found = {name: figure.of(one) for name, figure in FIGURES.items()}
        self.assertEqual(
            found,
            {
                "rate": 250,
                "per_second": 50,
                "p50": 3,
                "p99": 6,
                "cpu_per_gb": 1,
                "cpu_per_request": 5000,
                "base": 80,
                "peak": 90,
                "client": 0.25,
            },
        )

    def test_the_median_of_rounds_but_the_first_idle_memory_and_the_highest_peak(self) -> None:
        rounds = [sample(seconds, base=base, peak=base) for seconds, base in ((1, 3), (4, 9), (2, 6))]
        values = {name: FIGURES[name].value(rounds) for name in ("rate", "base", "peak")}
        self.assertEqual(values, {"rate": 50, "base": 3e-6, "peak": 9e-6})

    def test_what_a_target_has_not_is_none_and_shown_as_nothing(self) -> None:
        figure = FIGURES["cpu_per_gb"]
        self.assertIsNone(figure.value([sample()]))
        self.assertIsNone(figure.value([]))
        self.assertEqual(figure.shown(None), "")

    def test_numbers_have_the_digits_of_their_figure(self) -> None:
        self.assertEqual(FIGURES["rate"].shown(1234.5), "1,234")
        self.assertEqual(FIGURES["p50"].shown(0.456), "0.46")


class QuantileTests(SynchronousTestCase):
    def test_of_a_hundred(self) -> None:
        values = [float(number) for number in range(1, 101)]
        self.assertEqual([quantile(values, share) for share in (0.5, 0.99, 1.0)], [50, 99, 100])

    def test_of_few(self) -> None:
        self.assertEqual([quantile([1.0, 2.0, 3.0], share) for share in (0.5, 0.99)], [2, 3])
        self.assertEqual(quantile([7.0], 0.5), 7)

    def test_it_is_the_least_value_that_so_many_do_not_exceed(self) -> None:
        for count in range(1, 201):
            values = [float(number // 2) for number in range(count)]
            for share in (0.01, 0.25, 0.5, 0.9, 0.99):
                found, needed = quantile(values, share), share * count
                self.assertGreaterEqual(sum(value <= found for value in values), needed - 1e-9)
                self.assertLess(sum(value < found for value in values), needed)

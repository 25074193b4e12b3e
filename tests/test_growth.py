"""What benchmarks.growth takes for growth above linear, and how it draws a curve."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.growth_curves import Cost, Curve, Grown
from benchmarks.growth_plot import picture
from benchmarks.null_stage import Stage, memory_bound

STEPS = (1, 10, 100, 1000)
MB = 1_000_000


def not_measured(stage: Stage, step: int) -> Cost:
    raise AssertionError


def grown(cost: Callable[[int], float], *, least: float = 0.0, peak: int = 90 * MB) -> Grown:
    """A curve with such costs."""
    found = Grown(Curve("a curve", "records", STEPS, not_measured, least=least))
    found.costs = {step: Cost(cost(step), peak, 100 * MB, 0.1) for step in STEPS}
    return found


class GrownTests(SynchronousTestCase):
    def test_what_is_paid_once_and_for_each_is_linear(self) -> None:
        found = grown(lambda step: 3 + 2 * step)
        self.assertEqual(found.faults, [])
        self.assertAlmostEqual(found.each, 2)
        self.assertIn("2 CPU ms for each of records", str(found))

    def test_a_square_is_too_much(self) -> None:
        found = grown(lambda step: 0.01 * step**2)
        self.assertAlmostEqual(found.exponent, 2)
        self.assertIn("TOO MUCH: grows as the power 2.00", str(found))

    def test_a_square_behind_what_is_paid_once_is_too_much(self) -> None:
        found = grown(lambda step: 50 + 0.001 * step**2)
        self.assertGreater(found.exponent, 1.15)

    def test_costs_that_are_noise_are_no_growth(self) -> None:
        def cost(step: int) -> float:
            return 0.1 if step == 1 else 3.0 * step

        self.assertNotEqual(grown(cost).faults, [])
        self.assertEqual(grown(cost, least=1.0).faults, [])

    def test_memory_above_its_bound_is_too_much(self) -> None:
        found = grown(lambda step: step, peak=101 * MB)
        self.assertEqual(len(found.faults), len(STEPS))
        self.assertIn("101 MB at 1, above the bound of 100 MB", found.faults[0])

    def test_a_curve_without_a_step_says_why(self) -> None:
        found = Grown(Curve("a curve", "records", STEPS, not_measured))
        found.left_out[1] = "it was refused"
        self.assertIn("1 records: left out, it was refused", str(found))
        self.assertEqual(found.faults, [])

    def test_the_picture_has_each_curve_with_its_steps(self) -> None:
        found = picture([grown(lambda step: step), grown(lambda step: 7.0), Grown(grown(abs).curve)], False)
        root = ElementTree.fromstring(found)
        texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
        self.assertEqual(texts.count("a curve"), 2)
        marks = [each for each in root.iter() if each.get("class") == "mark"]
        self.assertEqual(len(marks), 2 * len(STEPS))

    def test_the_bound_is_that_of_the_page(self) -> None:
        each = memory_bound(kafka_connections=11) - memory_bound(kafka_connections=1)
        self.assertEqual(each, 10 * 6 * 2**20)

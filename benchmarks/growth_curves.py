"""What a curve of growth is: what it costs at each step, how it grows, and whether that is too much."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import attrs

from benchmarks.null_stage import Stage

LINEAR = 1.15
"""Exponents above this are not taken for noise around 1: it is 15 % more, each time that a step is e times
the last one."""


class Refused(Exception):
    """What was sent was not taken, so that there is no cost to measure."""


@attrs.frozen
class Cost:
    """What one step costs, in the unit of its curve, with the proxy's most resident bytes meanwhile.

    ``bound`` is what sizing.py says that it may need at most, ``seconds`` how long it took once.
    """

    value: float
    peak: int
    bound: int
    seconds: float
    note: str = ""


@attrs.frozen
class Curve:
    """``measure`` is given a stage and a step. ``unit`` is that of the cost, ``across`` that of the steps.

    A step that will take more than ``limit`` seconds, by the one before, is left out. A cost below ``least``
    says nothing about growth.
    """

    name: str
    across: str
    steps: Sequence[int]
    measure: Callable[[Stage, int], Cost]
    unit: str = "CPU ms"
    settings: Mapping[str, str] = {}
    limit: float = 120.0
    least: float = 0.0


@attrs.define
class Grown:
    """A curve as it was measured; ``left_out`` are steps that have no cost, with the reason."""

    curve: Curve
    costs: dict[int, Cost] = attrs.Factory(dict)
    left_out: dict[int, str] = attrs.Factory(dict)

    @property
    def exponent(self) -> float:
        """p where the cost grows as step to the p: the steepest way to the last step, from one of at most
        a quarter of it. What is paid once makes it less than 1; 0 where nothing is paid for each.
        """
        if not self.costs:
            return 0.0
        last = max(self.costs)
        ends = [
            (step, cost.value)
            for step, cost in self.costs.items()
            if 4 * step <= last and cost.value > self.curve.least
        ]
        top = max(self.costs[last].value, 1e-12)
        return max((math.log(top / value) / math.log(last / step) for step, value in ends), default=0.0)

    @property
    def each(self) -> float:
        """What one more costs: the slope between the first step and the last one."""
        if not self.costs:
            return 0.0
        first, last = min(self.costs), max(self.costs)
        return (self.costs[last].value - self.costs[first].value) / max(last - first, 1)

    @property
    def faults(self) -> list[str]:
        """What is more than it may be."""
        found = []
        if self.exponent > LINEAR:
            found.append(f"grows as the power {self.exponent:.2f}")
        found += [
            f"{cost.peak / 1e6:.0f} MB at {step}, above the bound of {cost.bound / 1e6:.0f} MB"
            for step, cost in self.costs.items()
            if cost.peak > cost.bound
        ]
        return found

    def __str__(self) -> str:
        curve = self.curve
        growth = f"power {self.exponent:.2f}, {self.each:.4g} {curve.unit} for each of {curve.across}"
        lines = [f"{curve.name}: {growth}"]
        lines += [
            f"  {step:7} {curve.across:12} {cost.value:12.3f} {curve.unit}, peak {cost.peak / 1e6:4.0f} of "
            f"{cost.bound / 1e6:.0f} MB{cost.note and ', '}{cost.note}"
            for step, cost in self.costs.items()
        ]
        lines += [f"  {step:7} {curve.across}: left out, {why}" for step, why in self.left_out.items()]
        lines += [f"  TOO MUCH: {fault}" for fault in self.faults]
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        """All of it, for other programs."""
        return {
            "name": self.curve.name,
            "across": self.curve.across,
            "unit": self.curve.unit,
            "power": self.exponent,
            "each": self.each,
            "steps": {step: attrs.asdict(cost) for step, cost in self.costs.items()},
            "left_out": self.left_out,
            "faults": self.faults,
        }

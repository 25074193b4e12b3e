"""What the figures of the proxy should be, by themselves or next to those of another target."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import attrs

from benchmarks.compare.figures import FIGURES, Sample

SUBJECT = "ours"
"""The target that goals are about."""


@attrs.frozen
class Goal:
    """``figure`` is at most, or at least, ``bound``: by itself, times ``base``'s, or with ``plus`` beyond it.

    Next to another target, each round's ratio (or difference) is taken, and then their median: what else the
    machine did meanwhile, it did to both.
    """

    figure: str
    bound: float
    at_most: bool
    base: str | None = None
    plus: bool = False

    def __str__(self) -> str:
        figure = FIGURES[self.figure]
        bound = f"{self.bound:g} {figure.unit}"
        if self.base is not None:
            bound = f"{self.base} + {bound}" if self.plus else f"{self.bound:g} x {self.base}"
        return f"{figure.word} {'≤' if self.at_most else '≥'} {bound}"


def at_least(figure: str, bound: float, of: str | None = None) -> Goal:
    """At least so much, or so many times what ``of`` has."""
    return Goal(figure, bound, at_most=False, base=of)


def at_most(figure: str, bound: float, of: str | None = None) -> Goal:
    """At most so much, or so many times what ``of`` has."""
    return Goal(figure, bound, at_most=True, base=of)


def at_most_beyond(figure: str, bound: float, base: str) -> Goal:
    """At most so much more than ``base`` has."""
    return Goal(figure, bound, at_most=True, base=base, plus=True)


@attrs.frozen
class Verdict:
    """What became of a goal. ``value`` is what is held against its bound; None: it could not be judged."""

    goal: Goal
    value: float | None

    @property
    def met(self) -> bool | None:
        """Whether it is met, None where that is not known."""
        if self.value is None:
            return None
        return self.value <= self.goal.bound if self.goal.at_most else self.value >= self.goal.bound

    @property
    def word(self) -> str:
        """The verdict in a word or two."""
        return {True: "met", False: "NOT MET", None: "not judged"}[self.met]

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.goal}: not judged, there is no figure of {self.goal.base or SUBJECT}"
        digits = 2 if self.goal.base else FIGURES[self.goal.figure].digits
        sign = "+" if self.goal.plus else ""
        return f"{self.goal}: {self.value:{sign}.{digits}f}, {self.word}"


def judge(goal: Goal, runs: Mapping[str, Sequence[Sample]]) -> Verdict:
    """Hold a goal against the samples of each target, in the order of rounds."""
    figure, ours = FIGURES[goal.figure], runs.get(SUBJECT, ())
    if goal.base is None:
        return Verdict(goal, figure.value(ours))
    pairs = list(zip(figure.all(ours), figure.all(runs.get(goal.base, ())), strict=False))
    if not pairs:
        return Verdict(goal, None)
    return Verdict(goal, statistics.median(one - base if goal.plus else one / base for one, base in pairs))

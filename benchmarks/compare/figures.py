"""What one run of a workload gives, and the figures that are made of it, over several rounds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

import attrs

MB = 1e6
GB = 1e9


@attrs.frozen
class Sample:
    """One run: ``requests`` that moved ``size`` bytes in ``seconds``, by a client that used ``client_cpu``.

    ``p50`` and ``p99`` are seconds that a request took, where these are of interest. ``cpu`` (seconds),
    ``base`` and ``peak`` (resident bytes before and at most) are the proxy's and its children's, None where
    there is none.
    """

    seconds: float
    size: int
    requests: int
    client_cpu: float
    p50: float | None = None
    p99: float | None = None
    cpu: float | None = None
    base: int | None = None
    peak: int | None = None


@attrs.frozen
class Figure:
    """One number of a sample. ``over`` makes one of several rounds' numbers; ``digits`` are those shown.

    ``title`` is that of a column, ``word`` what it is in a sentence, before its unit.
    """

    title: str
    word: str
    unit: str
    of: Callable[[Sample], float | None]
    digits: int = 0
    over: Callable[[Sequence[float]], float] = statistics.median
    more_is_better: bool = False

    def all(self, samples: Sequence[Sample]) -> list[float]:
        """The number of each sample that has it."""
        return [number for sample in samples if (number := self.of(sample)) is not None]

    def value(self, samples: Sequence[Sample]) -> float | None:
        """The one number of all rounds, None where there is none."""
        found = self.all(samples)
        return self.over(found) if found else None

    def shown(self, number: float | None) -> str:
        """The number as text, without its unit."""
        return "" if number is None else f"{number:,.{self.digits}f}"


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


FIGURES: Mapping[str, Figure] = {
    "rate": Figure("MB/s", "rate", "MB/s", lambda one: one.size / MB / one.seconds, more_is_better=True),
    "per_second": Figure(
        "requests/s", "rate", "/s", lambda one: one.requests / one.seconds, more_is_better=True
    ),
    "p50": Figure("p50, ms", "p50", "ms", lambda one: _scaled(one.p50, 1e3), digits=2),
    "p99": Figure("p99, ms", "p99", "ms", lambda one: _scaled(one.p99, 1e3), digits=2),
    "cpu_per_gb": Figure("CPU s/GB", "CPU", "s/GB", lambda one: _scaled(one.cpu, GB / one.size), digits=2),
    "cpu_per_request": Figure(
        "CPU us/request", "CPU", "us", lambda one: _scaled(one.cpu, 1e6 / one.requests)
    ),
    "base": Figure(
        "idle, MB", "idle memory", "MB", lambda one: _scaled(one.base, 1 / MB), over=lambda all_: all_[0]
    ),
    "peak": Figure("peak, MB", "peak memory", "MB", lambda one: _scaled(one.peak, 1 / MB), over=max),
    "client": Figure(
        "client's cores", "the client's CPU", "cores", lambda one: one.client_cpu / one.seconds, digits=2
    ),
}


def quantile(sorted_values: Sequence[float], share: float) -> float:
    """The least of the values that ``share`` of them, in whole percent, do not exceed."""
    return sorted_values[max(0, -(-len(sorted_values) * round(share * 100) // 100) - 1)]

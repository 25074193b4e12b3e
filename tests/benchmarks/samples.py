"""Samples whose figures are easily told: 100 MB in one second by one request, if nothing else is said."""

from __future__ import annotations

from benchmarks.compare.figures import Sample


def sample(
    seconds: float = 1.0,
    *,
    size: int = 100_000_000,
    requests: int = 1,
    p50: float | None = None,
    cpu: float | None = None,
    base: int | None = None,
    peak: int | None = None,
) -> Sample:
    return Sample(
        seconds, size, requests, seconds / 4, p50=p50, p99=p50 and 2 * p50, cpu=cpu, base=base, peak=peak
    )

"""Curves of growth in one SVG picture: both axes are logarithmic, the dashed line is linear growth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from benchmarks.growth_curves import Grown
from benchmarks.plots import document

WIDE, HIGH = 352, 200
LEFT, TOP, RIGHT, BOTTOM = 56, 50, 14, 26
IN_A_ROW = 2
LETTERS = 12
TITLE = "How the costs grow: CPU time and memory by size, connections, topics, partitions, records, uploads."


def picture(curves: Sequence[Grown], dark: bool) -> str:
    """A panel for each curve with two steps or more."""
    shown = [each for each in curves if len(each.costs) > 1]
    rows = math.ceil(len(shown) / IN_A_ROW)
    body = "\n".join(
        text
        for place, each in enumerate(shown)
        for text in _panel(each, place % IN_A_ROW * WIDE, place // IN_A_ROW * HIGH)
    )
    return document(IN_A_ROW * WIDE, rows * HIGH, TITLE, body, dark, LETTERS)


def _panel(grown: Grown, left: float, top: float) -> Iterator[str]:
    curve = grown.curve
    points = [(step, cost.value) for step, cost in grown.costs.items() if cost.value > 0]
    (first, last), highest = (points[0][0], points[-1][0]), max(value for _, value in points)
    lowest = min(value for _, value in points)
    # At least one power of ten each way.
    low, high = math.floor(math.log10(lowest)), math.ceil(math.log10(highest) + 1e-9)
    x0, x1 = left + LEFT, left + WIDE - RIGHT
    y0, y1 = top + TOP, top + HIGH - BOTTOM

    def place(step: float, value: float) -> str:
        across = math.log(step / first) / math.log(last / first)
        up = (math.log10(value) - low) / (high - low)
        return f"{x0 + (x1 - x0) * across:.1f} {y1 - (y1 - y0) * up:.1f}"

    yield f'<rect class="box" x="{left + 4}" y="{top + 4}" width="{WIDE - 8}" height="{HIGH - 8}" rx="4"/>'
    yield f'<text class="name" x="{left + 14}" y="{top + 22}">{escape(curve.name)}</text>'
    yield (
        f'<text x="{left + 14}" y="{top + 37}">{escape(curve.unit)}; power {grown.exponent:.2f}, '
        f"{grown.each:.3g} for each</text>"
    )
    for power in range(low, high + 1, max(1, (high - low) // 3)):
        across, up = place(first, 10.0**power).split()
        yield f'<path class="grid" d="M{across} {up}H{x1:.1f}"/>'
        yield f'<text class="y" x="{x0 - 5:.1f}" y="{float(up) + 4:.1f}">{10.0**power:g}</text>'
    yield f'<text x="{x0:.1f}" y="{y1 + 14:.1f}">{first:,}</text>'
    yield f'<text class="y" x="{x1:.1f}" y="{y1 + 14:.1f}">{last:,} {escape(curve.across)}</text>'
    # Through the last point; it leaves the panel where it is below.
    value = points[-1][1]
    start = max(first, last * 10.0**low / value)
    yield (
        f'<path class="line linear" stroke="var(--soft)" d="M{place(start, value * start / last)}'
        f'L{place(last, value)}"/>'
    )
    yield f'<path class="line" stroke="var(--line0)" d="M{"L".join(place(*point) for point in points)}"/>'
    for point in points:
        yield f'<path class="mark" stroke="var(--line0)" stroke-linecap="round" d="M{place(*point)}h0"/>'

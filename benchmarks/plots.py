"""The panels of a dashboard as small plots in one SVG picture, for light and for dark pages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape

import attrs

from tests.deploy.panels import Panel

CELL_WIDTH, CELL_HEIGHT = 50, 26
GAP = 8
LEFT, TOP, RIGHT = 56, 28, 12
LEGEND_LINE, LEGEND_LINES = 15, 3
LETTER = 6.4
"""Pixels of a letter of the legend, about."""
LIGHT = {
    "ink": "#1f2933",
    "soft": "#52606d",
    "grid": "#d9dee4",
    "box": "#f5f7fa",
    "page": "#ffffff",
}
DARK = {
    "ink": "#e6edf3",
    "soft": "#9aa7b4",
    "grid": "#333c47",
    "box": "#161b22",
    "page": "#0d1117",
}
LIGHT_LINES = ("#1f6feb", "#b35900", "#1a7f37", "#cf222e", "#8250df", "#0e7c86", "#bf3989", "#6e7781")
DARK_LINES = ("#58a6ff", "#f0883e", "#3fb950", "#ff7b72", "#bc8cff", "#39c5cf", "#ff9bce", "#8b949e")
_BINARY = tuple((1024.0**power, name) for power, name in enumerate(("B", "KiB", "MiB", "GiB")))
_SCALES: dict[str, tuple[tuple[float, str], ...]] = {
    "bytes": _BINARY,
    "Bps": ((1.0, "B/s"), (1e3, "kB/s"), (1e6, "MB/s"), (1e9, "GB/s")),
    "s": ((1e-3, "ms"), (1.0, "s"), (60.0, "min"), (3600.0, "h"), (86400.0, "d")),
    "ops": ((1.0, "/s"),),
    "reqps": ((1.0, "/s"),),
    "percentunit": ((0.01, "%"),),
    "none": ((1.0, ""),),
}


@attrs.frozen
class Line:
    """A series: its name, and its points of time (seconds) and value. NaN is a gap."""

    name: str
    points: Sequence[tuple[float, float]]


def picture(
    shown: Iterable[tuple[Panel, Sequence[Line]]], start: float, end: float, title: str, dark: bool
) -> str:
    """The whole picture. Light and dark differ only in their colours."""
    drawn = list(shown)
    width = 24 * CELL_WIDTH
    height = max(panel.y + panel.height for panel, _ in drawn) * CELL_HEIGHT + GAP
    body = "\n".join(text for panel, series in drawn for text in _panel(panel, series, start, end))
    return document(width, height, title, body, dark)


def document(width: float, height: float, title: str, body: str, dark: bool, letters: int = 11) -> str:
    """A picture around its elements, with the colours and classes that these may name.

    ``letters`` are the pixels of a usual one.
    """
    colours, lines = (DARK, DARK_LINES) if dark else (LIGHT, LIGHT_LINES)
    variables = {**colours, **{f"line{number}": colour for number, colour in enumerate(lines)}}
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="title">
  <title id="title">{escape(title)}</title>
  <style>
    svg {{ {" ".join(f"--{name}: {colour};" for name, colour in variables.items())} }}
    text {{ font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; font-size: {letters}px; fill: var(--soft); }}
    .row {{ font-size: 15px; font-weight: 600; fill: var(--ink); }}
    .name {{ font-size: 13px; font-weight: 600; fill: var(--ink); }}
    .page {{ fill: var(--page); }}
    .box {{ fill: var(--box); stroke: var(--grid); }}
    .grid {{ stroke: var(--grid); }}
    .line {{ fill: none; stroke-width: 1.5; stroke-linejoin: round; stroke-linecap: round; }}
    .linear {{ stroke-dasharray: 4 4; }}
    .mark {{ stroke-width: 3; }}
    .y {{ text-anchor: end; }}
  </style>
  <rect class="page" width="{width}" height="{height}"/>
{body}
</svg>
"""  # noqa: E501  # a line of CSS


def _panel(panel: Panel, lines: Sequence[Line], start: float, end: float) -> Iterator[str]:
    left, top = panel.x * CELL_WIDTH + GAP / 2, panel.y * CELL_HEIGHT + GAP / 2
    if not panel.queries:
        yield f'<text class="row" x="{left:g}" y="{top + 20:g}">{escape(panel.title)}</text>'
        return
    wide, high = panel.width * CELL_WIDTH - GAP, panel.height * CELL_HEIGHT - GAP
    legend = _legend(lines, wide - 2 * RIGHT)
    bottom = top + high - 8 - LEGEND_LINE * (len(legend) + 1)
    yield f'<rect class="box" x="{left:g}" y="{top:g}" width="{wide}" height="{high}" rx="4"/>'
    yield f'<text class="name" x="{left + RIGHT:g}" y="{top + 18:g}">{escape(panel.title)}</text>'
    x0, x1, y0 = left + LEFT, left + wide - RIGHT, top + TOP
    highest = max((value for line in lines for _, value in line.points if not math.isnan(value)), default=0)
    factor, suffix = _scale(panel.unit, highest)
    ticks = _ticks(highest / factor)

    def place(at: float, value: float) -> tuple[float, float]:
        across = x0 + (x1 - x0) * (at - start) / (end - start)
        return across, bottom - (bottom - y0) * max(value, 0) / factor / ticks[-1]

    for tick in ticks:
        _, y = place(start, tick * factor)
        yield f'<path class="grid" d="M{x0:.1f} {y:.1f}H{x1:.1f}"/>'
        value = f"{tick:g} {suffix}".strip()
        yield f'<text class="y" x="{x0 - 5:.1f}" y="{y + 4:.1f}">{value}</text>'
    for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        x = x0 + (x1 - x0) * share
        passed = f"{(end - start) * share:.0f} s"
        yield f'<text x="{x:.1f}" y="{bottom + 13:.1f}" text-anchor="{anchor}">{passed}</text>'
    for number, line in enumerate(lines):
        path = _path(place(at, value) if not math.isnan(value) else None for at, value in line.points)
        yield f'<path class="line" stroke="var(--line{number % len(LIGHT_LINES)})" d="{path}"/>'
    for row, entries in enumerate(legend):
        y = bottom + 13 + LEGEND_LINE * (row + 1)
        for x, colour, text in entries:
            x += left + RIGHT
            if colour >= 0:
                yield f'<path class="mark" stroke="var(--line{colour})" d="M{x:.1f} {y - 4:.1f}h10"/>'
            yield f'<text x="{x + 14:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _path(places: Iterable[tuple[float, float] | None]) -> str:
    """The way through the points; a gap where there is none. A point by itself is a dot."""
    parts: list[str] = []
    drawing = False
    for place in places:
        if place is None:
            drawing = False
            continue
        x, y = place
        parts.append(f"{'L' if drawing else 'M'}{x:.1f} {y:.1f}" + ("" if drawing else "h0"))
        drawing = True
    return "".join(parts)


def _scale(unit: str, highest: float) -> tuple[float, str]:
    """The multiple of a unit in which the highest value is a number that can be read."""
    multiples = _SCALES[unit]
    return next((each for each in reversed(multiples) if highest >= 1.5 * each[0]), multiples[0])


def _ticks(highest: float) -> list[float]:
    """From 0 to at least the highest value, in few round steps."""
    size = max(highest, 1e-9) / 3
    power = 10.0 ** math.floor(math.log10(size))
    step = next(power * each for each in (1, 2, 5, 10) if power * each >= size)
    return [step * number for number in range(math.ceil(highest / step) + 1)] if highest > 0 else [0, 1]


def _legend(lines: Sequence[Line], width: float) -> list[list[tuple[float, int, str]]]:
    """Rows of entries: where, which colour (-1: none), and the name. What has no room is counted."""
    rows: list[list[tuple[float, int, str]]] = [[]]
    x = 0.0
    for number, line in enumerate(lines):
        name = line.name if len(line.name) < 60 else line.name[:57] + "..."
        needed = 14 + LETTER * len(name) + 12
        if x and x + needed > width - (80 if len(rows) == LEGEND_LINES else 0):
            if len(rows) == LEGEND_LINES:
                rows[-1].append((x - 14, -1, f"and {len(lines) - number} more"))
                return rows
            rows.append([])
            x = 0.0
        rows[-1].append((x, number % len(LIGHT_LINES), name))
        x += needed
    return rows

"""One figure of each workload as bars, for light and for dark pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape

from benchmarks.compare.figures import FIGURES, Figure
from benchmarks.compare.results import Results, Runs
from benchmarks.compare.targets import TARGETS
from benchmarks.compare.workloads import Workload
from benchmarks.plots import DARK, DARK_LINES, LIGHT, LIGHT_LINES

WIDTH = 704
LEFT, RIGHT = 110, 110
HEAD, BAR, GAP = 34, 20, 14
NAMES = [target.name for target in TARGETS]


def speed(workload: Workload) -> str:
    """How fast it was."""
    return workload.shown[0]


def cost(workload: Workload) -> str:
    """The CPU time that it took."""
    return "cpu_per_gb" if "cpu_per_gb" in workload.shown else "cpu_per_request"


PICTURES: dict[str, tuple[Callable[[Workload], str], str]] = {
    "bench-speed": (speed, "How fast each target was, by workload"),
    "bench-cost": (cost, "CPU time of each proxy, by workload"),
}
"""Each picture by its name: which figure it has of a workload, and what it says."""


def picture(results: Results, name: str, dark: bool) -> str:
    """The picture of that name. Light and dark differ only in their colours."""
    choose, title = PICTURES[name]
    drawn: list[str] = []
    top = GAP
    for workload, runs in results.of():
        figure = FIGURES[choose(workload)]
        bars = list(values(figure, runs))
        if bars:
            drawn += _panel(f"{workload.title}: {_words(figure)}", figure, bars, top)
            top += HEAD + BAR * len(bars) + GAP
    colours, lines = (DARK, DARK_LINES) if dark else (LIGHT, LIGHT_LINES)
    variables = {**colours, **{f"line{number}": colour for number, colour in enumerate(lines)}}
    body = "\n".join(drawn)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" role="img" aria-labelledby="title">
  <title id="title">{escape(title)}</title>
  <style>
    svg {{ {" ".join(f"--{name}: {colour};" for name, colour in variables.items())} }}
    text {{ font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; font-size: 12px; fill: var(--soft); }}
    .name {{ font-size: 14px; font-weight: 600; fill: var(--ink); }}
    .target {{ text-anchor: end; }}
    .page {{ fill: var(--page); }}
    .spread {{ stroke: var(--ink); stroke-width: 1.5; }}
  </style>
  <rect class="page" width="{WIDTH}" height="{top}"/>
{body}
</svg>
"""  # noqa: E501  # a line of CSS


def values(figure: Figure, runs: Runs) -> Iterator[tuple[str, float, float, float]]:
    """Each target that has the figure: its name, the value, and the least and the most of its rounds."""
    for target, samples in runs.items():
        found, value = figure.all(samples), figure.value(samples)
        if value is not None:
            yield target, value, min(found), max(found)


def _words(figure: Figure) -> str:
    return f"{figure.title} ({'more' if figure.more_is_better else 'less'} is better)"


def _panel(
    title: str, figure: Figure, bars: Sequence[tuple[str, float, float, float]], top: int
) -> Iterator[str]:
    yield f'<text class="name" x="{GAP}" y="{top + 18}">{escape(title)}</text>'
    scale = (WIDTH - LEFT - RIGHT) / (max(most for *_, most in bars) or 1)
    for number, (target, value, least, most) in enumerate(bars):
        y = top + HEAD + BAR * number - 4
        middle = y + BAR / 2 - 2
        colour = NAMES.index(target) % len(LIGHT_LINES) if target in NAMES else len(LIGHT_LINES) - 1
        yield f'<text class="target" x="{LEFT - 8}" y="{middle + 4:.1f}">{escape(target)}</text>'
        wide = f'width="{value * scale:.1f}" height="{BAR - 6}"'
        yield f'<rect x="{LEFT}" y="{y + 1}" {wide} rx="2" fill="var(--line{colour})"/>'
        if most > least:
            ends = f"M{LEFT + least * scale:.1f} {middle:.1f}H{LEFT + most * scale:.1f}"
            yield f'<path class="spread" d="{ends}"/>'
        yield f'<text x="{LEFT + most * scale + 8:.1f}" y="{middle + 4:.1f}">{figure.shown(value)}</text>'

"""What was found, as text for a terminal and as a table in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from benchmarks.compare.figures import FIGURES, Sample
from benchmarks.compare.goals import judge
from benchmarks.compare.results import Results
from benchmarks.compare.workloads import Workload

BASE = "straight"
"""The target to which the others are a ratio, where nothing else is chosen."""


def rows(workload: Workload, runs: Mapping[str, Sequence[Sample]], base: str) -> list[list[str]]:
    """A heading, and a row for each target: its figures, the first with its least and most, and its ratio."""
    figures = [FIGURES[name] for name in workload.shown]
    given = [each for each in figures if any(each.all(samples) for samples in runs.values())]
    first, *others = given or figures
    found = [["", first.title, f"to {base}", *(each.title for each in others)]]
    beside = first.value(runs.get(base, ()))
    for target, samples in runs.items():
        own, values = first.value(samples), first.all(samples)
        spread = f" ({first.shown(min(values))} to {first.shown(max(values))})" if len(values) > 1 else ""
        ratio = f"{own / beside:.2f}" if own is not None and beside and target != base else ""
        cells = [each.shown(each.value(samples)) for each in others]
        found.append([target, first.shown(own) + spread, ratio, *cells])
    return found


def text(workload: Workload, runs: Mapping[str, Sequence[Sample]], base: str = BASE) -> str:
    """One workload for a terminal: its table, and its goals."""
    table = rows(workload, runs, base)
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = [f"{workload.title} ({workload.name}): {workload.measures}"]
    for row in table:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  " + "  ".join(cells).rstrip())
    lines += [f"  goal: {judge(goal, runs)}" for goal in workload.goals]
    return "\n".join(lines)


def summary(results: Results) -> str:
    """How many goals are met, and which are not."""
    verdicts = [(workload, judge(goal, runs)) for workload, runs in results.of() for goal in workload.goals]
    lines = [f"{sum(each.met is True for _, each in verdicts)} of {len(verdicts)} goals are met"]
    lines += [f"  {workload.name}: {each}" for workload, each in verdicts if each.met is not True]
    lines += [f"ABSENT: {target}: {why}" for target, why in results.absent.items()]
    lines += [f"FAILED: {what}: {why}" for what, why in results.failed.items()]
    return "\n".join(lines)


def markdown(results: Results, base: str = BASE) -> str:
    """Everything, for a page."""
    return "\n".join(_markdown(results, base)) + "\n"


def _markdown(results: Results, base: str) -> Iterator[str]:
    yield f"```sh\n{results.command}\n```\n"
    yield f"{', '.join(results.machine.values())}.\n"
    for workload, runs in results.of():
        yield f"**{workload.title}** (`{workload.name}`)\n"
        heading, *table = rows(workload, runs, base)
        yield _line(heading)
        yield _line(["---", *["---:"] * (len(heading) - 1)])
        yield from map(_line, table)
        yield ""
        if workload.goals:
            yield "\n".join(f"- {judge(goal, runs)}" for goal in workload.goals) + "\n"
    for target, why in results.absent.items():
        yield f"Not there: `{target}` ({why}).\n"
    for what, why in results.failed.items():
        yield f"Failed: {what} ({why}).\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

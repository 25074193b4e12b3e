"""``lfsproxy check``: tries whether the settings work, step by step, and what to do where they do not."""

from __future__ import annotations

import textwrap
import traceback
from collections import Counter
from collections.abc import Sequence
from typing import Any

import attrs
import click

from lfsproxy.cli.checking import check_all
from lfsproxy.cli.upkeep import Ended, Job, upkeep
from lfsproxy.quoting import printable
from lfsproxy.settings import check_no_loop
from lfsproxy.upkeep.steps.chain import Step

_MARKS = {"ok": "ok", "note": "ok, but", "failed": "FAILED", "skipped": "skipped"}
_MARK = max(map(len, _MARKS.values()))
_SECONDS = 9
_LEAST = 32
"""Columns that the texts have to have beside the steps' names; with fewer they stand below these."""


@upkeep("Try whether the settings work, and say what does not.")
@click.option(
    "--topic",
    metavar="TOPIC",
    help="Also look at this topic, write one small record to it, and read that back.",
)
async def check(job: Job, topic: str | None) -> Ended:
    """Try each thing that the proxy needs, with its settings: its files and ports, each broker, the bucket.

    Small objects are written to the bucket, below the namespace's own prefix, and deleted again. With --topic
    one record is written that stays there; its header lfsproxy-check says what it is. Each step has its own
    time limit. What is optional and missing is told, and counts as ok.
    """
    check_no_loop(job.settings)
    with job.screen.bars() as screen:
        bar = screen.bar("checking")

        def tell(step: Step) -> None:
            bar.advance()
            bar.show(step.name)

        steps = await check_all(job, topic, tell)
    for bug in (step.bug for step in steps if step.bug is not None and job.shows_bugs):
        traceback.print_exception(bug)
    count = Counter(map(_state, steps))
    summary = {
        "ok": not count["failed"],
        "failed": count["failed"],
        "skipped": count["skipped"],
        "notes": count["note"],
        "steps": [_as_json(step) for step in steps],
    }
    return Ended(bool(count["failed"]), summary, _table(steps, count, job.screen.width))


def _as_json(step: Step) -> dict[str, Any]:
    told = attrs.asdict(step, filter=lambda attribute, _: attribute.name != "bug")
    return {**told, "seconds": round(step.seconds, 3)}


def _state(step: Step) -> str:
    if step.ok is None:
        return "skipped"
    if not step.ok:
        return "failed"
    return "note" if step.warning else "ok"


def _table(steps: Sequence[Step], count: Counter[str], width: int | None) -> str:
    """For a terminal of ``width`` columns; None is a file or a pipe, where each text stays on its line."""
    names = max((len(step.name) for step in steps), default=0)
    margin = _MARK + 2 + names + _SECONDS + 2
    beside = width is None or width - margin >= _LEAST
    indent = " " * (margin if beside else _MARK + 2)
    lines = []
    for step in steps:
        seconds = f"{step.seconds:{_SECONDS - 2}.2f} s" if step.ok is not None else " " * _SECONDS
        if beside:
            head = f"{_MARKS[_state(step)]:{_MARK}}  {step.name:{names}}{seconds}  "
        else:
            name = f"{step.name}  {seconds.strip()}"
            lines += _folded(f"{_MARKS[_state(step)]:{_MARK}}  ", name, indent, width)
            head = indent
        lines += _folded(head, step.wrong or step.note, indent, width)
        lines += _folded(f"{indent}-> ", step.do, f"{indent}   ", width) if step.do else []
    ok = count["ok"] + count["note"]
    told = f"{len(steps)} steps: {ok} ok, {count['failed']} failed, {count['skipped']} skipped"
    notes = f"; read what is behind 'ok, but' ({count['note']})" if count["note"] else ""
    return "\n".join([*(line.rstrip() for line in lines), "", told + notes])


def _folded(head: str, text: str, indent: str, width: int | None) -> list[str]:
    """A text behind ``head``, with what does not fit into the width on lines behind ``indent``. What people
    copy, as a URL, stays in one piece."""
    text = printable(text)
    if not text and not head.strip():
        return []
    if width is None or not text:
        return [printable(head) + text]
    return textwrap.wrap(
        text,
        width,
        initial_indent=printable(head),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )

"""``lfsproxy check``: tries whether the settings work, step by step, and what to do where they do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import attrs
import click

from lfsproxy.cli.checking import check_all
from lfsproxy.cli.upkeep import Ended, Job, upkeep
from lfsproxy.quoting import printable
from lfsproxy.upkeep.steps.chain import Step

_MARKS = {"ok": "ok", "note": "ok, but", "failed": "FAILED", "skipped": "skipped"}


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
    with job.screen.bars() as screen:
        bar = screen.bar("checking")

        def tell(step: Step) -> None:
            bar.advance()
            bar.show(step.name)

        steps = await check_all(job, topic, tell)
    count = Counter(map(_state, steps))
    summary = {
        "ok": not count["failed"],
        "failed": count["failed"],
        "skipped": count["skipped"],
        "notes": count["note"],
        "steps": [{**attrs.asdict(step), "seconds": round(step.seconds, 3)} for step in steps],
    }
    return Ended(bool(count["failed"]), summary, _table(steps, count))


def _state(step: Step) -> str:
    if step.ok is None:
        return "skipped"
    if not step.ok:
        return "failed"
    return "note" if step.warning else "ok"


def _table(steps: Sequence[Step], count: Counter[str]) -> str:
    marks = max(map(len, _MARKS.values()))
    names = max((len(step.name) for step in steps), default=0)
    margin = " " * (marks + names + 13)
    lines = []
    for step in steps:
        seconds = f"{step.seconds:7.2f} s" if step.ok is not None else " " * 9
        lines.append(
            f"{_MARKS[_state(step)]:{marks}}  {step.name:{names}}{seconds}  {step.wrong or step.note}"
        )
        if step.do:
            lines.append(f"{margin}-> {step.do}")
    ok = count["ok"] + count["note"]
    told = f"{len(steps)} steps: {ok} ok, {count['failed']} failed, {count['skipped']} skipped"
    notes = f"; read what is behind 'ok, but' ({count['note']})" if count["note"] else ""
    return "\n".join([*(printable(line).rstrip() for line in lines), "", told + notes])

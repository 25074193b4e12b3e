"""``lfsproxy fsck``: which records of the topics have no whole blob."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import click

from lfsproxy.backends import make_backends
from lfsproxy.cli.looking import PartitionsType, TimeType, reading_of, topics_option
from lfsproxy.cli.upkeep import Ended, Job, json_line, upkeep
from lfsproxy.following import Places
from lfsproxy.quoting import quoted, shown
from lfsproxy.settings import Settings
from lfsproxy.upkeep.findings.found import KEPT, Counts, Finding
from lfsproxy.upkeep.findings.fsck import Fsck, Watcher
from lfsproxy.upkeep.findings.plan import Wanted
from lfsproxy.upkeep.findings.positions import State
from lfsproxy.wire.walk import Limits

_MOST_ROWS = 50
"""Topics in the table; those with findings come first."""


@upkeep("Look for records whose blob is missing or damaged.")
@topics_option("look through")
@click.option(
    "--since",
    type=TimeType(),
    metavar="TIME",
    help="Begin with the first record of this time: ISO 8601, UTC unless it says otherwise, or 24h ago.",
)
@click.option("--until", type=TimeType(), metavar="TIME", help="End before the first record of this time.")
@click.option("--partitions", type=PartitionsType(), metavar="0,4-7", help="Only these of each topic.")
@click.option("--verify", is_flag=True, help="Read each blob, and compare its checksum.")
@click.option(
    "--resume",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Keep in FILE how far it has come, and go on from there if it is there.",
)
async def fsck(
    job: Job,
    topics: Sequence[str],
    since: tuple[str, int] | None,
    until: tuple[str, int] | None,
    partitions: tuple[str, Collection[int]] | None,
    verify: bool,
    resume: Path | None,
) -> Ended:
    """Say which envelopes lead to no blob (dangling), or to one of another length, or with --verify of
    another checksum.

    Each finding is a line of standard output as soon as it is known; with --json a JSON object, as is the
    summary behind them. Nothing is changed.
    """
    settings = job.settings
    backends = make_backends(job.reactor, settings, job.environment, job.metrics)
    try:
        reading = await reading_of(backends)
        with job.screen.bars():
            bar = job.screen.bar("looking through topics")
            watcher = Watcher(
                report=lambda finding: job.screen.say(line_of(finding, job.as_json)),
                note=job.screen.note,
                begin=lambda total: bar.show(total=total),
                moved=bar.advance,
            )
            look = Fsck(
                job.reactor,
                reading,
                backends.store,
                Limits(settings.max_decompressed_size, settings.max_passthrough_size),
                Places(settings.s3_bucket, settings.namespace, settings.download_prefixes),
                Wanted(
                    topics,
                    since and since[1],
                    until and until[1],
                    partitions and partitions[1],
                ),
                _options(settings, topics, since, until, partitions, verify),
                verify,
                resume,
                watcher,
            )
            state = await look.run()
    finally:
        await backends.close()
    return ended(state, look.unread, verify)


def _options(
    settings: Settings,
    topics: Sequence[str],
    since: tuple[str, int] | None,
    until: tuple[str, int] | None,
    partitions: tuple[str, Collection[int]] | None,
    verify: bool,
) -> Mapping[str, Any]:
    """What a look that goes on must have in common with the one that began, by names that people know."""
    return {
        "--topics": ",".join(topics),
        "--since": since and since[0],
        "--until": until and until[0],
        "--partitions": partitions and partitions[0],
        "--verify": verify,
        "LFS_S3_BUCKET": settings.s3_bucket,
        "LFS_NAMESPACE": settings.namespace,
        "LFS_DOWNLOAD_PREFIXES": ",".join(settings.download_prefixes),
    }


def line_of(finding: Finding, as_json: bool) -> str:
    """One finding as it is told: two lines for people."""
    if as_json:
        return json_line(finding.to_json())
    places = (finding.topic, finding.partition, finding.offset)
    place = ":".join(str(each) for each in places if each is not None)
    key = f" (key {quoted(finding.key)})" if finding.key is not None else ""
    return str(shown(f"{place} {finding.kind}: {finding.why}{key}", most=4000)) + f"\n    {finding.todo}"


def ended(state: State, unread: Sequence[Finding], verify: bool) -> Ended:
    """A whole look: ``unread`` are the topics and partitions that could not be read to their end."""
    total = state.total()
    count = state.found + len(unread)
    findings = [*(each.to_json() for each in unread), *state.findings][:KEPT]
    summary = {
        **attrs.asdict(total),
        "verified": verify,
        "topics": len(state.ids),
        "partitions": len(state.places),
        "unread": len(unread),
        "findings": findings,
        "more_findings": count - len(findings),
    }
    return Ended(count > 0, summary, _table(state, total, len(unread), verify))


def _table(state: State, total: Counts, unread: int, verify: bool) -> str:
    """The summary for people: topics with envelopes, and the sum."""
    names = ["records", "envelopes", "dangling", "wrong_length"]
    names += [*(["wrong_checksum"] if verify else []), "unreadable", "invalid", "foreign"]
    topics = [(name, counts) for name, counts in state.counts.items() if counts.envelopes]
    topics.sort(key=lambda each: (-each[1].found, each[0]))
    rows = [("topic", *(name.replace("_", " ") for name in names))]
    for name, counts in [*topics[:_MOST_ROWS], ("all topics", total)]:
        rows.append((name, *(str(getattr(counts, each)) for each in names)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    if len(topics) > _MOST_ROWS:
        lines.insert(-1, f"({len(topics) - _MOST_ROWS} more topics)")
    if total.foreign:
        lines.append("foreign: they lead elsewhere than LFS_S3_BUCKET and LFS_DOWNLOAD_PREFIXES say")
    if unread:
        lines.append(f"topics and partitions that could not be read to their end: {unread}")
    return "\n".join(lines)

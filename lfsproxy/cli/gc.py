"""``lfsproxy gc``: finds blobs and unfinished uploads that no envelope names, and removes them if told to."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Sequence
from functools import partial

import click

from lfsproxy.backends import make_backends
from lfsproxy.broker.threads import in_thread
from lfsproxy.cli.failures import NOT_UNDERSTOOD, Failure
from lfsproxy.cli.looking import AgeType, TopicsType, reading_of, topics_option
from lfsproxy.cli.upkeep import Ended, Job, upkeep
from lfsproxy.interfaces import ILogReading, IObjectIndex, IResumableStore
from lfsproxy.quoting import quoted
from lfsproxy.upkeep.orphans.book import Book, Sum
from lfsproxy.upkeep.orphans.listing import Listing
from lfsproxy.upkeep.orphans.removal import Removal, Removed
from lfsproxy.upkeep.orphans.report import Report
from lfsproxy.upkeep.orphans.search import Asked, Search
from lfsproxy.upkeep.orphans.topics import TopicReading
from lfsproxy.wire.walk import Limits
from lfsproxy.words import counted

HOUR = 3600.0
_SHOWN = 20
"""Topics in the report for people."""


@upkeep("Find, and with --delete remove, blobs that no record names.")
@topics_option("read")
@click.option(
    "--min-age",
    type=AgeType(),
    default="24h",
    show_default=True,
    metavar="AGE",
    help="How old a blob must be: longer than the longest upload.",
)
@click.option("--delete", "deletes", is_flag=True, help="Remove what was found. Without it nothing is.")
@click.option("--yes", is_flag=True, help="Do not ask before --delete removes.")
@click.option(
    "--deleted-topics",
    "gone",
    type=TopicsType(may_be_empty=True),
    default="",
    metavar="GLOBS",
    help="Topics that are gone, whose blobs may go as well.",
)
@click.option("--resume", "path", type=click.Path(dir_okay=False), help="Keep what was seen in this file.")
@click.option("--unsafe", is_flag=True, help="Allow --min-age below 1h, and to remove every blob there is.")
async def gc(
    job: Job,
    topics: Sequence[str],
    min_age: float,
    deletes: bool,
    yes: bool,
    gone: Sequence[str],
    path: str | None,
    unsafe: bool,
) -> Ended:
    """Find blobs and unfinished uploads that no envelope in any topic names.

    Nothing is removed without --delete. It is safe beside running proxies, as long as --min-age is longer
    than any upload takes. If one partition cannot be read to its end, nothing is removed.
    """
    if min_age < HOUR and not unsafe:
        raise click.UsageError(
            "--min-age below 1h is refused without --unsafe: blobs of uploads that go on would be removed"
        )
    if deletes and not yes and not sys.stdin.isatty():
        raise click.UsageError("--delete needs --yes where nobody can be asked")
    settings = job.settings
    backends = make_backends(job.reactor, settings, job.environment, job.metrics)
    try:
        reading = await reading_of(backends)
        index, resumable = backends.store.index, backends.store.resumable
        if index is None:
            raise Failure("the store gives no lists of what it has", NOT_UNDERSTOOD)
        subject = (
            f"{settings.s3_endpoint or settings.s3_region}/{settings.s3_bucket}, namespace "
            f"{settings.namespace}, older than {min_age:g} s, topics {','.join(topics)}"
        )
        try:
            book = Book(path or "", subject)
        except ValueError as error:
            raise click.UsageError(f"--resume: {error}") from None
        try:
            report = await _search(job, book, reading, index, resumable, topics, gone, min_age)
            removed = None
            if deletes and not report.is_clean:
                removed = await _remove(job, book, index, report, min_age, yes, unsafe)
        except sqlite3.Error as error:
            raise Failure(
                f"what was seen cannot be kept on disk: {error}; TMPDIR, or --resume, names another place",
                NOT_UNDERSTOOD,
            ) from None
        finally:
            book.close()
        asked = deletes and not yes and not report.is_clean
        ended = _ended(report, removed, deletes, is_shown=asked and job.screen.width is not None)
        if path is not None and not ended.findings:
            _forget(path)
        return ended
    finally:
        await backends.close()


async def _search(
    job: Job,
    book: Book,
    reading: ILogReading,
    index: IObjectIndex,
    resumable: IResumableStore | None,
    topics: Sequence[str],
    gone: Sequence[str],
    min_age: float,
) -> Report:
    settings = job.settings
    with job.screen.bars() as screen:
        if book.is_listed:
            screen.note(
                "the bucket is not listed again: --resume names a file of a run that did so, what came since "
                "stays"
            )
        listed = screen.bar("objects in the bucket")
        read = screen.bar("records in Kafka", 0)
        total = 0

        def more(count: int) -> None:
            nonlocal total
            total += count
            read.show(total=total)

        listing = Listing(index, resumable, settings.namespace, min_age, book, listed.advance)
        limits = Limits(settings.max_decompressed_size, settings.max_passthrough_size)
        reader = TopicReading(reading, limits, book, read.advance, more)
        search = Search(book, listing, reader, in_thread(job.reactor), screen.note)
        return await search.run(Asked(topics, gone))


async def _remove(
    job: Job, book: Book, index: IObjectIndex, report: Report, min_age: float, yes: bool, unsafe: bool
) -> Removed | None:
    """None where the person does not want it."""
    if report.names_nothing and not unsafe:
        raise Failure(
            f"nothing was removed: no record in {counted(report.topics, 'topic')} names any of "
            f"{counted(report.blobs.count, 'blob')}. Is this the Kafka cluster that they belong to? "
            "If so, --unsafe removes them",
            NOT_UNDERSTOOD,
        )
    count = report.orphans.count + report.uploads
    if not yes:
        for line in _found(report).splitlines():
            job.screen.note(line)
        answer = job.ask(f"To remove them, type their number ({count}):")
        if answer != str(count):
            return None
    with job.screen.bars() as screen:
        bar = screen.bar("removed", count)
        removal = Removal(index, job.settings.namespace, min_age, book, partial(bar.advance))
        return await removal.run()


def _forget(path: str) -> None:
    for name in (path, f"{path}-wal", f"{path}-shm"):
        if os.path.exists(name):
            os.remove(name)


def _ended(report: Report, removed: Removed | None, deletes: bool, is_shown: bool) -> Ended:
    """``is_shown``: the person at the terminal has seen what was found before the question."""
    done = removed or Removed()
    left = report.orphans.count - done.deleted, report.uploads - done.aborted
    summary = {
        **report.summary(),
        "deleted": done.deleted,
        "deleted_bytes": done.size,
        "aborted": done.aborted,
        "not_deleted": done.failures,
    }
    lines = [] if is_shown else [_found(report)]
    if removed is not None:
        lines += _outcome(removed)
    elif deletes and not report.is_clean:
        lines.append("Nothing was removed.")
    return Ended((done.failures > 0 if removed is not None else any(left)), summary, "\n".join(lines))


def _found(report: Report) -> str:
    lines = [
        f"{counted(report.blobs.count, 'blob')} ({_size(report.blobs.size)}) in the bucket; read: "
        f"{counted(report.topics, 'topic')} with {counted(report.partitions, 'partition')}"
    ]

    def line(count: int, what: str) -> None:
        if count:
            lines.append(f"{count:>12}  {what}")

    line(report.referenced, "named by an envelope")
    line(report.young.count, "not named, and too young")
    line(report.held.count, "not named, and part of a resumable upload")
    line(report.unread_blobs, f"of topics that were not read, to stay: {_some(sorted(report.unread))}")
    line(report.odd, "with a key that no proxy makes, to stay")
    line(report.uploads, "unfinished, and of no upload that goes on: to be removed")
    line(report.orphans.count, f"named by nothing, to be removed: {_size(report.orphans.size)}")
    largest = sorted(report.by_topic.items(), key=lambda item: -item[1].size)
    lines += [f"{'':14}{_row(name, one)}" for name, one in largest[:_SHOWN]]
    if len(largest) > _SHOWN:
        lines.append(f"{'':14}and {counted(len(largest) - _SHOWN, 'more topic')}")
    return "\n".join(lines)


def _outcome(removed: Removed) -> list[str]:
    lines = [
        f"Removed: {counted(removed.deleted, 'blob')} ({_size(removed.size)}) and "
        f"{counted(removed.aborted, 'unfinished upload')}."
    ]
    if removed.failures:
        lines.append(f"Not removed: {counted(removed.failures, 'blob')}")
        lines += [f"  {quoted(key)}: {why}" for key, why in removed.failed.items()]
    return lines


def _row(name: str, one: Sum) -> str:
    return f"{quoted(name)}: {one.count}, {_size(one.size)}"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(quoted(name) for name in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return counted(round(count), "byte") if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"

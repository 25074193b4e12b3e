"""``python -m lfsproxy.devstack fetch`` fills the cache of jars, ``... lock`` writes the lock file anew."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import click

from lfsproxy.devstack.cache import cache_folder
from lfsproxy.devstack.errors import DevstackError
from lfsproxy.devstack.first_run import prepare, wanted_sets
from lfsproxy.devstack.jars import class_path, missing_bytes
from lfsproxy.devstack.lock import write_lock
from lfsproxy.devstack.prepare import is_prepared


@click.group()
def main() -> None:
    """Prepare the development servers."""


@main.command()
@click.option("--kafka", "releases", multiple=True, help="A further release of Kafka to download.")
def fetch(releases: tuple[str, ...]) -> None:
    """Download what the servers need and the cache lacks, and make their starts quick."""
    names, others = wanted_sets(), [f"kafka-{release}" for release in releases]
    if missing := missing_bytes([*names, *others]):
        click.echo(f"Downloading {missing / 1e6:.0f} MB of Kafka and S3 server to {cache_folder()}")
    for name in others:
        class_path(name, progress=_Lines(name))
    for name in names:
        class_path(name, progress=_Lines(name))
        if not is_prepared(name):
            click.echo(f"  {name}: archiving its classes, for quick starts")
            prepare(name)


@main.command()
def lock() -> None:
    """Resolve the versions that lock.py names and write jars.toml (for maintainers; takes minutes)."""
    with tempfile.TemporaryDirectory() as scratch:
        write_lock(Path(scratch), click.echo)


class _Lines:
    """Progress for a log: a line every few seconds, and one at the end."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._next = time.monotonic()

    def __call__(self, arrived: int, total: int) -> None:
        if arrived == total or time.monotonic() >= self._next:
            self._next = time.monotonic() + 5
            click.echo(f"  {self._name}: {arrived / 1e6:.0f} of {total / 1e6:.0f} MB")


if __name__ == "__main__":
    try:
        main()
    except DevstackError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)

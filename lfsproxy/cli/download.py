"""``lfsproxy download``: the blob behind one envelope, into a file."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import click

from lfsproxy.cli.access import kafka_options
from lfsproxy.cli.options import quiet_option, reader_of, reader_options
from lfsproxy.cli.payload import standard_input
from lfsproxy.cli.records import record_at
from lfsproxy.cli.screen import transfer
from lfsproxy.cli.target import copy_counted, write_file
from lfsproxy.envelope import recognise

_PLACE = re.compile(r"([A-Za-z0-9._-]{1,249}):(\d{1,9}):(\d{1,18})")


@click.command(short_help="Download the blob behind an envelope, verified.")
@click.argument("source", metavar="ENVELOPE|TOPIC:PARTITION:OFFSET|-")
@click.option("-o", "--output", help="File to write; - is standard output. Default: the end of the key.")
@click.option("--force", is_flag=True, help="Replace a file that exists.")
@kafka_options
@reader_options
@quiet_option
def download(source: str, output: str | None, force: bool, quiet: bool, **arguments: Any) -> None:
    """Download the blob behind an envelope, given as JSON, on standard input (-), or by its record.

    A file appears only when the blob was whole and its checksum right; standard output gets the bytes as
    they come, and the exit status tells. S3 credentials come from the usual AWS places.
    """
    value = _value(source, arguments)
    envelope = recognise(value)
    if envelope is None and not _PLACE.fullmatch(source):
        if source == "-":
            raise click.ClickException(
                "standard input is no envelope; from a proxy that gives consumers the blobs "
                "(LFS_HYDRATE_TOPICS) it may be the blob itself"
            )
        raise click.ClickException("this is neither an envelope nor TOPIC:PARTITION:OFFSET")
    place = output or (_name(envelope.s3_key) if envelope else source.replace(":", "-"))
    file = reader_of(arguments).open(value).stream
    if file is None:
        raise click.ClickException(f"the record at {source} has no value")
    total = envelope.content_length if envelope else len(value)
    with file, transfer(f"Downloading {place}", total, quiet) as advance:
        if place == "-":
            stdout = sys.stdout.buffer
            copy_counted(file, stdout, advance)
            stdout.flush()
        else:
            write_file(Path(place), lambda target: copy_counted(file, target, advance), force)
    if place != "-":
        click.echo(place)


def _name(key: str) -> str:
    """The end of a key, which somebody else has chosen: no hidden file."""
    return Path(key).name.lstrip(".") or "blob"


def _value(source: str, arguments: dict[str, Any]) -> bytes:
    found = _PLACE.fullmatch(source)
    if found:
        value: bytes | None = record_at(arguments, found[1], int(found[2]), int(found[3])).value
        if value is None:
            raise click.ClickException(f"the record at {source} has no value")
        return value
    if source == "-":
        return standard_input().read().strip()
    return source.strip().encode("utf-8")

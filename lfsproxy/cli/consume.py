"""``lfsproxy consume``: the records of a topic, envelopes as they are or the blobs behind them."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import click

from lfsproxy.cli.access import kafka_options
from lfsproxy.cli.options import quiet_option, reader_of, reader_options
from lfsproxy.cli.pipes import check_reader
from lfsproxy.cli.records import follow, open_consumer, partitions_of
from lfsproxy.cli.screen import transfer
from lfsproxy.cli.target import copy_counted, write_file
from lfsproxy.client import BlobReader
from lfsproxy.envelope import recognise


@click.command(short_help="Read a topic's records, or the blobs behind them.")
@click.argument("topic")
@kafka_options
@click.option(
    "--partition", "partitions", type=click.IntRange(0), multiple=True, help="Only these; repeatable."
)
@click.option("--from-beginning", is_flag=True, help="Begin with the first record, not with the next.")
@click.option("--max-messages", type=click.IntRange(1), help="End after this many records.")
@click.option("--timeout", type=click.FloatRange(0), help="End when no record comes for this many seconds.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per record, with all but the blob.")
@click.option("--resolve", is_flag=True, help="Read the blobs behind envelopes, verified.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="With --resolve: a folder for one file per record, TOPIC-PARTITION-OFFSET. Else standard output.",
)
@click.option(
    "--on-missing",
    type=click.Choice(["raise", "skip", "envelope"]),
    default="raise",
    show_default=True,
    help="With --resolve: what to do where a blob is missing.",
)
@reader_options
@quiet_option
def consume(
    topic: str,
    partitions: tuple[int, ...],
    from_beginning: bool,
    max_messages: int | None,
    timeout: float | None,
    as_json: bool,
    resolve: bool,
    output: Path | None,
    on_missing: Any,
    quiet: bool,
    **arguments: Any,
) -> None:
    """Read the records of TOPIC until Ctrl-C: their values, one per line; envelopes stay envelopes,
    unless the proxy gives consumers the blobs (LFS_HYDRATE_TOPICS).

    With --resolve each envelope is replaced by the blob behind it. S3 credentials come from the usual AWS
    places.
    """
    if output is not None and not resolve:
        raise click.UsageError("--output is for --resolve")
    if resolve and as_json and output is None:
        raise click.UsageError("--json with --resolve needs --output")
    reader = reader_of(arguments, on_missing=on_missing) if resolve else None
    consumer = open_consumer(arguments)
    try:
        places = partitions_of(consumer, topic)
        missing = set(partitions) - {place.partition for place in places}
        if missing:
            raise click.ClickException(f"the topic {topic} has no partition {min(missing)}")
        if partitions:
            places = [place for place in places if place.partition in partitions]
        consumer.assign(places)
        if from_beginning:
            consumer.seek_to_beginning()
        else:
            consumer.seek_to_end()
        for record in follow(consumer, max_messages, timeout, check=check_reader):
            if reader is not None:
                resolve_record(reader, record, output, quiet)
            if as_json:
                click.echo(json.dumps(described(record), ensure_ascii=False))
            elif reader is None:
                sys.stdout.buffer.write((record.value or b"") + b"\n")
                sys.stdout.buffer.flush()
    finally:
        consumer.close()


def resolve_record(reader: BlobReader, record: Any, output: Path | None, quiet: bool) -> None:
    """Write the blob behind a record, or its ordinary value, to a file in ``output`` or standard output."""
    name = f"{record.topic}-{record.partition}-{record.offset}"
    source = reader.open(record.value).stream
    if source is None:
        return
    envelope = recognise(record.value)
    total = envelope.content_length if envelope else len(record.value)
    with source, transfer(f"Reading {name}", total, quiet) as advance:
        if output is None:
            stdout = sys.stdout.buffer
            copy_counted(source, stdout, advance)
            stdout.flush()
        else:
            output.mkdir(parents=True, exist_ok=True)
            write_file(output / name, lambda target: copy_counted(source, target, advance), replace=True)


def described(record: Any) -> dict[str, Any]:
    """A record as JSON: bytes as text where they are UTF-8, else in base64 under NAME_base64."""
    fields: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        **_text("key", record.key),
        "headers": [{"name": name, **_text("value", value)} for name, value in record.headers],
    }
    if recognise(record.value) is not None:
        fields["envelope"] = json.loads(record.value)
    else:
        fields |= _text("value", record.value)
    return fields


def _text(name: str, data: bytes | None) -> dict[str, Any]:
    if data is None:
        return {name: None}
    try:
        return {name: data.decode("utf-8")}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data).decode("ascii")}

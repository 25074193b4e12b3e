"""``lfsproxy produce``: a file as one record over the Kafka protocol, to be offloaded by the proxy."""

from __future__ import annotations

from typing import Any

import click
from kafka import KafkaProducer

from lfsproxy.cli.access import kafka_options, open_client
from lfsproxy.cli.options import quiet_option, record_options
from lfsproxy.cli.payload import expected_checksum, name_of, open_payload
from lfsproxy.cli.screen import transfer
from lfsproxy.client import lfs_headers
from lfsproxy.client.upload import length_of

OVERHEAD = 1024 * 1024
"""Bytes of a request besides its value: key, headers, and what is around them."""
LARGEST = 2**31 - 1 - OVERHEAD
"""Bytes of a record's value: lengths on the wire are 32 bits with a sign."""


@click.command(short_help="Produce a file over the Kafka protocol.")
@click.argument("file", metavar="FILE")
@record_options
@kafka_options
@click.option("--plain", is_flag=True, help="Ask for no offload: produce an ordinary record.")
@click.option(
    "--timeout",
    type=click.FloatRange(1),
    default=300,
    show_default=True,
    help="Seconds that the proxy may take for the upload.",
)
@quiet_option
def produce(file: str, topic: str, plain: bool, timeout: float, quiet: bool, **options: Any) -> None:
    """Produce FILE (- is standard input) as the value of one record, with the header LFS_BLOB.

    A Kafka client holds the value in memory: ``lfsproxy upload`` streams, and suits large files better.
    Prints topic:partition:offset of the record.
    """
    with open_payload(file) as payload:
        if (length_of(payload) or 0) > LARGEST:
            raise click.ClickException(
                f"{name_of(file)} is larger than a Kafka record can be: lfsproxy upload takes any size"
            )
        headers = _headers(payload, plain, options)
        value = payload.read()
    producer = open_client(
        KafkaProducer,
        options,
        max_request_size=len(value) + OVERHEAD,
        request_timeout_ms=int(timeout * 1000),
        delivery_timeout_ms=int(timeout * 1000),
        max_block_ms=10_000,
    )
    try:
        with transfer(f"Producing {name_of(file)}", len(value), quiet) as advance:
            key = options["key"]
            sent = producer.send(
                topic,
                value=value,
                key=None if key is None else key.encode("utf-8"),
                headers=headers,
                partition=options["partition"],
            ).get(timeout + 10)
            advance(len(value))
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    finally:
        producer.close(timeout=1)
    click.echo(f"{sent.topic}:{sent.partition}:{sent.offset}")


def _headers(payload: Any, plain: bool, options: dict[str, Any]) -> list[tuple[str, bytes]]:
    headers = list(options["headers"])
    given = [name for name in ("checksum", "checksum_algo", "content_type") if options[name] is not None]
    if plain:
        if given:
            raise click.UsageError(f"--{given[0].replace('_', '-')} is for records that are offloaded")
        return headers
    checksum, algorithm = options["checksum"], options["checksum_algo"]
    if checksum is not None:
        checksum = expected_checksum(payload, checksum, algorithm)
    return headers + lfs_headers(checksum, algorithm, options["content_type"])

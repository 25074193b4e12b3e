"""``lfsproxy upload``: a file over HTTP, streamed, its checksum compared with the envelope's at the end."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from typing import Any

import attrs
import click

from lfsproxy.cli.options import quiet_option, record_options, url_option
from lfsproxy.cli.payload import expected_checksum, name_of, open_payload
from lfsproxy.cli.screen import transfer
from lfsproxy.client.upload import Uploader, length_of


@click.command(short_help="Upload a file over HTTP.")
@click.argument("file", metavar="FILE")
@record_options
@click.option("--timestamp", type=click.IntRange(0), help="Milliseconds since the epoch; else now.")
@url_option
@click.option(
    "--api-key",
    envvar="LFS_API_KEY",
    show_envvar=True,
    help="API key, where the proxy asks for one; better in the variable, as other users see options.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the proxy's whole answer.")
@quiet_option
def upload(file: str, url: str, api_key: str | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Upload FILE (- is standard input) to the proxy over HTTP, and publish its envelope.

    Prints topic:partition:offset of the record, which ``lfsproxy download`` takes.
    """
    topic, headers = options.pop("topic"), list(options.pop("headers"))
    if file != "-" and all(name != "lfs-filename" for name, _ in headers):
        headers.append(("lfs-filename", os.path.basename(file).encode("utf-8", "surrogateescape")))
    if api_key and not re.fullmatch(r"[!-~]+", api_key):
        raise click.UsageError("the API key (LFS_API_KEY) has characters that no key has")
    try:
        proxy = Uploader(url, api_key or None)
    except ValueError as error:
        raise click.UsageError(f"--{error}") from None
    with proxy, open_payload(file) as payload:
        algorithm, given = options.pop("checksum_algo"), options.pop("checksum")
        checksum = None if given is None else expected_checksum(payload, given, algorithm)
        try:
            with transfer(f"Uploading {name_of(file)}", length_of(payload), quiet) as advance:
                published = proxy.upload(
                    topic,
                    payload,
                    headers=headers,
                    checksum=checksum,
                    algorithm=algorithm,
                    on_progress=steps(advance),
                    **options,
                )
        except EOFError:
            raise click.ClickException(
                f"{name_of(file)} became shorter while it was sent, so nothing was published: "
                "upload it again when nothing changes it"
            ) from None
    if as_json:
        envelope = json.loads(published.envelope.to_bytes())
        click.echo(json.dumps({**attrs.asdict(published, recurse=False), "envelope": envelope}))
    else:
        click.echo(f"{published.topic}:{published.partition}:{published.offset}")


def steps(advance: Callable[[int], None]) -> Callable[[int], None]:
    """Told the bytes so far, tells ``advance`` by how many they have grown."""
    before = 0

    def so_far(size: int) -> None:
        nonlocal before
        advance(size - before)
        before = size

    return so_far

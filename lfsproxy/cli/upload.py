"""``lfsproxy upload``: a file over HTTP, streamed, its checksum compared with the envelope's at the end."""

from __future__ import annotations

import http.client
import json
import os
import re
from collections.abc import Iterator
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode, urlsplit

import click

from lfsproxy.checksums import Checksum, new_checksum
from lfsproxy.cli.options import quiet_option, record_options
from lfsproxy.cli.payload import checksum_of, length_of, name_of, open_payload
from lfsproxy.cli.screen import transfer
from lfsproxy.errors import ChecksumMismatch

CHUNK_BYTES = 256 * 1024
ANSWER_SECONDS = 900
"""How long the proxy may take after the last byte: stores assemble large uploads in silence."""


@click.command(short_help="Upload a file over HTTP.")
@click.argument("file", metavar="FILE")
@record_options
@click.option("--timestamp", type=click.IntRange(0), help="Milliseconds since the epoch; else now.")
@click.option(
    "--url", default="http://localhost:8080", show_default=True, help="URL of the proxy's HTTP API."
)
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
    with open_payload(file) as payload:
        length = length_of(payload)
        topic, query = options.pop("topic"), _query(file, payload, options)
        checksum = new_checksum(options["checksum_algo"] or "sha256")
        with transfer(f"Uploading {name_of(file)}", length, quiet) as advance:
            body = _read(payload, checksum, advance)
            path = f"/v1/topics/{quote(topic, safe='')}/records?{query}"
            answer = send(url, path, body, length, api_key)
    envelope = answer["envelope"]
    if envelope["checksum_algo"] == checksum.name and envelope["checksum"] != checksum.hexdigest():
        raise ChecksumMismatch(checksum.name, checksum.hexdigest(), envelope["checksum"])
    if as_json:
        click.echo(json.dumps(answer))
    else:
        click.echo(f"{answer['topic']}:{answer['partition']}:{answer['offset']}")


def _query(file: str, payload: BinaryIO, options: dict[str, Any]) -> str:
    pairs: list[tuple[str, str | bytes]] = [
        (name, str(options[name]))
        for name in ("key", "partition", "content_type", "timestamp", "checksum_algo")
        if options[name] is not None
    ]
    if options["checksum"] is not None:
        algorithm = options["checksum_algo"] or "sha256"
        pairs.append(("checksum", checksum_of(payload, options["checksum"], algorithm)))
        if options["checksum_algo"] is None:
            pairs.append(("checksum_algo", algorithm))
    headers = list(options["headers"])
    if file != "-" and all(name != "lfs-filename" for name, _ in headers):
        headers.append(("lfs-filename", os.path.basename(file).encode("utf-8", "surrogateescape")))
    pairs += [("header", name.encode() + b":" + value) for name, value in headers]
    return urlencode(pairs)


def _read(payload: BinaryIO, checksum: Checksum, advance: Any) -> Iterator[bytes]:
    while data := payload.read(CHUNK_BYTES):
        checksum.update(data)
        yield data
        advance(len(data))


def send(url: str, path: str, body: Iterator[bytes], length: int | None, api_key: str | None = None) -> Any:
    """POST a body, chunked where its length is not known; returns the JSON of a 201.

    Raises ClickException with the proxy's own words for anything else.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise click.UsageError(f"--url is {url!r}: a URL such as http://localhost:8080 is needed")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=ANSWER_SECONDS)
    headers = {"Content-Type": "application/octet-stream"}
    if api_key:
        if not re.fullmatch(r"[!-~]+", api_key):
            raise click.UsageError("the API key (LFS_API_KEY) has characters that no key has")
        headers["Authorization"] = f"Bearer {api_key}"
    if length is not None:
        headers["Content-Length"] = str(length)
    try:
        try:
            connection.request(
                "POST",
                parts.path.rstrip("/") + path,
                body,
                headers,
                encode_chunked=length is None,
            )
        except (BrokenPipeError, ConnectionResetError) as error:
            # An answer that came before the end of the body says more than the closed connection.
            answer = _answer_in_spite_of(connection, error)
        else:
            answer = connection.getresponse()
        text = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise click.ClickException(
            f"the upload to {url} failed, and it is not known whether it was published: {error}"
            if connection.sock is not None
            else f"the proxy at {url} cannot be reached: {error}"
        ) from None
    finally:
        connection.close()
    if answer.status != 201:
        raise click.ClickException(refusal(answer.status, text))
    return json.loads(text)


def _answer_in_spite_of(connection: Any, error: OSError) -> http.client.HTTPResponse:
    if connection.sock is None:
        raise error
    answer = http.client.HTTPResponse(connection.sock, method="POST")
    answer.begin()
    return answer


def refusal(status: int, text: bytes) -> str:
    """One sentence for an answer that is no success, from its problem+json where it has one."""
    try:
        problem = json.loads(text)
        said = problem.get("detail") or problem["title"]
    except (ValueError, AttributeError, KeyError):
        said = text[:200].decode("utf-8", "replace").strip() or http.client.responses.get(status, "")
    return f"the proxy answers {status}: {said}"

"""Options and argument types that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import reduce
from typing import Any, TypeVar

import click

from lfsproxy.checksums import ALGORITHMS
from lfsproxy.client import BlobReader
from lfsproxy.envelope import DEFAULT_PREFIXES
from lfsproxy.quoting import quoted
from lfsproxy.settings import DEFAULTS, setting_table, variable
from lfsproxy.settings.authorities import S3_VARIABLES

F = TypeVar("F", bound=Callable[..., Any])

PROXY = f"localhost:{DEFAULTS.kafka_addr.port}"
"""Where a proxy of this machine takes Kafka clients."""


class HeaderType(click.ParamType[tuple[str, bytes]]):
    """``name:value``, a record header."""

    name = "name:value"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, bytes]:
        if isinstance(value, tuple):
            return value
        name, colon, text = str(value).partition(":")
        if not colon:
            self.fail(f"{quoted(str(value))} is not name:value", param, ctx)
        return name, text.encode("utf-8")


def all_of(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """One decorator for several, in the order of ``--help``."""
    return lambda function: reduce(lambda done, decorate: decorate(done), reversed(decorators), function)


bootstrap_option = click.option(
    "--bootstrap",
    default=PROXY,
    show_default=True,
    envvar="LFS_PROXY_BOOTSTRAP",
    show_envvar=True,
    metavar="HOST:PORT,...",
    help="The proxy's Kafka address, or a broker's.",
)

url_option = click.option(
    "--url",
    default=f"http://localhost:{DEFAULTS.http_addr.port}",
    show_default=True,
    envvar="LFS_PROXY_URL",
    show_envvar=True,
    help="URL of the proxy's HTTP API.",
)

quiet_option = click.option("-q", "--quiet", is_flag=True, help="Show no progress.")

record_options: Callable[[F], F] = all_of(
    click.option("--topic", required=True, help="Topic to publish to."),
    click.option("--key", help="Key of the record."),
    click.option("--partition", type=click.IntRange(0), help="Partition; else as Kafka chooses."),
    click.option(
        "--header", "headers", type=HeaderType(), multiple=True, help="Header of the record; repeatable."
    ),
    click.option("--content-type", help="Content type of the payload."),
    click.option(
        "--checksum",
        metavar="HEX|auto",
        help="Checksum that the payload must have; auto computes it from FILE first.",
    ),
    click.option(
        "--checksum-algo",
        type=click.Choice(list(ALGORITHMS)),
        help="Algorithm of the checksum, and of the envelope's.",
    ),
)


def _s3_option(name: str, **arguments: Any) -> Callable[[F], F]:
    info = setting_table()[f"s3_{name}"]
    return click.option(
        f"--s3-{name.replace('_', '-')}",
        f"s3_{name}",
        envvar=variable(f"s3_{name}"),
        show_envvar=True,
        help=info.help,
        **arguments,
    )


reader_options: Callable[[F], F] = all_of(
    _s3_option("bucket"),
    _s3_option("endpoint"),
    _s3_option("region"),
    _s3_option("path_style", is_flag=True, default=None),
    click.option(
        "--prefix",
        "prefixes",
        multiple=True,
        default=DEFAULT_PREFIXES,
        show_default=True,
        help="Key prefix that envelopes may point to; repeatable.",
    ),
    click.option(
        "--max-size",
        type=click.IntRange(0),
        default=0,
        help="Most bytes that a blob may have. 0: unlimited.",
    ),
)


def reader_of(arguments: dict[str, Any], **more: Any) -> BlobReader:
    """Take the ``reader_options`` out of a command's arguments and make the reader that they describe."""
    environment = {name: os.environ.get(name, "") for name in S3_VARIABLES}
    for name in ("bucket", "endpoint", "region", "path_style"):
        given = arguments.pop(f"s3_{name}")
        environment[variable(f"s3_{name}")] = "" if given is None else str(given)
    return BlobReader.from_environment(
        environment, prefixes=arguments.pop("prefixes"), max_size=arguments.pop("max_size"), **more
    )

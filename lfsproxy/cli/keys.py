"""``lfsproxy keys``: the API keys that the HTTP door takes."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from lfsproxy.cli.key_file import change_keys, load_keys
from lfsproxy.quoting import quoted
from lfsproxy.settings import variable
from lfsproxy.web.keys import ACTIONS, ApiKey, check_name, check_topic, new_key, read_time

UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Checked(click.ParamType[Any]):
    """A value that a function checks, which raises ValueError where it cannot be used."""

    def __init__(self, name: str, check: Callable[[str], Any]) -> None:
        self.name = name
        self._check = check

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        try:
            return self._check(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)


def expiry(text: str) -> datetime:
    """``90d``, ``12h``, ``30m`` from now, or a date or time in the future. Raises ValueError."""
    now = datetime.now(UTC)
    span = re.fullmatch(r"([1-9]\d{0,5})([mhd])", text)
    time = now + timedelta(**{UNITS[span[2]]: int(span[1])}) if span else read_time(text)
    if time <= now:
        raise ValueError(f"{text} is in the past")
    return time.astimezone(UTC)


file_option = click.option(
    "--file",
    "path",
    required=True,
    envvar=variable("http_api_keys_file"),
    show_envvar=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file of API keys.",
)


@click.group(short_help="Add, list and revoke API keys of the HTTP API.")
def keys() -> None:
    """The API keys that the HTTP API asks for, in the file that LFS_HTTP_API_KEYS_FILE names.

    A running proxy reads the file again when it changes.
    """


@keys.command()
@file_option
@click.option("--name", required=True, type=Checked("name", check_name), help="Whose key it is.")
@click.option(
    "--topic",
    "topics",
    required=True,
    multiple=True,
    type=Checked("glob", check_topic),
    help="Topic, or glob of topics, that it is for; repeatable.",
)
@click.option(
    "--action",
    "actions",
    required=True,
    multiple=True,
    type=click.Choice(ACTIONS),
    help="What may be done there: read, write; repeatable.",
)
@click.option("--expires", type=Checked("when", expiry), help="90d, 12h, 30m, or a date or time; else never.")
def add(
    path: Path, name: str, topics: tuple[str, ...], actions: tuple[str, ...], expires: datetime | None
) -> None:
    """Add a key, and print its token: only now, as the file has only its hash."""
    unique = dict.fromkeys(actions)
    key, token = new_key(name, topics, unique, datetime.now(UTC), expires)

    def added(known: list[ApiKey]) -> list[ApiKey]:
        if name in {other.name for other in known}:
            raise click.ClickException(f"{path} has a key {quoted(name)} already")
        return [*known, key]

    change_keys(path, added, create=True)
    click.echo(f"Key {key.id} ({name}) is in {path}. Its token, which is shown only once:", err=True)
    click.echo(token)


@keys.command("list")
@file_option
def list_keys(path: Path) -> None:
    """List the keys."""
    table = Table(box=None, pad_edge=False)
    for heading in ("ID", "NAME", "TOPICS", "ACTIONS", "CREATED", "EXPIRES"):
        table.add_column(heading, overflow="fold")
    now = datetime.now(UTC)
    for key in load_keys(path):
        expires = "never" if key.expires is None else f"{key.expires:%Y-%m-%d %H:%M}"
        if key.is_expired(now.timestamp()):
            expires += " (expired)"
        table.add_row(
            key.id,
            key.name,
            ", ".join(key.topics),
            ", ".join(key.actions),
            f"{key.created:%Y-%m-%d}",
            expires,
        )
    console = Console(markup=False, highlight=False)
    with console.capture() as shown:
        console.print(table)
    # Not by the console, which ends the process where nobody reads its output.
    click.echo(shown.get(), nl=False)


@keys.command()
@file_option
@click.argument("key", metavar="ID|NAME")
def revoke(path: Path, key: str) -> None:
    """Remove a key."""

    def left(known: list[ApiKey]) -> list[ApiKey]:
        kept = [other for other in known if key not in (other.id, other.name)]
        if len(kept) == len(known):
            raise click.ClickException(f"{path} has no key {quoted(key)}")
        return kept

    change_keys(path, left)
    click.echo(f"Key {key} is revoked.")

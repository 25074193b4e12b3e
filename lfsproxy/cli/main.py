"""The ``lfsproxy`` command: its commands are loaded when they are run, its errors are one plain sentence.

Exit status: 0 done, 1 failed, 2 not understood.
"""

from __future__ import annotations

import errno
import importlib
import logging
from collections.abc import Callable
from typing import Any

import click
from kafka.errors import KafkaError

from lfsproxy.broker.outcome import describe
from lfsproxy.broker.signing import SignInWithheld
from lfsproxy.errors import LfsError

COMMANDS = {
    "serve": "lfsproxy.cli.serve:serve",
    "upload": "lfsproxy.cli.upload:upload",
    "produce": "lfsproxy.cli.produce:produce",
    "consume": "lfsproxy.cli.consume:consume",
    "download": "lfsproxy.cli.download:download",
    "keys": "lfsproxy.cli.keys:keys",
    "demo": "lfsproxy.cli.demo:demo",
}
"""Name to where the command is; in the order of ``--help``."""

EXTRA = {"demo": "demo"}
"""Commands that need an extra of the package."""


class Commands(click.Group):
    """A group that imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        try:
            command: click.Command = getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as error:
            if cmd_name not in EXTRA:
                raise
            return _not_installed(cmd_name, error.name or "")
        return command

    def invoke(self, ctx: click.Context) -> Any:
        return plainly(lambda: super(Commands, self).invoke(ctx))


def plainly(call: Callable[[], Any]) -> Any:
    """Call, and turn the errors that a user can meet into one sentence each."""
    try:
        return call()
    except LfsError as error:
        raise click.ClickException(str(error)) from None
    except SignInWithheld as error:
        raise click.ClickException(str(error.args[0])) from None
    except KafkaError as error:
        raise click.ClickException(f"Kafka: {describe(error)}") from None
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        where = f"{error.filename}: " if error.filename else ""
        raise click.ClickException(f"{where}{error.strerror or error}") from None


def _not_installed(name: str, missing: str) -> click.Command:
    def fail(**_: Any) -> None:
        raise click.ClickException(
            f"this command needs {missing}: install it by pip install 'lfsproxy[{EXTRA[name]}]'"
        )

    return click.Command(
        name,
        callback=fail,
        help=f"Needs the extra {EXTRA[name]}.",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )


@click.command(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="lfsproxy", message="lfsproxy %(version)s")
def main() -> None:
    """Large payloads through Kafka: blobs go to S3, small envelopes go to Kafka."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)

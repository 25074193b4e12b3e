"""The ``lfsproxy`` command: its commands are loaded when they are run, and whatever ends one is told here.

Exit status: see ``lfsproxy.cli.failures``, and docs/cli.md. Only click is imported before the command runs,
so that hardly any Ctrl-C comes before there is anybody to tell it.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

import click

from lfsproxy.cli.pipes import check_reader

COMMANDS = {
    "serve": "lfsproxy.cli.serve:serve",
    "upload": "lfsproxy.cli.upload:upload",
    "produce": "lfsproxy.cli.produce:produce",
    "consume": "lfsproxy.cli.consume:consume",
    "download": "lfsproxy.cli.download:download",
    "gc": "lfsproxy.cli.gc:gc",
    "keys": "lfsproxy.cli.keys:keys",
    "healthcheck": "lfsproxy.cli.healthcheck:healthcheck",
    "check": "lfsproxy.cli.check:check",
    "fsck": "lfsproxy.cli.fsck:fsck",
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

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> click.Context:
        made: click.Context = plainly(
            lambda: super(Commands, self).make_context(info_name, args, *rest, **extra), "--debug" in args
        )
        return made

    def invoke(self, ctx: click.Context) -> Any:
        return plainly(
            lambda: super(Commands, self).invoke(ctx), ctx.params["debug"], lambda: ctx.invoked_subcommand
        )


def plainly(
    call: Callable[[], Any], debug: bool = False, command: Callable[[], str | None] = lambda: None
) -> Any:
    """Call, and turn whatever it raises into one sentence and an exit status.

    ``debug``, or LFS_LOG_LEVEL=debug, has the traceback shown before.
    """
    try:
        if sys.stdout is None:
            # What is printed would be lost in silence: a record's place, a new key's token.
            raise OSError(errno.EBADF, "it is closed", "standard output")
        return call()
    except (click.ClickException, click.exceptions.Exit):
        _let_go_of_stdout()
        raise
    except (Exception, KeyboardInterrupt) as error:
        if debug or os.environ.get("LFS_LOG_LEVEL", "").lower() == "debug":
            traceback.print_exception(error)
        stdout_trouble = _let_go_of_stdout()
        from lfsproxy.cli.failures import failure

        raise failure(error, command() or "", stdout_trouble) from None


def _let_go_of_stdout() -> OSError | None:
    """What standard output does not take is given up, or Python tries it once more at its end, and complains.

    Returns what is wrong with it.
    """
    if sys.stdout is None:
        return None
    try:
        sys.stdout.flush()
        check_reader()
    except OSError as error:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return error
    return None


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
@click.option("--debug", is_flag=True, help="Show where a failure comes from; so does LFS_LOG_LEVEL=debug.")
def main(debug: bool) -> None:
    """Large payloads through Kafka: blobs go to S3, small envelopes go to Kafka."""

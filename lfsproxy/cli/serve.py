"""``lfsproxy serve``: the proxy in the foreground, as ``twistd -n lfsproxy`` runs it."""

from __future__ import annotations

import sys

import click


@click.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    short_help="Run the proxy in the foreground.",
)
@click.pass_context
def serve(ctx: click.Context) -> None:
    """Run the proxy until SIGTERM or Ctrl-C. Takes the options of twistd lfsproxy."""
    from twisted.python.usage import UsageError
    from twisted.scripts import twistd

    from lfsproxy.tap import Options

    options = Options()  # type: ignore[no-untyped-call]  # of Twisted
    if {"--help", "-h"} & set(ctx.args):
        options.synopsis = "Usage: lfsproxy serve [options]"
        click.echo(str(options))
        return
    try:
        # twistd parses them once more, but would answer a wrong one with all that there are.
        options.parseOptions(ctx.args)  # type: ignore[no-untyped-call]  # of Twisted
    except UsageError as error:
        raise click.UsageError(f"{error}; lfsproxy serve --help lists the options") from None
    sys.argv = ["lfsproxy", "--nodaemon", "--pidfile=", "lfsproxy", *ctx.args]
    twistd.run()

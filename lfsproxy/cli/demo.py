"""``lfsproxy demo``: Kafka, S3 and the proxy on this machine, a round of everything, and then they stay up.

The servers are in demo_servers, the round in demo_round and demo_unaware, what is shown in demo_screen, and
the last words in demo_invite.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import click

from lfsproxy.cli.demo_invite import commands, exports, places
from lfsproxy.cli.demo_round import FILE_NAME, Round
from lfsproxy.cli.demo_screen import MIB, Screen
from lfsproxy.cli.demo_servers import Plan, Servers
from lfsproxy.cli.demo_unaware import UnawareRound
from lfsproxy.devstack import DevstackError
from lfsproxy.settings import DEFAULTS

FAILED = 2
"""Exit status of every failure; each is said in one sentence."""
INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells count SIGINT."""


def _option(name: str, kind: Any, default: Any, text: str) -> Callable[[Any], Any]:
    """An option with the variable ``LFS_DEMO_NAME``, as make passes no options."""
    variable = "LFS_DEMO_" + name.upper().replace("-", "_")
    return click.option(
        f"--{name}",
        type=kind,
        default=default,
        show_default=True,
        envvar=variable,
        show_envvar=True,
        help=text,
    )


_PORT = click.IntRange(1, 65000)
_SIZE = click.IntRange(1)


@click.command()
@click.option("--once", is_flag=True, envvar="DEMO_ONCE", show_envvar=True, help="End after the round.")
@_option("kafka", str, "", "Bootstrap address of a Kafka of your own, instead of starting one.")
@_option(
    "s3-endpoint", str, "", "URL of an S3 server of your own; credentials come from the usual AWS places."
)
@_option("bucket", str, DEFAULTS.s3_bucket, "The bucket; with --s3-endpoint it must exist.")
@_option("http-port", _PORT, DEFAULTS.http_addr.port, "Port of the proxy's HTTP API.")
@_option(
    "proxy-port",
    _PORT,
    DEFAULTS.kafka_addr.port,
    "Port of the proxy for Kafka clients; brokers' ports follow it.",
)
@_option("metrics-port", _PORT, DEFAULTS.metrics_addr.port, "Port of the proxy's metrics.")
@_option("kafka-port", _PORT, DEFAULTS.kafka_brokers[0].port, "Port of the Kafka that is started.")
@_option("s3-port", _PORT, 9000, "Port of the S3 server that is started.")
@_option(
    "data", click.Path(path_type=Path), None, "Folder for the servers' data, kept. Else it is temporary."
)
@_option("folder", click.Path(path_type=Path), ".", f"Where {FILE_NAME} is, or is written.")
@_option("file-size", _SIZE, 64 * MIB, f"Bytes of {FILE_NAME}.")
@_option("record-size", _SIZE, 16 * MIB, "Bytes of the large record.")
@_option("whole-size", _SIZE, 30_000_000, "Bytes of the record whose consumer knows nothing of S3.")
def demo(once: bool, folder: Path, **plan: Any) -> None:
    """Start Kafka, an S3 server and the proxy, send a round of records through, and stay up until Ctrl-C."""
    screen = Screen()
    status = _run(Plan(**plan), screen, folder.expanduser().absolute(), once)
    sys.exit(status)


def _run(plan: Plan, screen: Screen, folder: Path, once: bool) -> int:
    """The exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    servers = Servers(plan, screen)
    finished = False
    try:
        shown = Round(servers, screen, folder)
        shown.check_folder()
        screen.heading("Starting Kafka, S3 and the LFS Proxy")
        servers.check_machine()
        servers.fetch()
        servers.start()
        shown.run()
        UnawareRound(servers, screen).run()
        finished = True
        if once:
            screen.heading("The round is complete.")
            return 0
        _invite(servers, screen, folder)
        _stay(servers)
    except DevstackError as error:
        click.echo(f"Error: {error}", err=True)
        return FAILED
    except KeyboardInterrupt:
        screen.heading("Ending")
        return 0 if finished else INTERRUPTED
    finally:
        # A second Ctrl-C does not wait for anything.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: servers.kill())
        servers.close()
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _stay(servers: Servers) -> None:
    """Until interrupted. Raises DevstackError when a server ends by itself."""
    while True:
        time.sleep(1)
        if sentence := servers.ended():
            raise DevstackError(sentence)


def _invite(servers: Servers, screen: Screen, folder: Path) -> None:
    screen.heading("Everything is up. Ctrl-C ends it.")
    for name, text in places(servers):
        screen.say(f"{name:<14} {text}")
    screen.heading("For another terminal: paste these lines first")
    for line in exports(servers, folder):
        screen.say(line)
    screen.heading("Then try")
    for line in commands(servers):
        screen.say(line)

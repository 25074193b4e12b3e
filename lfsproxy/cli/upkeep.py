"""The frame of the upkeep commands: the proxy's settings as options, a coroutine in the reactor, its result.

    @upkeep("Look for what is wrong.")
    @click.option("--topics", default="*")
    async def fsck(job: Job, topics: str) -> Ended: ...

Exit status: 0 clean, 1 findings, 2 could not run; see ``lfsproxy.cli.failures`` for the others.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from functools import wraps
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, cast

import attrs
import click
from twisted.logger import ILogObserver, globalLogBeginner

from lfsproxy.cli.console import Screen
from lfsproxy.cli.running import blocking_for_a_person, run_until_done
from lfsproxy.log.file import at_least
from lfsproxy.metrics import PrometheusMetrics
from lfsproxy.settings import LoadedSettings, Settings, flag, load_settings, setting_table, unknown_variables

if TYPE_CHECKING:
    from lfsproxy.interfaces import IMetrics

FINDINGS = 1
_SETTING = "setting_"
"""What the parameters of settings begin with, so that a command's own cannot be mistaken for one."""


@attrs.frozen
class Ended:
    """How a command ended. ``summary`` is what --json prints, ``text`` what is printed without it."""

    findings: bool
    summary: Mapping[str, Any]
    text: str


@attrs.frozen
class Job:
    """What a command is given: the settings, the reactor that runs it, and where to speak to people.

    ``environment`` is what ``make_store`` and others look at besides the settings; ``shows_bugs``: whether
    tracebacks are wanted. What the command makes (a store, connections), it has to close, also when it is
    cancelled.
    """

    reactor: Any
    loaded: LoadedSettings
    environment: Mapping[str, str]
    metrics: IMetrics
    screen: Screen
    as_json: bool
    shows_bugs: bool = False

    @property
    def settings(self) -> Settings:
        return self.loaded.settings

    def ask(self, question: str) -> str:
        """A person's answer, a line of standard input; "" where that has ended. Everything else waits.

        Not within ``screen.bars``. Raises KeyboardInterrupt.
        """
        self.screen.note(question)
        with blocking_for_a_person():
            return sys.stdin.readline().strip()


Function = Callable[..., Coroutine[Any, Any, Ended]]


def upkeep(short_help: str) -> Callable[[Function], click.Command]:
    """Make a command of a coroutine function, which is given a Job and its own options.

    Its docstring is the help. Whatever it raises is told as of any command, but with status 2.
    """

    def decorate(function: Function) -> click.Command:
        @wraps(function)
        def callback(as_json: bool, quiet: bool, **arguments: Any) -> None:
            flags = {name: arguments.pop(_SETTING + name, None) for name in setting_table()}
            job = _job(load_settings(os.environ, flags), Screen(quiet), as_json)
            ended = run_until_done(job.reactor, lambda: function(job, **arguments))
            job.screen.say(json_line(ended.summary) if as_json else ended.text)
            if ended.findings:
                raise click.exceptions.Exit(FINDINGS)

        command = click.command(short_help=short_help, epilog=_EPILOG)(callback)
        command.params += [
            click.Option(["--json", "as_json"], is_flag=True, help="One JSON object as the last line."),
            click.Option(["-q", "--quiet"], is_flag=True, help="Show no progress."),
        ]
        taken = {each for param in command.params for each in param.opts}
        # LFS_TOPICS has no flag where --topics is the command's own.
        settings = (name for name in setting_table() if f"--{flag(name)}" not in taken)
        command.params += [_setting_option(name) for name in settings]
        return command

    return decorate


_EPILOG = (
    "Settings are those of the proxy: from the same LFS_ variables, or from the same options, which win "
    "(lfsproxy serve --help lists them). Exit status: 0 clean, 1 findings, 2 could not run."
)


def _setting_option(name: str) -> click.Option:
    """As ``twistd lfsproxy`` has it: a flag with a value, which ``load_settings`` reads."""
    return click.Option([f"--{flag(name)}", _SETTING + name], hidden=True)


def json_line(value: Mapping[str, Any]) -> str:
    """A JSON object on one line, whatever characters a client has put there."""
    return json.dumps(value, ensure_ascii=True)


def _job(loaded: LoadedSettings, screen: Screen, as_json: bool) -> Job:
    from twisted.internet import reactor

    level = loaded.settings.log_level if "log_level" in loaded.given else "warn"
    globalLogBeginner.beginLoggingTo(
        [at_least(level, cast(ILogObserver, screen.observe))], discardBuffer=True, redirectStandardIO=False
    )
    for name, meant in unknown_variables(os.environ).items():
        screen.note(f"{name} is set, but no setting{f' (is {meant} meant?)' if meant else ''}")
    shows_bugs = level == "debug" or bool(click.get_current_context().find_root().params.get("debug"))
    metrics = PrometheusMetrics(version("lfsproxy"))
    return Job(reactor, loaded, os.environ, metrics, screen, as_json, shows_bugs)

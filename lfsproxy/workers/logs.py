"""Lines of the log that name their worker, and the way of a worker's lines through its parent.

A worker writes to the standard output that it has from its parent, as the settings say. Where twistd writes
the log elsewhere (a file that it rotates, syslog, an observer of the user's own), only the parent may: then
each event goes there as a line of JSON, and the parent logs it as its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, cast

from twisted.logger import (
    ILogObserver,
    LogEvent,
    eventAsJSON,
    eventFromJSON,
    globalLogPublisher,
    textFileLogObserver,
)
from zope.interface import provider

from lfsproxy.log.file import Log, json_observer
from lfsproxy.logs import Logger
from lfsproxy.settings import Settings
from lfsproxy.words import error_text

_log = Logger()


def goes_to_stdout(twistd: Mapping[str, Any]) -> bool:
    """Whether twistd's options let the log go to standard output."""
    elsewhere = twistd.get("logger") or twistd.get("syslog") or twistd.get("logfile") not in {None, "", "-"}
    return bool(twistd.get("nodaemon")) and not elsewhere


def worker_log(settings: Settings, index: int, events: bool) -> Log:
    """What observes a worker's log; ``events``: for the parent."""
    if events:
        own = events_observer(sys.stdout)
    elif settings.log_format == "json":
        own = json_observer(sys.stdout)
    else:
        own = textFileLogObserver(sys.stdout)
    return Log(settings.log_level, named(index, own))


def named(index: int, observer: ILogObserver) -> ILogObserver:
    """The observer, for events that name the worker: in the text's brackets, and as a field."""

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        level = event.get("log_level")
        usual = f"{event.get('log_namespace') or '-'}#{'info' if level is None else level.name}"
        system = f"worker {index} {event.get('log_system') or usual}"
        fields = {"worker": index, **event.get("fields", {})}
        observer({**event, "log_system": system, "fields": fields})

    return cast(ILogObserver, observe)


def events_observer(file: Any) -> ILogObserver:
    """Writes each event as a line that ``EventLines`` reads."""

    @provider(ILogObserver)
    def observe(event: LogEvent) -> None:
        if "log_failure" in event:
            # JSON knows no exceptions, only their text.
            failure = copy(event["log_failure"])
            failure.value = error_text(failure.value)
            event = {**event, "log_failure": failure}
        file.write(eventAsJSON(event) + "\n")
        file.flush()

    return cast(ILogObserver, observe)


class EventLines:
    """What a worker writes, as it arrives: each line is an event, which is logged here as it was there.

    A line that is none (of the interpreter, when it ends) is logged as a text.
    """

    def __init__(self, index: int, publish: Callable[[LogEvent], None] = globalLogPublisher) -> None:
        self._index = index
        self._publish = publish
        self._read = b""

    def __call__(self, data: bytes) -> None:
        *lines, self._read = (self._read + data).split(b"\n")
        for line in lines:
            self._log(line.decode(errors="replace"))

    def _log(self, line: str) -> None:
        try:
            event = eventFromJSON(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            _log.warn("worker {index}: {line}", index=self._index, line=line)
            return
        self._publish(event)

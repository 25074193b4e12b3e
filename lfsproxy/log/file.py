"""How twistd writes the log: from LFS_LOG_LEVEL on, as text or as one JSON object on each line.

Every JSON line has time (UTC), level, logger, message, peer where it is about a client, and error, a
traceback, where there is one. Lines about uploads, downloads and requests have the fields of
lfsproxy.log.uploads, lfsproxy.log.downloads and lfsproxy.web.site besides; ``event`` names which.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, cast

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LegacyLogObserverWrapper,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
)
from twisted.scripts._twistd_unix import UnixAppLogger
from zope.interface import implementer

from lfsproxy.log.repeats import Repeats
from lfsproxy.settings import Settings

FLUSH_SECONDS = 10.0
"""Between two looks at which lines were left out, as they repeat."""


@implementer(ILogObserver)
class Log:
    """What observes the log: events of at least a level, without those that repeat (lfsproxy.log.repeats)."""

    def __init__(self, level: str, observer: ILogObserver) -> None:
        self.repeats = Repeats(observer)
        self._observe = at_least(level, self.repeats)
        self._flushes = LoopingCall(self._flush)

    def __call__(self, event: LogEvent) -> None:
        self._observe(event)

    def start(self, clock: IReactorTime) -> None:
        """Tell from now on, every few seconds, what was left out."""
        self._flushes.clock = clock
        self._flushes.start(FLUSH_SECONDS, now=False)

    def stop(self) -> None:
        """Tell what was left out up to now, for the last time."""
        if self._flushes.running:
            self._flushes.stop()
        self._flush(all=True)

    def _flush(self, all: bool = False) -> None:
        # A log that cannot be written now (its disk is full) may be later; then it has to go on.
        with suppress(OSError):
            self.repeats.flush(all)


def log_observer(settings: Settings, twistd: Mapping[str, Any]) -> Log | None:
    """What is to observe the log in place of twistd's own observer; ``twistd`` are twistd's options.

    None where twistd was told an observer (--logger): that one gets everything. Where it was told to log to
    syslog, the format stays.
    """
    if twistd.get("logger"):
        return None
    own = UnixAppLogger(twistd)._getLogObserver()
    if not ILogObserver.providedBy(own):
        own = LegacyLogObserverWrapper(own)
    elif settings.log_format == "json":
        own = json_observer(cast(Any, own)._outFile)
    return Log(settings.log_level, own)


def at_least(level: str, observer: ILogObserver) -> ILogObserver:
    """The observer, for events of at least that level."""
    predicate = LogLevelFilterPredicate(LogLevel.lookupByName(level))
    return cast(ILogObserver, FilteringLogObserver(observer, [predicate]))


def json_observer(file: Any) -> ILogObserver:
    """Writes each event as one JSON object on a line of its own."""
    return cast(ILogObserver, FileLogObserver(file, json_line))


def json_line(event: LogEvent) -> str:
    """An event as one JSON object and a line end."""
    time = datetime.fromtimestamp(event.get("log_time", 0.0), UTC)
    level = event.get("log_level")
    line: dict[str, Any] = {
        "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": "info" if level is None else level.name,
        "logger": event.get("log_namespace") or "-",
        "message": formatEvent(event),
        **({"peer": str(event["peer"])} if event.get("peer") else {}),
        **{name: value for name, value in event.get("fields", {}).items() if value not in (None, "")},
    }
    failure = event.get("log_failure")
    if failure is not None:
        line["error"] = failure.getTraceback()
    return json.dumps(line) + "\n"

"""Lines that repeat: the first few of a minute are written, then one that says how many more there were.

    … and 11150 more like it from 10.0.0.1 in 60 s, the last: the connection of Kafka client app-1 …

Two rules. An event with a ``peer`` is about a client: it is counted by its kind and by the peer's host. Its
kind is the text without its values, and ``kind`` where the event has one, in which only words count: of an
error's text neither numbers nor what it quotes. Any other event counts by its kind where it says one (as
the lines of a library do), else by its whole text, so that a line about the proxy's state is left out only
if it says again what was just said. An event that has ``fields`` and no ``peer`` is never left out: a line
about an upload, a download, or a request that was served.

Memory is bounded: of the pairs of kind and host that are counted, the one that was met longest ago is
dropped, and what it has left out goes to those of all hosts together. Called by any thread.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import RLock
from typing import Any

import attrs
from twisted.logger import ILogObserver, LogEvent, formatEvent
from zope.interface import implementer

from lfsproxy.net.peers import host_of
from lfsproxy.words import error_text

FEW = 10
"""Lines of one kind and host that are written within WINDOW_SECONDS."""
MANY = 100
"""Lines of one text without its values, of all hosts and kinds together, within WINDOW_SECONDS."""
WINDOW_SECONDS = 60.0
MOST_COUNTED = 1000
"""Pairs of kind and host that are counted: well below 1 MiB."""
_MOST_TEXT = 500
"""Characters that are shown of the last line that was left out."""
_EVERYBODY = "several clients"
_OF_TEXT = 3
"""How much of a key says which text it is."""
_VALUES = re.compile(r"'[^']*'|[0-9]+")


@attrs.define(eq=False)
class _Count:
    """Lines since ``began``: ``seen`` of them, of which ``left_out`` were not written."""

    began: float
    seen: int = 0
    left_out: int = 0
    host: str = ""
    text: str = ""
    level: Any = None
    namespace: str = ""


@implementer(ILogObserver)
class Repeats:
    """Gives events to ``observer``, but for those that repeat. ``now`` tells seconds.

    ``flush`` has to be called now and then: it writes how many were left out since.
    """

    def __init__(self, observer: ILogObserver, now: Callable[[], float] = time.monotonic) -> None:
        self._observer = observer
        self._now = now
        self._counts: OrderedDict[Hashable, _Count] = OrderedDict()
        # Where the collector of garbage logs an error of a Deferred, it may do so in the midst of a count.
        self._lock = RLock()
        self._counting = False

    def __call__(self, event: LogEvent) -> None:
        if "fields" in event and "peer" not in event:
            self._observer(event)
            return
        with self._lock:
            told: list[_Count] = []
            is_left_out = not self._counting and self._count_in(event, told)
        self._tell(told)
        if not is_left_out:
            self._observer(event)

    def flush(self, all: bool = False) -> None:
        """Tell what was left out in the minutes that are over; with ``all`` in those too that are not."""
        now = self._now()
        with self._lock:
            self._counting = True
            over = [key for key, count in self._counts.items() if all or now - count.began >= WINDOW_SECONDS]
            told = [self._counts.pop(key) for key in over]
            self._counting = False
        self._tell(told)

    @property
    def counted(self) -> int:
        """How many pairs of kind and host are counted."""
        return len(self._counts)

    def _count_in(self, event: LogEvent, told: list[_Count]) -> bool:
        self._counting = True
        try:
            return self._is_left_out(event, told)
        finally:
            self._counting = False

    def _is_left_out(self, event: LogEvent, told: list[_Count]) -> bool:
        kind = (event.get("log_namespace"), event.get("log_level"))
        words = _VALUES.sub("", str(event.get("kind", "")))
        if "peer" not in event and words:
            return self._is_beyond(event, (*kind, event.get("log_format"), words), "", FEW, told)
        if "peer" not in event:
            failure = event.get("log_failure")
            text = (
                f"{formatEvent(event)} {error_text(failure.value)}"
                if failure is not None
                else formatEvent(event)
            )
            return self._is_beyond(event, (*kind, text), "", FEW, told)
        of_text = (*kind, event.get("log_format"))
        host = host_of(str(event["peer"]))
        return self._is_beyond(event, (*of_text, words, host), host, FEW, told) or self._is_beyond(
            event, of_text, _EVERYBODY, MANY, told
        )

    def _is_beyond(
        self, event: LogEvent, key: tuple[Any, ...], host: str, most: int, told: list[_Count]
    ) -> bool:
        count = self._count(key, host, told)
        count.seen += 1
        if count.seen <= most:
            return False
        count.left_out += 1
        count.text = formatEvent(event)[:_MOST_TEXT]
        count.level, count.namespace = event.get("log_level"), event.get("log_namespace", "-")
        return True

    def _count(self, key: tuple[Any, ...], host: str, told: list[_Count]) -> _Count:
        now = self._now()
        count = self._counts.get(key)
        if count is not None and now - count.began < WINDOW_SECONDS:
            self._counts.move_to_end(key)
            return count
        if count is not None:
            told.append(self._counts.pop(key))
        self._counts[key] = count = _Count(now, host=host)
        if len(self._counts) > MOST_COUNTED:
            self._drop(told)
        return count

    def _drop(self, told: list[_Count]) -> None:
        key, dropped = self._counts.popitem(last=False)
        assert isinstance(key, tuple)
        if not dropped.left_out:
            return
        of_all = self._counts.get(key[:_OF_TEXT]) if len(key) > _OF_TEXT else None
        if of_all is None:
            told.append(dropped)
        else:
            of_all.left_out += dropped.left_out
            of_all.text, of_all.level = dropped.text, dropped.level
            of_all.namespace = dropped.namespace

    def _tell(self, counts: list[_Count]) -> None:
        for count in counts:
            if not count.left_out:
                continue
            seconds = min(self._now() - count.began, WINDOW_SECONDS)
            self._observer(
                {
                    "log_time": time.time(),
                    "log_level": count.level,
                    "log_namespace": count.namespace,
                    "log_source": None,
                    "log_format": "… and {count} more like it{whose} in {seconds:.0f} s, the last: {text}",
                    "count": count.left_out,
                    "whose": f" from {count.host}" if count.host else "",
                    "seconds": seconds,
                    "text": count.text,
                    "fields": {
                        "event": "repeated",
                        "count": count.left_out,
                        "seconds": round(seconds),
                        "peer": count.host,
                    },
                }
            )

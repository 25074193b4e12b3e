"""What gc and fsck have in common: how their options are written, and what reads the topics."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from lfsproxy.backends import Backends
from lfsproxy.errors import SettingError
from lfsproxy.interfaces import ILogReading
from lfsproxy.quoting import quoted
from lfsproxy.settings import quantities
from lfsproxy.settings.kinds import TOPICS

F = TypeVar("F", bound=Callable[..., Any])

_AGE = quantities.time(zero=True)
_MOST_PARTITION = 2**31 - 1
_TIME_NEEDED = "a time such as 2026-11-28T08:00:00Z, or how long ago, such as 24h, is needed"


async def reading_of(backends: Backends) -> ILogReading:
    """What reads the topics, once Kafka has given a sign of life: so a wrong address is told soon.

    Raises SettingError where the proxy may not ask Kafka anything by itself, LfsError where Kafka is away.
    """
    if backends.reading is None:
        raise SettingError(
            "the proxy has no sign-in of its own (LFS_KAFKA_SASL_MECHANISM is empty): topics cannot be read"
        )
    await backends.publisher.check()
    return backends.reading


class AgeType(click.ParamType[float]):
    """Seconds, written as times in settings are: 90m, 24h, 7d."""

    name = "age"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        try:
            age: float = _AGE(str(value))
        except ValueError as error:
            self.fail(f"{quoted(str(value))}: {error}", param, ctx)
        return age


class TopicsType(click.ParamType[Sequence[str]]):
    """Globs with commas between them, as LFS_TOPICS is written; "" is for none where ``may_be_empty``."""

    name = "globs"

    def __init__(self, may_be_empty: bool = False) -> None:
        self._may_be_empty = may_be_empty

    def convert(self, value: Any, param: Any, ctx: Any) -> Sequence[str]:
        if isinstance(value, tuple):
            return value
        if self._may_be_empty and not str(value).strip():
            return ()
        try:
            topics: Sequence[str] = TOPICS(str(value))
        except ValueError as error:
            self.fail(f"{quoted(str(value))}: {error}", param, ctx)
        return topics


def topics_option(to_do: str) -> Callable[[F], F]:
    """``--topics``, all unless it is given. ``to_do`` is what a command does with them."""
    return click.option(
        "--topics",
        type=TopicsType(),
        default="*",
        show_default=True,
        metavar="GLOBS",
        help=f"Topics to {to_do}, with commas between them; a ! before those that are left out.",
    )


class TimeType(click.ParamType[tuple[str, int]]):
    """A time of ISO 8601, UTC unless it says otherwise, or how long ago: as given, and in milliseconds."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        text = str(value).strip()
        ago = quantities.read_time(text) if re.search(r"[a-zA-Z]$", text) else None
        if ago is not None:
            return text, int((time.time() - ago) * 1000)
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"{quoted(text)}: {_TIME_NEEDED}", param, ctx)
        when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
        return text, int(when.timestamp() * 1000)


class PartitionsType(click.ParamType[tuple[str, Collection[int]]]):
    """Numbers and ranges, as 0,4-7."""

    name = "numbers"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, Collection[int]]:
        if isinstance(value, tuple):
            return value
        text = str(value).replace(" ", "")
        numbers: set[int] = set()
        for part in text.split(","):
            found = re.fullmatch(r"(\d{1,10})(?:-(\d{1,10}))?", part, re.ASCII)
            if found is None:
                self.fail(f"{quoted(text)}: numbers and ranges such as 0,4-7 are needed", param, ctx)
            low, high = int(found[1]), int(found[2] or found[1])
            if not low <= high <= _MOST_PARTITION or high - low > 1_000_000:
                self.fail(f"{quoted(part)} is no range of partitions", param, ctx)
            numbers.update(range(low, high + 1))
        return text, numbers

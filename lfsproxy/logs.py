"""The logger of every module: twisted.logger's, through which no control character from outside gets.

Names, headers and other parties' messages are in many events, and a line feed in one of them would begin a
line of its own in the log. So each value of an event is shown as ``quoting.shown`` does, whoever logs it.
"""

from __future__ import annotations

from typing import Any

from twisted import logger
from twisted.python.failure import Failure

from lfsproxy.quoting import shown

_MOST = 4000
"""Characters of one value in the log."""
_AS_THEY_ARE = (int, float, bytes, Failure, type(None))


class Logger(logger.Logger):
    """Used as twisted.logger.Logger is."""

    def emit(self, level: Any, format: str | None = None, **values: Any) -> None:
        super().emit(level, format, **{name: _shown(value) for name, value in values.items()})


def _shown(value: object) -> object:
    """A value as it is where its text is one printable line, else that text for people."""
    if isinstance(value, _AS_THEY_ARE):
        return value
    if isinstance(value, dict):
        # Fields, whose form is the observer's: each is short enough by itself.
        return {name: each[:_MOST] if isinstance(each, str) else each for name, each in value.items()}
    text = str(value)
    safe = shown(text, _MOST)
    return value if safe == text else safe

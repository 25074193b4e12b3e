"""How what somebody else wrote is shown to people, whatever its bytes.

In a sentence it is ``quoted``, as a person would write it. Where it stands by itself, as a client's id or a
line of the log, it is ``shown``: what is printable stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable

MOST = 80
"""Characters of a value that are shown: enough to know it by."""

_MOST_OF_A_SETTING = 500
_NO_CHARACTER = "\N{REPLACEMENT CHARACTER}"
_CONTROLS = {**{code: chr(0x2400 + code) for code in range(32)}, 127: "\N{SYMBOL FOR DELETE}"}


def quoted(value: str | bytes, most: int = MOST) -> str:
    """The value in quotes, at most ``most`` characters of it.

    A control character is shown by its picture, what is no character at all by a replacement character.
    """
    text = _text(value, most, "replace")
    return f"'{_written(text[:most], _picture)}{'…' if len(text) > most else ''}'"


def printable(text: str) -> str:
    """The text on one line, with what cannot be printed shown as in quotes."""
    return _written(text, _picture)


def quoted_setting(value: str) -> str:
    """The value of a setting in quotes: longer, as the end of a path may be what is wrong."""
    return quoted(value, _MOST_OF_A_SETTING)


def shown(name: str | bytes | None, most: int = 250) -> str | None:
    """A name of somebody else's for people: on one line, without control characters, and not too long.

    What is not printable (control characters, separators of lines, marks of direction, what was not UTF-8) is
    written as Python's own escapes.
    """
    return None if name is None else _written(_text(name, most, "surrogateescape")[:most], _escape)


def _text(value: str | bytes, most: int, errors: str) -> str:
    """The value as text: if it is bytes, one character more than ``most``, to show that there are more."""
    # No character of UTF-8 is longer than four bytes.
    return value if isinstance(value, str) else str(value[: 4 * (most + 1)], "utf-8", errors)


def _written(text: str, write: Callable[[str], str]) -> str:
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else write(each) for each in text)


def _picture(character: str) -> str:
    return _CONTROLS.get(ord(character), _NO_CHARACTER)


def _escape(character: str) -> str:
    return ascii(character)[1:-1]

"""How what somebody else wrote is shown to people, whatever its bytes.

In a sentence it is ``quoted``, as a person would write it. Where it stands by itself, as a client's id or a
line of the log, it is ``shown``: what is printable stays as it is.
"""

from __future__ import annotations

MOST = 80
"""Characters of a value that are shown: enough to know it by."""

_MOST_OF_A_SETTING = 500
_NO_CHARACTER = "\N{REPLACEMENT CHARACTER}"
_CONTROLS = {**{code: chr(0x2400 + code) for code in range(32)}, 127: "\N{SYMBOL FOR DELETE}"}


def quoted(value: str | bytes, most: int = MOST) -> str:
    """The value in quotes, at most ``most`` characters of it.

    A control character is shown by its picture, what is no character at all by a replacement character.
    """
    # No character of UTF-8 is longer than four bytes.
    text = value if isinstance(value, str) else value[: 4 * (most + 1)].decode("utf-8", "replace")
    letters = "".join(map(_picture, text[:most]))
    return f"'{letters}{'…' if len(text) > most else ''}'"


def printable(text: str) -> str:
    """The text on one line, with what cannot be printed shown as in quotes."""
    return "".join(map(_picture, text))


def quoted_setting(value: str) -> str:
    """The value of a setting in quotes: longer, as the end of a path may be what is wrong."""
    return quoted(value, _MOST_OF_A_SETTING)


def shown(name: str | bytes | None, most: int = 250) -> str | None:
    """A name of somebody else's for people: on one line, without control characters, and not too long.

    What is not printable (control characters, separators of lines, marks of direction, what was not UTF-8) is
    written as Python's own escapes.
    """
    text = str(name, "utf-8", "surrogateescape") if isinstance(name, bytes) else name
    if text is None or (text.isprintable() and len(text) <= most):
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text[:most])


def _picture(character: str) -> str:
    if character.isprintable():
        return character
    return _CONTROLS.get(ord(character), _NO_CHARACTER)

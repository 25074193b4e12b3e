"""How a value that somebody sent is shown in a sentence: as a person would write it, whatever its bytes."""

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
    shown = "".join(map(_shown, text[:most]))
    return f"'{shown}{'…' if len(text) > most else ''}'"


def printable(text: str) -> str:
    """The text on one line, with what cannot be printed shown as in quotes."""
    return "".join(map(_shown, text))


def quoted_setting(value: str) -> str:
    """The value of a setting in quotes: longer, as the end of a path may be what is wrong."""
    return quoted(value, _MOST_OF_A_SETTING)


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return _CONTROLS.get(ord(character), _NO_CHARACTER)

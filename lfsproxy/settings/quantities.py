"""Sizes in bytes and times in seconds, with or without a unit: 65536, 64k, 128MiB, 10GB; 30, 30s, 1h30m.

A unit of sizes is read as GNU's tools do: k, M, G, T and KiB, MiB, GiB, TiB are powers of 1024; kB, MB, GB,
TB of 1000. Capitals do not matter.
"""

from __future__ import annotations

import re
from decimal import Decimal

from lfsproxy.settings.kinds import Kind, Needed

MIB = 1024 * 1024
MOST_BYTES = 2**63 - 1
"""Bytes that a size may be: what 64 bits hold, as file sizes do."""
MOST_SECONDS = 365 * 24 * 3600
"""Seconds that a time may be: a year, as nobody waits longer."""

_PREFIXES = "kmgt"
_SECONDS = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(24 * 3600),
}


def read_size(text: str) -> int | None:
    """Bytes; None where the text is no size."""
    found = re.fullmatch(r"([0-9]{1,19}(?:\.[0-9]{1,9})?) ?(?:([kmgt])(i|ib|b)?|b)?", text.strip(" ").lower())
    if not found:
        return None
    number, prefix, kind = found.groups()
    base = 1000 if kind == "b" else 1024
    value = Decimal(number) * (base ** (_PREFIXES.index(prefix) + 1) if prefix else 1)
    return int(value) if value == int(value) else None


def show_size(size: int) -> str:
    """A size as people write it, exactly."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if size and size % 1024**power == 0:
            return f"{size // 1024**power}{unit}"
    return str(size)


def read_time(text: str) -> float | None:
    """Seconds; None where the text is no time."""
    text = text.strip(" ").lower()
    if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,9})?", text):
        return float(text)
    if not re.fullmatch(r"([0-9]{1,15}(\.[0-9]{1,9})?(ms|s|m|h|d))+", text):
        return None
    parts = re.findall(r"([0-9.]+)(ms|s|m|h|d)", text)
    return float(sum((Decimal(number) * _SECONDS[unit] for number, unit in parts), Decimal(0)))


def show_time(seconds: float) -> str:
    """A time as people write it, in the largest unit that divides it."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % int(_SECONDS[unit]) == 0:
            return f"{int(seconds) // int(_SECONDS[unit])}{unit}"
    return f"{seconds:g}s" if seconds else "0"


def size(low: int, high: int = MOST_BYTES) -> Kind:
    """A size in a range, in bytes."""
    ends = f" to {show_size(high)}" if high < MOST_BYTES else ""
    allowed = f"a size from {show_size(low)}{ends}, such as 65536, 64k, 128MiB or 10GB,"

    def read(text: str) -> int:
        value = read_size(text)
        if value is None or not low <= value <= high:
            raise Needed(allowed)
        return value

    return Kind(allowed.rstrip(","), read, (show_size(low), str(low + 1)))


def time(zero: bool = False) -> Kind:
    """A time in seconds; ``zero``: also none at all."""
    lowest = "from 0" if zero else "above 0"
    allowed = f"a time {lowest}, at most {show_time(MOST_SECONDS)}, such as 30, 30s, 5m or 1h,"

    def read(text: str) -> float:
        value = read_time(text)
        if value is None or value > MOST_SECONDS or (value == 0 and not zero):
            raise Needed(allowed)
        return value

    return Kind(allowed.rstrip(","), read, ("90s", "1h30m"))

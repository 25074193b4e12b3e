"""How much memory a replica may take at most by its settings, and how much its control group
or the machine gives it."""

from __future__ import annotations

import re
from pathlib import Path

from lfsproxy.settings import Settings

MIB = 1024 * 1024
CONNECTIONS = 100
"""Kafka connections at once, and uploads by HTTP: no setting says how many there are."""


def memory_needed(settings: Settings, connections: int = CONNECTIONS, uploads: int = CONNECTIONS) -> int:
    """Bytes that one replica takes at most: the sum of docs/operate/sizing.md, which explains each term."""
    workers, passing = settings.workers, settings.max_passthrough_size
    held = settings.s3_part_size + passing
    history = max(8 * MIB, passing)
    return (
        workers * 112 * MIB
        + (52 * MIB if workers > 1 else 0)
        + settings.upload_memory
        + workers * (held + passing + 128 * MIB)
        + workers * 2 * history
        + workers * (settings.upload_memory // workers // held * history)
        + workers * 2 * 3 * (passing + MIB)
        + workers * 60 * MIB
        + connections * 6 * MIB
        + uploads * MIB // 4
    )


def memory_limit(root: Path = Path("/")) -> tuple[int, str] | None:
    """Bytes that this process may use, and whose word that is: the least of its control group, those around
    it, and the machine.

    None where none is known. ``root`` is where proc and sys are.
    """
    groups = root / "sys/fs/cgroup"
    # Within a container the group's own files are at the root, wherever the group is outside.
    files = {groups / "memory.max", groups / "memory/memory.limit_in_bytes"}
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        # Version 2 has one line, version 1 has one for each controller.
        if not controllers:
            files |= _with_those_around(groups, path, "memory.max")
        elif "memory" in controllers.split(","):
            files |= _with_those_around(groups / "memory", path, "memory.limit_in_bytes")
    found = [(size, "the control group allows") for size in map(_read, files) if size is not None]
    if total := re.search(r"(?m)^MemTotal: +(\d+) kB$", _text(root / "proc/meminfo")):
        found.append((int(total[1]) * 1024, "this machine has"))
    return min(found, default=None)


def _with_those_around(groups: Path, path: str, name: str) -> set[Path]:
    own = groups / path.lstrip("/")
    return {place / name for place in (own, *own.parents) if place.is_relative_to(groups)}


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def _read(file: Path) -> int | None:
    """A number of bytes; None where there is none, as "max" is. Version 1 says so by the largest it has."""
    text = _text(file).strip()
    return int(text) if text.isdecimal() and int(text) < 2**60 else None

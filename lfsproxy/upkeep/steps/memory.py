"""How much memory a replica may take at most by its settings, and how much its control group gives it."""

from __future__ import annotations

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


def memory_limit(root: Path = Path("/")) -> int | None:
    """Bytes that the control group of this process may use: the least of its own and those around it.

    None where there is no limit, or none is known. ``root`` is where proc and sys are.
    """
    groups = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
        # Version 2 has one line, version 1 has one for each controller.
        own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    except OSError:
        return None
    places = [groups / own, *(groups / own).parents]
    files = [place / "memory.max" for place in places if place.is_relative_to(groups)]
    found = [each for file in [*files, groups / "memory/memory.limit_in_bytes"] if (each := _read(file))]
    return min(found, default=None)


def _read(file: Path) -> int | None:
    """A number of bytes; None where there is none, as "max" is. Version 1 says so by the largest it has."""
    try:
        size = int(file.read_text())
    except (OSError, ValueError):
        return None
    return size if size < 2**60 else None

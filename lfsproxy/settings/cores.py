"""How many worker processes there are to be: a number, or ``auto``, one for each core that may be used."""

from __future__ import annotations

import os
from pathlib import Path

from lfsproxy.settings.kinds import Kind, Needed, whole

MOST_WORKERS = 64
_NUMBER = whole(1, MOST_WORKERS)


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use, as far as its control group gives it their time; at least 1.

    ``root`` is where proc and sys are. A quota of 1.5 cores counts as 1, so that workers are not throttled.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        # Only Linux and some others have it.
        cores = os.cpu_count() or 1
    return min(cores, _quota(root) or cores, MOST_WORKERS)


def _quota(root: Path) -> int | None:
    """Whole cores of cpu.max (control groups, version 2); None where there is no limit, or none is known."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
        group = next(line.removeprefix("0::/") for line in lines if line.startswith("0::/"))
        quota, period = (root / "sys/fs/cgroup" / group / "cpu.max").read_text().split()
        return max(1, int(quota) // int(period))
    except (OSError, StopIteration, ValueError):
        # "max 100000" is no limit.
        return None


def _read(text: str) -> int:
    if text.strip().lower() == "auto":
        return usable_cores()
    try:
        return int(_NUMBER(text))
    except ValueError:
        raise Needed(WORKERS.allowed) from None


WORKERS = Kind(f"a whole number from 1 to {MOST_WORKERS}, or auto", _read, ("2", "1", "auto"))

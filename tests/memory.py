"""How much memory a process has, as the kernel counts it (proc(5), status)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

NOW: Final = "VmRSS"
PEAK: Final = "VmHWM"
"""Unlike ru_maxrss, it does not begin with the peak of whoever started the process."""


def resident(pid: int | str, which: str = NOW) -> int:
    """Bytes of a process, of this one as "self". Raises LookupError where the kernel does not say."""
    return told(Path(f"/proc/{pid}/status").read_text(), which)


def told(status: str, which: str) -> int:
    """Bytes by what was read of /proc: for a process that has ended."""
    found = re.search(rf"^{which}:\s+(\d+) kB$", status, re.MULTILINE)
    if found is None:
        raise LookupError(f"/proc has no {which}")
    return int(found[1]) * 1024

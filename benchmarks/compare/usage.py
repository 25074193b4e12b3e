"""CPU time and memory of a process and all its children, by /proc."""

from __future__ import annotations

from pathlib import Path

import psutil

from tests.memory import PEAK, resident


class Usage:
    """From now until ``end``: the CPU seconds of a process tree, and its memory."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        for each in self._tree():
            # proc(5): the peak begins anew with what is resident now.
            Path(f"/proc/{each.pid}/clear_refs").write_text("5")
        self.base = sum(resident(each.pid) for each in self._tree())
        self._before = self._seconds()

    def end(self) -> tuple[float, int]:
        """CPU seconds since the beginning, and the most that was resident (of several: the sum of that)."""
        seconds = self._seconds() - self._before
        return seconds, sum(resident(each.pid, PEAK) for each in self._tree())

    def _tree(self) -> list[psutil.Process]:
        root = psutil.Process(self._pid)
        return [root, *root.children(recursive=True)]

    def _seconds(self) -> float:
        return sum(sum(each.cpu_times()[:2]) for each in self._tree())

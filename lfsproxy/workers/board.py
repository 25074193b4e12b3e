"""Numbers that all processes read and each writes in cells of its own, in a file that is mapped into each.

Row 0 has process ids: a cell for each worker, and one behind them for the parent. Each row below belongs to
a port: a cell for each worker, with its open connections, or ABSENT where it does not serve the port.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import attrs

NAME = "board"
ABSENT = -1
MOST_PORTS = 512
"""Rows for ports. A port beyond them is served as well, its connections fall as they may."""


def remove_abandoned(folders: Iterable[Path]) -> None:
    """Remove folders whose board no process has open: those of a fleet that was killed to the last one."""
    for folder in folders:
        try:
            with open(folder / NAME, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if folder.lstat().st_uid == os.getuid():
                    shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # It is used, is not for us, or has no board yet.


@attrs.frozen
class Cells:
    """A port's row, as one worker uses it."""

    _cells: memoryview
    _start: int
    _workers: int
    _index: int

    @property
    def ahead(self) -> int:
        """By how many connections this worker has more than the one with the fewest."""
        row = self._cells[self._start : self._start + self._workers]
        own = row[self._index]
        return int(own - min((each for each in row if each != ABSENT), default=own))

    def serve(self) -> None:
        """From now on this worker serves the port."""
        self._cells[self._start + self._index] = 0

    def leave(self) -> None:
        """From now on this worker takes no connection there."""
        self._cells[self._start + self._index] = ABSENT

    def count(self, change: int) -> None:
        """A connection was taken (+1) or has ended (-1)."""
        if self._cells[self._start + self._index] != ABSENT:
            self._cells[self._start + self._index] += change


class Board:
    """The file ``board`` in ``folder``, which the parent makes (``create``) before its workers open it.

    Whoever has it open holds a lock that others may hold too: so a folder that nobody uses can be told.
    """

    def __init__(self, folder: str, workers: int) -> None:
        self._workers = workers
        self._file = open(Path(folder, NAME), "r+b")  # noqa: SIM115  # the lock lasts as long as the process
        fcntl.flock(self._file, fcntl.LOCK_SH)
        self._cells = memoryview(mmap.mmap(self._file.fileno(), 0)).cast("i")

    @classmethod
    def create(cls, folder: str, workers: int) -> Board:
        """A new board, with the caller as the parent."""
        cells = memoryview(bytearray((1 + MOST_PORTS) * (workers + 1) * 4)).cast("i")
        for at in range(workers + 1, len(cells)):
            cells[at] = ABSENT
        cells[workers] = os.getpid()
        # It has its name only when it is locked: no other parent may take it for a file that nobody uses.
        with open(Path(folder, f"{NAME}.new"), "wb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            file.write(cells)
            file.flush()
            os.rename(file.name, Path(folder, NAME))
            return cls(folder, workers)

    @property
    def parent(self) -> int:
        """The parent's process id."""
        return self._cells[self._workers]

    @property
    def running(self) -> list[int]:
        """Process ids of the workers that run."""
        return [pid for pid in self._cells[: self._workers] if pid]

    def began(self, index: int, pid: int) -> None:
        """A worker's process was started."""
        self._cells[index] = pid

    def ended(self, index: int) -> None:
        """A worker's process has ended: it has no connection any more."""
        self._cells[index] = 0
        for at in range(self._workers + 1 + index, len(self._cells), self._workers + 1):
            self._cells[at] = ABSENT

    def port(self, number: int, index: int) -> Cells | None:
        """A port's cells as the worker ``index`` uses them; None beyond MOST_PORTS."""
        if number >= MOST_PORTS:
            return None
        return Cells(self._cells, (1 + number) * (self._workers + 1), self._workers, index)

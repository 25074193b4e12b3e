"""Ends the servers when the process that started them is gone, even by SIGKILL.

A server runs in a session of its own, so that Ctrl-C reaches only the program that started it, which then
stops the servers in order. That program may die without doing so; then the *keeper*, one small process per
program, reads the end of its standard input and kills what is left. (Linux's PR_SET_PDEATHSIG would not do:
it acts when the starting *thread* ends, and test runners end theirs after each test.)

Run as a script, this file is the keeper: it imports nothing but the standard library. Its input is lines
``+ process-group`` and ``- process-group``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from typing import IO


class Leash:
    """This program's end of the keeper. Thread-safe; the keeper starts with the first ``hold``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keeper: subprocess.Popen[str] | None = None
        self._owner = 0

    def hold(self, group: int) -> None:
        """From now on the process group ``group`` does not outlive this program."""
        self._tell(f"+ {group}\n")

    def release(self, group: int) -> None:
        """The process group has ended: its number may be given to another one."""
        self._tell(f"- {group}\n")

    def _tell(self, line: str) -> None:
        with self._lock:
            # A fork inherits this object but is not the one that the keeper watches.
            if self._keeper is None or self._owner != os.getpid() or self._keeper.poll() is not None:
                self._keeper = subprocess.Popen(
                    [sys.executable, "-I", "-S", __file__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    text=True,
                    bufsize=1,
                    start_new_session=True,
                )
                self._owner = os.getpid()
            stdin = self._keeper.stdin
            assert stdin is not None
            stdin.write(line)
            stdin.flush()


LEASH = Leash()


def keep(lines: IO[str]) -> None:
    """The keeper: read until the end of input, then kill every process group that is still held."""
    held: set[int] = set()
    for line in lines:
        sign, number = line.split()
        if sign == "+":
            held.add(int(number))
        else:
            held.discard(int(number))
    for group in held:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    keep(sys.stdin)

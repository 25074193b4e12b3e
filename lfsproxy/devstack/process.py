"""A server process: started in its own session, waited for, stopped, killed, paused and resumed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lfsproxy.devstack.errors import DevstackError
from lfsproxy.devstack.leash import LEASH

POLL = 0.05
"""Seconds between two looks at a server that starts or stops."""
TAIL_LINES = 12
"""Lines of a server's log that an error shows: about what fits on a screen with the error."""


class ServerProcess:
    """One child process whose output goes to ``log_path``. All methods block: not for a reactor."""

    def __init__(self, name: str, log_path: Path) -> None:
        self.name = name
        self.log_path = log_path
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; LookupError when it was never started or has been stopped."""
        if self._child is None:
            raise LookupError(f"{self.name} is not running")
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    def start(
        self,
        command: Sequence[str],
        *,
        ready: Callable[[], bool],
        timeout: float,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start ``command`` and return when ``ready()`` is true, as ``launch`` and ``wait`` do."""
        self.launch(command, cwd=cwd, env=env)
        self.wait(ready, timeout)

    def launch(
        self, command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        """Start ``command`` and return at once. Raises DevstackError where it cannot be run."""
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            try:
                self._child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=cwd,
                    env=None if env is None else dict(env),
                    start_new_session=True,
                )
            except OSError as error:
                raise DevstackError(
                    f"{self.name} cannot be started: {command[0]}: {error.strerror}."
                ) from error
        LEASH.hold(self._child.pid)

    def wait(self, ready: Callable[[], bool], timeout: float) -> None:
        """Return when ``ready()`` is true.

        Raises DevstackError when the process ends by itself, or is not ready after ``timeout`` seconds; it is
        ended then, and on any other exception.
        """
        try:
            self._wait_ready(ready, timeout)
        except BaseException:
            # Also on KeyboardInterrupt: nobody else may know of this process yet.
            self.kill()
            raise

    def _wait_ready(self, ready: Callable[[], bool], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not ready():
            # What ends by itself may have become ready with its end.
            if not self.running and not ready():
                assert self._child is not None
                raise DevstackError(
                    f"{self.name} ended by itself with status {self._child.returncode} before it was ready; "
                    f"the end "
                    f"of its log {self.log_path}:\n{self.tail()}"
                )
            if time.monotonic() > deadline:
                raise DevstackError(
                    f"{self.name} is not ready after {timeout:.0f} s; the end of its log "
                    f"{self.log_path}:\n{self.tail()}"
                )
            time.sleep(POLL)

    def run(self, command: Sequence[str], *, timeout: float) -> None:
        """Run ``command`` to its end. Raises DevstackError when its status is not 0 or it takes too long."""
        self.start(
            command, ready=lambda: self._child is not None and self._child.poll() == 0, timeout=timeout
        )
        self.stop()

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines of its log."""
        with contextlib.suppress(FileNotFoundError):
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def stop(self, timeout: float = 20) -> None:
        """SIGTERM, and SIGKILL after ``timeout`` seconds; returns when it has ended."""
        self._end(signal.SIGTERM, timeout)

    def kill(self) -> None:
        """SIGKILL, as a machine that loses its power; returns when it has ended."""
        self._end(signal.SIGKILL, 20)

    def _end(self, how: signal.Signals, timeout: float) -> None:
        child = self._child
        if child is None:
            return
        # A paused process does not act on SIGTERM before it goes on.
        self._signal(signal.SIGCONT)
        self._signal(how)
        try:
            child.wait(timeout)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            child.wait()
        LEASH.release(child.pid)
        self._child = None

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after ``pause``."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None and self._child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, number)

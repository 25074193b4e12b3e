"""systemd's side of a service: the socket that it tells its state to, and sockets that systemd has bound."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from pathlib import Path

_ACTIVATED = """
import fcntl, os, sys
given = [fcntl.fcntl(int(each), fcntl.F_DUPFD, 100) for each in sys.argv[1].split(",")]
for place, each in enumerate(given, 3):
    os.dup2(each, place)
names = ":".join(["lfsproxy"] * len(given))
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(given)), LISTEN_FDNAMES=names)
os.closerange(3 + len(given), 300)
os.execvp(sys.argv[2], sys.argv[2:])
"""


def activated(sockets: Sequence[socket.socket], command: list[str]) -> list[str]:
    """The command with these sockets as systemd gives them; it needs them as ``pass_fds`` too."""
    return [sys.executable, "-c", _ACTIVATED, ",".join(str(each.fileno()) for each in sockets), *command]


class NotifySocket:
    """A socket in ``folder`` for NOTIFY_SOCKET."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        # As systemd's own: the service runs as another user.
        self.path.chmod(0o777)
        self._socket.setblocking(False)
        self._lines: list[str] = []
        self.close = self._socket.close

    @property
    def lines(self) -> list[str]:
        """Every line that was told so far."""
        while True:
            try:
                self._lines += self._socket.recv(65536).decode().split("\n")
            except BlockingIOError:
                return list(self._lines)

    @property
    def status(self) -> str:
        """The last STATUS."""
        told = [line.removeprefix("STATUS=") for line in self.lines if line.startswith("STATUS=")]
        return told[-1] if told else ""

"""What Kafka and the S3 server have in common: a folder, a port, and the life of a process."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from lfsproxy.devstack.ports import free_port, require_free
from lfsproxy.devstack.process import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

START_SECONDS = 60.0
"""How long a server may take until it answers: seconds on a machine with nothing else to do."""


class Server(ABC):
    """One server on the loopback interface. All methods block.

    ``kind`` names its folder and its log, ``name`` is what messages call it. Without ``data_dir`` it has a
    temporary folder, which ``close`` removes; ``port`` 0 is any free one.
    """

    def __init__(self, kind: str, name: str, data_dir: Path | None, port: int) -> None:
        self._temporary = (
            tempfile.TemporaryDirectory(prefix=f"lfsproxy-{kind}-") if data_dir is None else None
        )
        self.data_dir = Path(self._temporary.name) if self._temporary else Path(data_dir or "").absolute()
        self.port = port or free_port()
        self._process = ServerProcess(name, self.data_dir / f"{kind}.log")

    @abstractmethod
    def command(self) -> tuple[Sequence[str], Mapping[str, str] | None]:
        """What to run, and in which environment (None: this process's), once the folder is ready for it."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves clients by now."""

    @property
    def log_path(self) -> Path:
        """Where the process writes its log."""
        return self._process.log_path

    @property
    def running(self) -> bool:
        """Whether the process is alive, be it paused."""
        return self._process.running

    @property
    def pid(self) -> int:
        """The server process's id."""
        return self._process.pid

    def start(self, timeout: float = START_SECONDS) -> None:
        """Start the server and return when it answers."""
        self.launch()
        self.wait(timeout)

    def launch(self) -> None:
        """Start the server and return at once, so that something else can start beside it."""
        # Else another server that answers there would be taken for this one.
        require_free(self.port, self._process.name)
        command, environment = self.command()
        self._process.launch(command, cwd=self.data_dir, env=environment)

    def wait(self, timeout: float = START_SECONDS) -> None:
        """Return when the server answers, after ``launch``."""
        self._process.wait(self.answers, timeout)

    def stop(self) -> None:
        """End it in order (a second or two); ``start`` goes on with the same ports and data."""
        self._process.stop()

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self._process.kill()

    def pause(self) -> None:
        """Freeze it: connections stay open, nothing is answered."""
        self._process.pause()

    def resume(self) -> None:
        """Go on after ``pause``."""
        self._process.resume()

    def restart(self, timeout: float = START_SECONDS) -> None:
        """Stop and start on the same ports and data."""
        self.stop()
        self.start(timeout)

    def close(self) -> None:
        """End it at once and remove its folder, if that was a temporary one."""
        self.kill()
        if self._temporary is not None:
            self._temporary.cleanup()

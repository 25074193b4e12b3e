"""The proxy in front of the null ends, and what it has used: CPU time in nanoseconds, memory, its bound."""

from __future__ import annotations

import contextlib
import importlib.util
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import attrs

from lfsproxy.devstack.ports import HOST, free_port
from lfsproxy.devstack.process import ServerProcess
from tests.integration.proxy import ProxyProcess

MIB = 1024 * 1024
_ROOT = Path(__file__).parents[1]
_SIZING = _ROOT / "examples" / "operate" / "sizing.py"


@contextlib.contextmanager
def null_ports() -> Iterator[tuple[int, int]]:
    """Both ends, as processes of their own: the ports of the broker and of the store."""
    broker, store = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        ends = ServerProcess("the null ends", Path(folder, "log"))
        command = [sys.executable, "-m", "benchmarks.null_ends", str(broker), str(store)]
        try:
            ends.start(command, ready=lambda: listens(broker) and listens(store), timeout=60, cwd=_ROOT)
            yield broker, store
        finally:
            ends.kill()


@contextlib.contextmanager
def null_ends() -> Iterator[Mapping[str, str]]:
    """The same; the settings with which a proxy finds them."""
    with null_ports() as (broker, store):
        yield {
            "LFS_KAFKA_BROKERS": f"{HOST}:{broker}",
            "LFS_S3_ENDPOINT": f"http://{HOST}:{store}",
            "LFS_S3_PATH_STYLE": "true",
            "LFS_LOG_LEVEL": "warn",
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


@attrs.frozen
class Used:
    """What some work took: CPU seconds of the proxy, seconds, and its most resident bytes meanwhile."""

    cpu: float
    seconds: float
    peak: int


@attrs.frozen
class Stage:
    """A proxy whose one worker is the process itself. The null broker's node has the number 0."""

    proxy: ProxyProcess

    @property
    def kafka(self) -> str:
        """Where clients reach the broker."""
        return f"{HOST}:{self.proxy.node_port}"

    def use(self, work: Callable[[], object]) -> Used:
        """Do ``work``."""
        # proc_pid_clear_refs(5): 5 resets the most that was ever resident.
        Path(f"/proc/{self.proxy.pid}/clear_refs").write_text("5")
        before, began = self.cpu(), time.perf_counter()
        work()
        seconds = time.perf_counter() - began
        return Used(self.cpu() - before, seconds, self.proxy.peak_memory)

    def cpu(self) -> float:
        """CPU seconds of all its threads so far, to the nanosecond (``/proc/PID/task/TID/schedstat``)."""
        tasks = Path(f"/proc/{self.proxy.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


@contextlib.contextmanager
def stage(ends: Mapping[str, str], python: str = sys.executable, **settings: str) -> Iterator[Stage]:
    """A proxy with these variables in front of the ends."""
    proxy = ProxyProcess({**ends, **settings}, python=python)
    proxy.environment["LFS_KAFKA_BROKER_PORT_BASE"] = str(proxy.node_port)
    try:
        proxy.start(60)
        yield Stage(proxy)
    finally:
        proxy.close()


def memory_bound(**inputs: int) -> int:
    """Bytes that a replica needs at most, as the page about sizing says, with some inputs changed."""
    spec = importlib.util.spec_from_file_location("sizing", _SIZING)
    assert spec is not None and spec.loader is not None
    sizing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sizing)
    return sum(sizing.terms(**{**sizing.inputs, **inputs}).values())

"""KafScale's own broker, where somebody has built one: the platform that this envelope format comes from.

It runs where LFS_TEST_KAFSCALE_BROKER names the executable (``go build ./cmd/broker`` in a clone of
https://github.com/KafScale/platform) and LFS_TEST_ETCD that of etcd, on which it depends. Its data stay in
memory.
"""

from __future__ import annotations

import os
import tempfile
import urllib.request
from pathlib import Path
from unittest import SkipTest

from lfsproxy.devstack.kafka import answers
from lfsproxy.devstack.ports import HOST, free_port
from lfsproxy.devstack.process import ServerProcess

BROKER_VARIABLE = "LFS_TEST_KAFSCALE_BROKER"
ETCD_VARIABLE = "LFS_TEST_ETCD"
SECONDS = 30
NODE = 1

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def executable(variable: str) -> str:
    """The executable that a variable names. Raises SkipTest without one."""
    path = os.environ.get(variable)
    if not path:
        raise SkipTest(f"{variable} names no executable: KafScale's broker is not tested")
    return path


class KafScaleServer:
    """One broker with its etcd, on the loopback interface. All methods block."""

    def __init__(self) -> None:
        self._broker_path, self._etcd_path = executable(BROKER_VARIABLE), executable(ETCD_VARIABLE)
        self._folder = tempfile.TemporaryDirectory(prefix="lfsproxy-kafscale-")
        folder = Path(self._folder.name)
        self.port = free_port()
        self._etcd_url = f"http://{HOST}:{free_port()}"
        self._etcd = ServerProcess("etcd", folder / "etcd.log")
        self._broker = ServerProcess("KafScale's broker", folder / "broker.log")

    @property
    def bootstrap(self) -> str:
        """``host:port``."""
        return f"{HOST}:{self.port}"

    def start(self) -> None:
        """Start both and return when the broker answers clients."""
        folder, peer = Path(self._folder.name), f"http://{HOST}:{free_port()}"
        command = [self._etcd_path, f"--data-dir={folder / 'etcd'}", f"--initial-cluster=default={peer}"]
        for name, url in (("client", self._etcd_url), ("peer", peer)):
            command.append(f"--listen-{name}-urls={url}")
        command += [f"--advertise-client-urls={self._etcd_url}", f"--initial-advertise-peer-urls={peer}"]
        self._etcd.start(command, ready=self._etcd_is_healthy, timeout=SECONDS)
        settings = {
            "BROKER_ID": str(NODE),
            "BROKER_ADDR": self.bootstrap,
            "METRICS_ADDR": f"{HOST}:{free_port()}",
            "CONTROL_ADDR": f"{HOST}:{free_port()}",
            "ETCD_ENDPOINTS": self._etcd_url,
            "USE_MEMORY_S3": "1",
            "AUTO_CREATE_TOPICS": "true",
            "AUTO_CREATE_PARTITIONS": "2",
            "PRODUCE_SYNC_FLUSH": "true",
        }
        self._broker.start(
            [self._broker_path],
            ready=lambda: answers(self.port),
            timeout=SECONDS,
            env={**os.environ, **{f"KAFSCALE_{name}": text for name, text in settings.items()}},
        )

    def _etcd_is_healthy(self) -> bool:
        try:
            with _opener.open(f"{self._etcd_url}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def close(self) -> None:
        """End both, and remove what they kept."""
        self._broker.kill()
        self._etcd.kill()
        self._folder.cleanup()

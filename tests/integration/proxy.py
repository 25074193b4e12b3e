"""The proxy as users run it: ``twistd -n lfsproxy`` in a process of its own, in front of the tests' servers.

    from tests.integration.proxy import own_proxy, shared_proxy

    p = await shared_proxy()                 # one for the whole trial run, and per choice of settings
    p = await own_proxy(self, servers, LFS_MAX_UPLOAD_SIZE="1000")    # ends with the test
    p.bootstrap                              # "127.0.0.1:40123": where Kafka clients begin
    p.http                                   # "http://127.0.0.1:40124"
    (await in_thread(p.metrics))['lfsproxy_orphans_total{reason="unknown_outcome"}']
    p.peak_memory                            # bytes of VmHWM; p.memory is VmRSS

Every test of a running process starts it through this file. Methods that start, stop or ask block: call them
by ``in_thread``.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, cast

from twisted.internet import reactor

from lfsproxy.devstack.ports import HOST, free_port
from lfsproxy.devstack.process import ServerProcess
from tests.integration.stack import Stack, in_thread, stack
from tests.memory import PEAK, resident

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase

NODE = 1
"""The node id of the tests' Kafka."""

TWISTD = "from twisted.scripts.twistd import run; run()"

_shared: dict[frozenset[tuple[str, str]], ProxyProcess] = {}


class ProxyProcess:
    """``python -m twisted -n --pidfile= lfsproxy`` on free ports, kept over restarts.

    ``environment`` holds the LFS_* and AWS_* variables; no others of the tests' own reach the process.
    ``tls`` is how to speak to its HTTP port where that has a certificate, ``python`` the interpreter.
    """

    def __init__(
        self, environment: Mapping[str, str], tls: SSLContext | None = None, python: str = sys.executable
    ) -> None:
        self._python = python
        handlers = [] if tls is None else [urllib.request.HTTPSHandler(context=tls)]
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), *handlers)
        self._folder = tempfile.TemporaryDirectory(prefix="lfsproxy-proxy-")
        self.kafka_port, self.node_port, self.http_port, self.metrics_port = (free_port() for _ in range(4))
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("LFS_", "AWS_"))}
        self.environment = {
            **inherited,
            "LFS_KAFKA_ADDR": f"{HOST}:{self.kafka_port}",
            "LFS_KAFKA_BROKER_PORT_BASE": str(self.node_port - NODE),
            "LFS_HTTP_ADDR": f"{HOST}:{self.http_port}",
            "LFS_METRICS_ADDR": f"{HOST}:{self.metrics_port}",
            **environment,
        }
        self._process = ServerProcess("lfsproxy", Path(self._folder.name, "proxy.log"))

    @property
    def bootstrap(self) -> str:
        """Where Kafka clients begin."""
        return f"{HOST}:{self.kafka_port}"

    @property
    def http(self) -> str:
        """The URL of the HTTP API, without a slash at its end."""
        return f"{'https' if 'LFS_HTTP_TLS_CERT' in self.environment else 'http'}://{HOST}:{self.http_port}"

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.running

    @property
    def log(self) -> str:
        """Everything it has logged so far, over all starts."""
        return self._process.log_path.read_text(errors="replace")

    def start(self, timeout: float = 30, until: Callable[[], bool] | None = None) -> None:
        """Start it and return when /readyz is green, or ``until`` says so."""
        command = [self._python, "-c", TWISTD, "-n", "--pidfile=", "lfsproxy"]
        self._process.start(
            command,
            ready=until or self.is_ready,
            timeout=timeout,
            cwd=Path(self._folder.name),
            env=self.environment,
        )

    def is_ready(self) -> bool:
        """Whether /readyz is green."""
        try:
            with self._opener.open(f"{self.http}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def readiness(self) -> dict[str, Any]:
        """What /readyz says; {} while nothing answers."""
        try:
            with self._opener.open(f"{self.http}/readyz", timeout=2) as answer:
                said = json.load(answer)
        except urllib.error.HTTPError as error:
            said = json.load(error)
        except OSError:
            return {}
        return cast(dict[str, Any], said)

    def stop(self, timeout: float = 40) -> None:
        """SIGTERM: it drains, then ends. ``start`` goes on with the same ports."""
        self._process.stop(timeout)

    def kill(self) -> None:
        """SIGKILL, as a machine that loses its power."""
        self._process.kill()

    def close(self) -> None:
        """End it at once and remove its folder."""
        self._process.kill()
        self._folder.cleanup()

    def metrics(self) -> Mapping[str, float]:
        """Every sample by its name with labels, as Prometheus writes it; those that are not there are 0."""
        scheme = "https" if "LFS_METRICS_TLS" in self.environment else "http"
        with self._opener.open(f"{scheme}://{HOST}:{self.metrics_port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        samples = defaultdict[str, float](float)
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                samples[name] = float(value)
        return samples

    @property
    def memory(self) -> int:
        """Bytes resident now (VmRSS)."""
        return resident(self.pid)

    @property
    def peak_memory(self) -> int:
        """Most bytes ever resident (VmHWM)."""
        return resident(self.pid, PEAK)


async def shared_proxy(**settings: str) -> ProxyProcess:
    """The proxy in front of ``stack()``, one per choice of settings; not to be stopped by a test."""
    choice = frozenset(settings.items())
    if choice not in _shared:
        servers = await stack()
        proxy = ProxyProcess({**servers.environment, **settings})
        reactor.addSystemEventTrigger("before", "shutdown", proxy.close)
        await in_thread(proxy.start)
        _shared[choice] = proxy
    return _shared[choice]


async def own_proxy(test: TestCase, servers: Stack, **settings: str) -> ProxyProcess:
    """A proxy of this test's own in front of ``servers``, started, and ended with the test."""
    return await started(test, ProxyProcess({**servers.environment, **settings}))


async def started(test: TestCase, proxy: ProxyProcess) -> ProxyProcess:
    """The proxy, started, and ended with the test."""
    test.addCleanup(in_thread, proxy.close)
    await in_thread(proxy.start)
    return proxy

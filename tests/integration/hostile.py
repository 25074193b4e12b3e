"""What a case of hostile input is, and how one is observed; ``hostile_cases`` has the cases."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import attrs

from tests.integration.ordinary import Ordinary
from tests.integration.proxy import ProxyProcess
from tests.integration.raw import RawClient

PARTITIONS = 24
"""Of the topic that the cases produce to."""
EXPANDED = 1_100_000_000
"""Bytes that a bomb becomes."""


@attrs.frozen
class Scene:
    """Where a case takes place. ``most`` is LFS_MAX_DECOMPRESSED_SIZE, below EXPANDED."""

    proxy: ProxyProcess
    topic: str
    broker: str
    most: int

    def connect(self, receive_buffer: int | None = None) -> RawClient:
        """A new connection to the proxy."""
        return RawClient(self.proxy.bootstrap, receive_buffer)

    def said_of(self, *data: bytes) -> str:
        """What is said of one request that is sent over a connection of its own."""
        with self.connect() as client:
            client.send(*data)
            return client.said()

    def answer_to(self, *data: bytes) -> str:
        """``closed``, or how much was answered, by one connection that is sent something."""
        with self.connect() as client:
            client.send(*data)
            answer = client.answer()
            return "closed" if answer is None else "answered"


@attrs.frozen
class Case:
    """``expected`` is the answer; ``log`` is in each of the lines with which connections are closed."""

    name: str
    expected: str
    run: Callable[[Scene], str]
    log: str = ""
    closes: int = 0


@attrs.frozen
class Observed:
    """What became of a case. ``peak`` is in bytes of resident memory; ``delivered``, ``failed``,
    ``slowest`` (seconds) are the ordinary producer's; ``lines`` the log's warnings and worse."""

    answer: str
    peak: int
    seconds: float
    delivered: int
    failed: int
    slowest: float
    closed: int
    lines: list[str]


def observe(case: Case, scene: Scene, ordinary: Ordinary) -> Observed:
    """Run a case beside an ordinary producer. Blocks."""
    ordinary.begin()
    proxy = scene.proxy
    logged, counted = len(proxy.log), closed(proxy)
    # From here on the peak is that of this case (proc(5), clear_refs).
    Path(f"/proc/{proxy.pid}/clear_refs").write_text("5")
    started = time.monotonic()
    answer = case.run(scene)
    seconds = time.monotonic() - started
    peak = proxy.peak_memory
    ordinary.end()
    return Observed(
        answer,
        peak,
        seconds,
        ordinary.delivered,
        ordinary.failed,
        ordinary.slowest,
        closed(proxy) - counted,
        [line for line in proxy.log[logged:].splitlines() if re.search("#(warn|error|critical)", line)],
    )


def closed(proxy: ProxyProcess) -> int:
    """How many connections of Kafka clients the proxy has closed by itself."""
    metrics = proxy.metrics()
    return int(sum(metrics[name] for name in metrics if name.startswith("lfsproxy_kafka_closed_total")))

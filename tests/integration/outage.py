"""The S3 server stops answering under load: what plain records, and records to be offloaded, notice of it.

Shared by ``test_large_records`` and ``benchmarks/store_outage.py``.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import attrs
from confluent_kafka import Producer

from lfsproxy.devstack import S3Server
from tests.integration import frames
from tests.integration.proxy import ProxyProcess
from tests.integration.raw import RawClient

SIZE = 100_000


@attrs.define
class Traffic:
    """What became of one kind of records; ``slowest`` in seconds."""

    delivered: int = 0
    failed: int = 0
    slowest: float = 0.0


@attrs.define
class Outage:
    """``answers`` are those to single attempts to offload: error code and seconds, each made without retry.

    ``recovered`` is how many seconds after the end of the outage the last record was delivered.
    """

    plain: Traffic = attrs.Factory(Traffic)
    offloaded: Traffic = attrs.Factory(Traffic)
    answers: list[tuple[int, float]] = attrs.Factory(list)
    recovered: float = 0.0


class _Source(threading.Thread):
    """A librdkafka producer with its own retries, that sends until it is told to end."""

    def __init__(
        self, bootstrap: str, topic: str, traffic: Traffic, value: bytes, every: float, offload: bool
    ) -> None:
        super().__init__(daemon=True)
        self.over = threading.Event()
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "broker.address.family": "v4",
                "linger.ms": 0,
                "message.timeout.ms": 300_000,
                "enable.idempotence": offload,
                "log_level": 0,
            }
        )
        self._topic = topic
        self._traffic = traffic
        self._value = value
        self._every = every
        self._headers: dict[str, str | bytes | None] | None = {"LFS_BLOB": b""} if offload else None

    def run(self) -> None:
        while not self.over.wait(self._every):
            self._producer.produce(
                self._topic, self._value, headers=self._headers, on_delivery=self._report(time.monotonic())
            )
            self._producer.poll(0)
        self._traffic.failed += self._producer.flush(120)

    def _report(self, sent: float) -> Callable[[object, object], None]:
        def delivered(error: object, _: object) -> None:
            self._traffic.delivered += not error
            self._traffic.failed += bool(error)
            self._traffic.slowest = max(self._traffic.slowest, time.monotonic() - sent)

        return delivered


def observe(proxy: ProxyProcess, s3: S3Server, topic: str, seconds: float, *, stop: bool) -> Outage:
    """Pause the server, or stop it, for so many seconds; it is there again afterwards. Blocks.

    ``topic`` has three partitions or more; nobody else produces to it.
    """
    seen = Outage()
    value = os.urandom(SIZE)
    sources = [_Source(proxy.bootstrap, topic, seen.plain, bytes(1000), 0.02, False)]
    sources += [_Source(proxy.bootstrap, topic, seen.offloaded, value, 0.5, True) for _ in range(4)]
    for source in sources:
        source.start()
    time.sleep(2)
    # From here on plain records must notice nothing.
    seen.plain.slowest = 0.0
    (s3.stop if stop else s3.pause)()
    try:
        end = time.monotonic() + seconds
        _attempts(seen, proxy.bootstrap, topic, value, end)
        time.sleep(max(end - time.monotonic(), 0))
    finally:
        (s3.start if stop else s3.resume)()
    back = time.monotonic()
    time.sleep(1)
    for source in sources:
        source.over.set()
    for source in sources:
        source.join(150)
    seen.recovered = time.monotonic() - back
    return seen


def _attempts(seen: Outage, bootstrap: str, topic: str, value: bytes, end: float) -> None:
    """Offload one record after the other, as long as the outage lasts."""
    request = frames.produce(topic, frames.batch(frames.records(frames.lfs(value))))
    while time.monotonic() < end - 2:
        started = time.monotonic()
        with RawClient(bootstrap) as client:
            client.send(request)
            (verdict,) = client.verdicts()
        if time.monotonic() < end:
            seen.answers.append((verdict.error_code, time.monotonic() - started))

"""An ordinary client beside what a test does to the proxy: it must not notice.

Used by ``hostile`` (what a case is) and ``test_hostile``.
"""

from __future__ import annotations

import threading
import time

from confluent_kafka import Producer


class Ordinary(threading.Thread):
    """A producer of small records, every other one offloaded, that has nothing to do with the cases.

    Its batches are compressed, so that each has to be searched.
    """

    def __init__(self, bootstrap: str, topic: str) -> None:
        super().__init__(daemon=True)
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "broker.address.family": "v4",
                "linger.ms": 0,
                "compression.type": "lz4",
                "retries": 0,
                "client.id": "ordinary",
                "log_level": 0,
            }
        )
        self._topic = topic
        self._over = threading.Event()
        self.delivered = self.failed = 0
        self.slowest = 0.0

    def run(self) -> None:
        count = 0
        while not self._over.wait(0.05):
            count += 1
            self._send({"LFS_BLOB": b""} if count % 2 else None)
            self._producer.poll(0)

    def begin(self) -> None:
        """Start, or count from now on; something was delivered then."""
        if not self.is_alive():
            self.start()
        self._settle()
        self.delivered = self.failed = 0
        self.slowest = 0.0

    def end(self) -> None:
        """Count no further; what was sent is delivered then, or has failed."""
        self._settle()

    def _settle(self) -> None:
        delivered, deadline = self.delivered, time.monotonic() + 30
        while self.delivered < delivered + 2:
            if time.monotonic() > deadline:
                raise AssertionError("the ordinary producer does not get anything delivered")
            time.sleep(0.02)
        self.failed += self._producer.flush(30)

    def _send(self, headers: dict[str, str | bytes | None] | None) -> None:
        sent = time.monotonic()

        def delivered(error: object, _: object) -> None:
            self.delivered += not error
            self.failed += bool(error)
            self.slowest = max(self.slowest, time.monotonic() - sent)

        self._producer.produce(self._topic, bytes(2000), headers=headers, on_delivery=delivered)

    def stop(self) -> None:
        """Send nothing more."""
        self._over.set()
        if self.is_alive():
            self.join()

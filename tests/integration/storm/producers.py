"""Kafka producers of a storm: idempotent, acks=all, with their own retries."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import threading
from collections.abc import Callable
from random import Random
from typing import Any

import attrs
from confluent_kafka import KafkaException, Producer

from tests.integration.storm.notes import KIB, MIB, TOPICS, Door, Journal, Note, Outcome, payload

PAUSE_SECONDS = 0.03
LFS_EVERY = 4
MOST_OPEN = 60
PATIENCE = 120
"""Seconds for which a producer tries again."""
SIZES = (20 * KIB, 20 * KIB, 200 * KIB, MIB, 9 * MIB)
"""The last one is streamed: its upload begins before all of it has come."""


@attrs.define(eq=False)
class KafkaClient:
    """Plain records to every topic in turn, and LFS records to its own, until ``over``.

    Every ``lfs_every``-th is an LFS record; with None there are none.
    """

    name: str
    bootstrap: str
    journal: Journal
    random: Random
    over: threading.Event
    lfs_every: int | None = LFS_EVERY

    def run(self) -> None:
        """Send, then wait for every answer. Blocks."""
        producer = self._producer()
        for number in itertools.count():
            note, value, headers = self._next(number)
            try:
                producer.produce(
                    note.topic, value, note.key, headers=headers, on_delivery=self._delivered(note)
                )
            except (KafkaException, BufferError) as error:
                note.said = f"not sent: {error}"
                note.outcome = Outcome.REFUSED
                producer = self._producer()
            try:
                producer.poll(0)
                while len(producer) > MOST_OPEN and not self.over.is_set():
                    producer.poll(0.05)
            except KafkaException:
                # Fatal for this producer: what it holds stays unknown.
                producer = self._producer()
            if self.over.wait(PAUSE_SECONDS):
                break
        with contextlib.suppress(KafkaException):
            producer.flush(PATIENCE + 10)

    def _producer(self) -> Producer:
        return Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "broker.address.family": "v4",
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 5,
                "batch.num.messages": 10,
                "message.max.bytes": 64 * MIB,
                "message.timeout.ms": PATIENCE * 1000,
                "socket.timeout.ms": 20_000,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )

    def _next(self, number: int) -> tuple[Note, bytes, Any]:
        offloaded = self.lfs_every is not None and number % self.lfs_every == 0
        door = Door.KAFKA if offloaded else Door.PLAIN
        topic = Door.KAFKA.value if offloaded else TOPICS[number % len(TOPICS)]
        size = self.random.choice(SIZES) if offloaded else 100
        key = f"{self.name}-{number}"
        value = payload(key, size)
        note = self.journal.note(door, topic, key, hashlib.sha256(value).hexdigest(), size)
        return note, value, [("LFS_BLOB", b"")] if offloaded else []

    def _delivered(self, note: Note) -> Callable[[Any, Any], None]:
        def delivered(error: Any, message: Any) -> None:
            if error is None:
                note.told(message.partition(), message.offset())
            else:
                note.said = error.str()

        return delivered

"""The load while something goes wrong: producers, uploads, downloads, a consumer that gets blobs."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import attrs
from confluent_kafka import Consumer

from tests.integration.faults.scene import HYDRATED, Scene
from tests.integration.proxy import ProxyProcess
from tests.integration.storm.notes import MIB, Door, Journal, Note, Outcome
from tests.integration.storm.posts import HttpClient
from tests.integration.storm.producers import KafkaClient
from tests.integration.storm.resuming import TusClient
from tests.integration.storm.uploads import Upload

HTTP_CLIENTS = 2
PAUSE_SECONDS = 0.1
TIMEOUT = 30
SECONDS = 60.0


@attrs.define(eq=False)
class Downloader:
    """Downloads what was acknowledged, at random, until ``over``. ``whole`` and ``cut`` count."""

    proxy: ProxyProcess
    journal: Journal
    random: Random
    over: threading.Event
    whole: int = 0
    cut: int = 0

    def run(self) -> None:
        """Blocks."""
        while not self.over.wait(PAUSE_SECONDS):
            known = [
                note
                for note in list(self.journal.notes)
                if note.outcome is Outcome.ACKNOWLEDGED and note.door is not Door.PLAIN
            ]
            if known:
                self._download(self.random.choice(known))

    def _download(self, note: Note) -> None:
        partition, offset = min(note.places)
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.http_port, timeout=TIMEOUT)
        try:
            connection.request("GET", f"/v1/topics/{note.topic}/partitions/{partition}/records/{offset}")
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            self.cut += 1
            return
        finally:
            connection.close()
        if answer.status != http.client.OK:
            self.cut += 1
        elif hashlib.sha256(body).hexdigest() != note.sha256:
            self.journal.broken.append(f"{note.key!r} was downloaded as whole with other bytes")
        else:
            self.whole += 1


@attrs.define(eq=False)
class Hydrated:
    """Reads the topic of the Kafka door's records through the proxy, and remembers what it was given.

    ``given`` are keys with the SHA-256 of their value, or of the first of several.
    """

    bootstrap: str
    over: threading.Event = attrs.field(factory=threading.Event)
    given: dict[bytes, str] = attrs.field(factory=dict)
    errors: int = 0

    def run(self) -> None:
        """Blocks."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "client.id": HYDRATED,
                "group.id": HYDRATED,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "broker.address.family": "v4",
                "fetch.message.max.bytes": 16 * MIB,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )
        consumer.subscribe([Door.KAFKA.value])
        try:
            while not self.over.is_set():
                message: Any = consumer.poll(0.2)
                if message is None:
                    continue
                if message.error() is not None:
                    self.errors += 1
                    continue
                self.given.setdefault(message.key(), hashlib.sha256(message.value() or b"").hexdigest())
        finally:
            consumer.close()

    def wrong(self, journal: Journal, seconds: float) -> list[str]:
        """Wait until every acknowledged record was given; those that were not, or had other bytes."""
        wanted = {
            note.key: note.sha256
            for note in journal.notes
            if note.outcome is Outcome.ACKNOWLEDGED and note.topic == Door.KAFKA.value
        }
        deadline = time.monotonic() + seconds
        while not wanted.keys() <= self.given.keys() and time.monotonic() < deadline:
            time.sleep(0.05)
        missing = wanted.keys() - self.given.keys()
        other = [key for key in wanted.keys() & self.given.keys() if self.given[key] != wanted[key]]
        return [f"{key!r} was not given to the consumer" for key in sorted(missing)] + [
            f"{key!r} was given to the consumer with other bytes" for key in sorted(other)
        ]


@attrs.define(eq=False)
class Load:
    """What the clients of one fault have to do with: their notes, and what is left of resumable uploads."""

    journal: Journal
    downloader: Downloader
    resuming: TusClient
    over: threading.Event

    @property
    def later(self) -> list[Upload]:
        """Resumable uploads that have come to no end yet."""
        return self.resuming.later


@contextlib.contextmanager
def load(scene: Scene, name: str, seed: int) -> Iterator[Load]:
    """Clients run meanwhile; their keys begin with ``name``. In the end each has got its last answer."""
    journal, over = Journal(), threading.Event()
    proxy = scene.proxy

    def random(what: str) -> Random:
        return Random(f"{seed} {name} {what}")

    def publishes(_: ProxyProcess) -> None:
        """Nobody is killed at that moment here."""

    downloader = Downloader(proxy, journal, random("downloads"), over)
    resuming = TusClient(f"{name}-tus", [proxy], journal, random("tus"), over, publishes)
    running: list[Callable[[], None]] = [
        KafkaClient(f"{name}-kafka", proxy.bootstrap, journal, random("kafka"), over).run,
        resuming.run,
        downloader.run,
    ]
    for number in range(HTTP_CLIENTS):
        client = f"{name}-http-{number}"
        running.append(HttpClient(client, [proxy], journal, random(client), over, publishes).run)
    with ThreadPoolExecutor(len(running)) as threads:
        started = [threads.submit(each) for each in running]
        try:
            yield Load(journal, downloader, resuming, over)
        finally:
            over.set()
    for each in started:
        each.result()

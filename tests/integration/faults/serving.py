"""When a fault is over: how long it takes until new clients are served again, through each door."""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

from confluent_kafka import Producer

from tests.integration.proxy import ProxyProcess
from tests.integration.storm.notes import KIB, Door, Journal, Note, Outcome, payload
from tests.integration.storm.posts import HttpClient

SECONDS = 60.0
"""Nobody waits longer."""
SIZE = 20 * KIB


def until_served(proxy: ProxyProcess, journal: Journal, name: str) -> float:
    """Seconds until both doors have acknowledged a record that goes to S3. Blocks; SECONDS at the most."""
    began = time.monotonic()
    doors: list[Callable[[ProxyProcess, Journal, str], None]] = [_http, _kafka]
    with ThreadPoolExecutor(len(doors)) as threads:
        for done in [threads.submit(door, proxy, journal, f"{name}-served") for door in doors]:
            done.result()
    return time.monotonic() - began


def _http(proxy: ProxyProcess, journal: Journal, name: str) -> None:
    client = HttpClient(name, [proxy], journal, Random(name), threading.Event(), lambda _: None)
    deadline = time.monotonic() + SECONDS
    for number in itertools.count():
        note, data = _note(journal, Door.HTTP, f"{name}-http-{number}")
        client.post(note, data)
        if note.outcome is Outcome.ACKNOWLEDGED or time.monotonic() > deadline:
            return
        time.sleep(0.1)


def _kafka(proxy: ProxyProcess, journal: Journal, name: str) -> None:
    note, data = _note(journal, Door.KAFKA, f"{name}-kafka-0")

    def delivered(error: Any, message: Any) -> None:
        if error is None:
            note.told(message.partition(), message.offset())
        else:
            note.said = error.str()

    producer = Producer(
        {
            "bootstrap.servers": proxy.bootstrap,
            "broker.address.family": "v4",
            "enable.idempotence": True,
            "message.timeout.ms": int(SECONDS * 1000),
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
        }
    )
    producer.produce(note.topic, data, note.key, headers=[("LFS_BLOB", b"")], on_delivery=delivered)
    producer.flush(SECONDS + 10)


def _note(journal: Journal, door: Door, key: str) -> tuple[Note, bytes]:
    data = payload(key, SIZE)
    return journal.note(door, door.value, key, hashlib.sha256(data).hexdigest(), SIZE), data

"""HTTP clients of a storm: each POST has a key of its own, and none is sent twice."""

from __future__ import annotations

import hashlib
import http.client
import itertools
import json
import threading
from collections.abc import Sequence
from random import Random

import attrs

from tests.integration.proxy import ProxyProcess
from tests.integration.storm.notes import KIB, MIB, Door, Journal, Note, Outcome, Publishes, payload

PAUSE_SECONDS = 0.1
REFUSED_SECONDS = 0.7
"""Pauses behind a POST that was answered, and one that was not taken."""
SIZES = (10 * KIB, 10 * KIB, 300 * KIB, 2 * MIB, 12 * MIB)
UNKNOWN = 504
TIMEOUT = 120


@attrs.define(eq=False)
class HttpClient:
    """Posts one file after the other to a replica at random, until ``over``."""

    name: str
    proxies: Sequence[ProxyProcess]
    journal: Journal
    random: Random
    over: threading.Event
    publishes: Publishes

    def run(self) -> None:
        """Blocks."""
        topic = Door.HTTP.value
        for number in itertools.count():
            key = f"{self.name}-{number}"
            data = payload(key, self.random.choice(SIZES))
            note = self.journal.note(Door.HTTP, topic, key, hashlib.sha256(data).hexdigest(), len(data))
            self.post(note, data)
            refused = note.outcome is Outcome.REFUSED
            if self.over.wait(REFUSED_SECONDS if refused else PAUSE_SECONDS):
                break

    def post(self, note: Note, data: bytes) -> None:
        """One attempt; the note says what came of it. Blocks."""
        proxy = self.random.choice(self.proxies)
        chunked = self.random.random() < 0.3
        connection = http.client.HTTPConnection("127.0.0.1", proxy.http_port, timeout=TIMEOUT)
        try:
            connection.connect()
        except OSError as error:
            note.said, note.outcome = str(error), Outcome.REFUSED
            return
        try:
            connection.request(
                "POST",
                f"/v1/topics/{note.topic}/records?key={note.key.decode()}",
                iter([data[: len(data) // 2], data[len(data) // 2 :]]) if chunked else data,
                {"Content-Type": "application/octet-stream"},
                encode_chunked=chunked,
            )
        except OSError as error:
            # The proxy may have answered before it took everything.
            note.said = str(error)
        self.publishes(proxy)
        try:
            answer = connection.getresponse()
            self._told(note, answer.status, answer.read())
        except (OSError, http.client.HTTPException) as error:
            note.said = f"{note.said} {error!r}"
        finally:
            connection.close()

    def _told(self, note: Note, status: int, body: bytes) -> None:
        note.said = f"{status} {body[:300].decode(errors='replace')}"
        if status == http.client.CREATED:
            record = json.loads(body)
            note.told(record["partition"], record["offset"])
        elif status != UNKNOWN:
            note.outcome = Outcome.REFUSED

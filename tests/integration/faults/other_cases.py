"""What goes wrong between clients and the proxy, with names, and with the proxy itself."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import time
from collections.abc import Iterator

from tests.integration import frames
from tests.integration.faults.cases import Case, Moment, NothingHappenedError
from tests.integration.faults.link import HOST, abort
from tests.integration.faults.scene import PARTITIONS
from tests.integration.storm.notes import KIB, MIB, Door, Outcome, payload
from tests.integration.storm.victims import start_proxy

CUTS = 50
"""Through each door."""
SIZES = (20 * KIB, 20 * KIB, 200 * KIB, 3 * MIB)
SECONDS = 30.0


@contextlib.contextmanager
def _name_is_unknown(moment: Moment) -> Iterator[None]:
    """The host name of S3 and of every broker, while all connections are broken, too."""
    scene = moment.scene
    scene.nameless.touch()
    for link in (scene.store, *scene.links):
        link.reset()
    try:
        yield
        if not scene.nameless.stat().st_size:
            raise NothingHappenedError(moment.name)
    finally:
        scene.nameless.unlink()


@contextlib.contextmanager
def _clients_are_cut(moment: Moment) -> Iterator[None]:
    """Each sends a request up to any byte but the last, and resets or closes the connection."""
    for number in range(int(CUTS * moment.scale)):
        for door in (Door.KAFKA, Door.HTTP):
            _cut(moment, door, f"{moment.name}-cut-{door.value}-{number}")
    yield


def _cut(moment: Moment, door: Door, key: str) -> None:
    random = moment.random
    data = payload(key, random.choice(SIZES))
    note = moment.journal.note(door, door.value, key, hashlib.sha256(data).hexdigest(), len(data))
    # It was never sent whole, so it must never be published.
    note.outcome, note.said = Outcome.REFUSED, "cut by the client"
    proxy = moment.scene.proxy
    if door is Door.KAFKA:
        records = frames.records(frames.lfs(data, key=key.encode()))
        request = frames.produce(note.topic, frames.batch(records), partition=random.randrange(PARTITIONS))
        port = proxy.kafka_port
    else:
        head = f"POST /v1/topics/{note.topic}/records?key={key} HTTP/1.1\r\nHost: proxy\r\n"
        request = f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data
        port = proxy.http_port
    with (
        socket.create_connection((HOST, port), timeout=SECONDS) as client,
        contextlib.suppress(ConnectionError),
    ):
        client.sendall(request[: random.randrange(1, len(request))])
        if random.random() < 0.5:
            abort(client)


@contextlib.contextmanager
def _proxy_is_killed(moment: Moment) -> Iterator[None]:
    """Twice, and started again at once."""
    for _ in range(2):
        time.sleep(moment.random.uniform(0.5, 1.5))
        moment.scene.proxy.kill()
        start_proxy(moment.scene.proxy)
    yield


OTHER_CASES = (
    Case("names cannot be resolved", _name_is_unknown, 7),
    Case("clients are cut at any byte", _clients_are_cut, 0),
    Case("the proxy is killed twice", _proxy_is_killed, 0),
)

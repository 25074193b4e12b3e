"""The curves of growth: each names its steps, and the load whose cost is measured at each of them."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import repeat

import attrs

from benchmarks import null_blobs
from benchmarks.growth_curves import Cost, Curve, Refused
from benchmarks.null_ends import TOPIC, drop, exactly
from benchmarks.null_stage import MIB, Stage, Used, memory_bound
from lfsproxy.devstack.ports import HOST
from lfsproxy.wire.apis import KafkaApi
from tests.integration.frames import (
    LargeRecord,
    batch,
    dense_records,
    frame,
    head,
    large_produce,
    lfs,
    produce,
    produce_partitions,
    records,
)
from tests.integration.raw import RawClient

SMALL = 64 * 1024
"""Bytes of an upload where many are made at once."""
ROUNDS = 4
LEAST = 0.1
"""CPU seconds of a round, at least: a step that takes less is repeated."""
LONG = 1.0
"""CPU seconds beyond which a step is measured once."""
SECONDS = 300.0
"""How long a client waits for an answer."""


def repeated(stage: Stage, work: Callable[[], object], **inputs: int) -> Cost:
    """What ``work`` costs in CPU ms, the least of some rounds; one round where that is LONG already."""
    rounds = [(first := stage.use(work))]
    while first.cpu < LONG and len(rounds) < ROUNDS:
        used = [stage.use(work)]
        while sum(each.cpu for each in used) < LEAST:
            used.append(stage.use(work))
        times = len(used)
        cpu, seconds = sum(each.cpu for each in used) / times, sum(each.seconds for each in used) / times
        rounds.append(Used(cpu, seconds, max(each.peak for each in used)))
    best = min(rounds, key=lambda each: each.cpu)
    return Cost(1000 * best.cpu, max(each.peak for each in rounds), memory_bound(**inputs), best.seconds)


def upload(port: int, size: int, pieces: Callable[[], Iterator[bytes]]) -> None:
    """One upload over HTTP, on a connection of its own."""
    start = f"POST /v1/topics/{TOPIC}/records HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
    with socket.create_connection((HOST, port), timeout=SECONDS) as connection:
        connection.sendall(start.encode())
        for piece in pieces():
            connection.sendall(piece)
        answer = connection.recv(65536)
    if not answer.startswith(b"HTTP/1.1 201"):
        raise Refused(f"the upload was answered {answer[:400]!r}")


def ask(client: RawClient, *pieces: bytes) -> bytes:
    """Send a request and wait for its answer."""
    client.send(*pieces)
    answer = client.answer()
    if answer is None:
        raise Refused("the Kafka door closed the connection")
    return answer


def kafka_client(stage: Stage) -> RawClient:
    """A client that knows which versions the broker speaks."""
    client = RawClient(stage.kafka)
    client.socket.settimeout(SECONDS)
    ask(client, frame(head(KafkaApi.API_VERSIONS, 0)))
    return client


def send(client: RawClient, pieces: Iterator[bytes]) -> None:
    """A Produce request that has to be acknowledged."""
    client.send_all(pieces)
    if (said := client.said()) != "ok":
        raise Refused(f"the record was answered: {said}")


def http_size(stage: Stage, mebibytes: int) -> Cost:
    """A blob over HTTP."""
    block = os.urandom(MIB)
    work = partial(upload, stage.proxy.http_port, mebibytes * MIB, lambda: repeat(block, mebibytes))
    return repeated(stage, work, kafka_connections=0, http_uploads=1)


def kafka_size(stage: Stage, mebibytes: int) -> Cost:
    """A record for a blob over Kafka."""
    record = LargeRecord(mebibytes * MIB, os.urandom(MIB))
    with kafka_client(stage) as client:
        work = lambda: send(client, large_produce(TOPIC, record.pieces))  # noqa: E731  # it names what is repeated
        return repeated(stage, work, kafka_connections=1, http_uploads=0)


def fetch(client: RawClient, topic: str, least: int, most: int) -> None:
    """Fetch what a topic has, with the blobs: an answer of ``least`` to ``most`` bytes, which are dropped."""
    client.send(frame(head(KafkaApi.FETCH, null_blobs.FETCH) + null_blobs.fetch(topic)))
    (size,) = struct.unpack(">i", exactly(client.socket, 4))
    drop(client.socket, size)
    if not least <= size <= most:
        raise Refused(f"an answer of {size} bytes came")


def hydrate_size(stage: Stage, mebibytes: int) -> Cost:
    """A blob for a consumer that gets blobs."""
    size = mebibytes * MIB
    with kafka_client(stage) as client:
        work = partial(fetch, client, f"blob-{size}", size, size + 1000)
        work()
        return repeated(stage, work, kafka_connections=1, http_uploads=0)


def hydrate_search(stage: Stage, count: int) -> Cost:
    """One answer out of a batch of so many envelopes. It has at most 256 blobs, shorter than they are."""
    with kafka_client(stage) as client:
        most = 200 + 150 * min(count, 256)
        work = partial(fetch, client, f"envelopes-{count}", null_blobs.SMALL, most)
        work()
        return repeated(stage, work, kafka_connections=1, http_uploads=0)


def idle(stage: Stage, count: int, port: int, request: bytes, *, is_kafka: bool) -> Cost:
    """Connections that have asked once. The cost is what the process grew by."""
    before, began = stage.proxy.memory, time.monotonic()
    with ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection((HOST, port), timeout=SECONDS))
            connection.sendall(request)
            if is_kafka:
                exactly(connection, struct.unpack(">i", exactly(connection, 4))[0])
            elif not connection.recv(65536).startswith(b"HTTP/1.1 200"):
                raise Refused("the request was refused")
        peak = stage.proxy.memory
        kafka, http = (count, 0) if is_kafka else (0, count)
        bound = memory_bound(kafka_connections=kafka, http_uploads=http)
        return Cost((peak - before) / 1024, peak, bound, time.monotonic() - began)


def idle_kafka(stage: Stage, count: int) -> Cost:
    """Kafka connections."""
    return idle(stage, count, stage.proxy.node_port, frame(head(KafkaApi.API_VERSIONS, 0)), is_kafka=True)


def idle_http(stage: Stage, count: int) -> Cost:
    """Kept-alive HTTP connections."""
    return idle(
        stage, count, stage.proxy.http_port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", is_kafka=False
    )


def topics(stage: Stage, count: int) -> Cost:
    """An answer to Metadata about so many topics."""
    name = f"topics-{count}".encode()
    asked = struct.pack(">ih", 1, len(name)) + name + b"\0"
    with kafka_client(stage) as client:
        work = partial(ask, client, frame(head(KafkaApi.METADATA, 8) + asked + b"\0\0"))
        return repeated(stage, work, kafka_connections=1, http_uploads=0)


def partitions(stage: Stage, count: int, record: bytes) -> Cost:
    """A Produce request with a batch for each of so many partitions."""
    request = produce_partitions(f"partitions-{count}", [batch(record)] * count)
    with kafka_client(stage) as client:
        return repeated(stage, lambda: send(client, iter([request])), kafka_connections=1, http_uploads=0)


def plain_partitions(stage: Stage, count: int) -> Cost:
    """Nothing to offload."""
    return partitions(stage, count, records((None, bytes(100), [])))


def lfs_partitions(stage: Stage, count: int) -> Cost:
    """A record to offload in each."""
    return partitions(stage, count, records(lfs(bytes(1024))))


def plain_batch(stage: Stage, count: int) -> Cost:
    """A batch of which the last record is to be offloaded."""
    return in_batch(stage, batch(records(*[(None, b"x" * 10, [])] * (count - 1), lfs(bytes(1024))), count))


def zstd_batch(stage: Stage, count: int) -> Cost:
    """The same in zstd, where the first one is."""
    return in_batch(stage, batch(dense_records(count), count, 4))


def in_batch(stage: Stage, batch: bytes) -> Cost:
    """A Produce request with one batch."""
    request = produce(TOPIC, batch)
    with kafka_client(stage) as client:
        return repeated(stage, lambda: send(client, iter([request])), kafka_connections=1, http_uploads=0)


def at_once(stage: Stage, count: int, work: Callable[[], object], **inputs: int) -> Cost:
    """The same work ``count`` times, all at once. The cost is that of all."""

    def all_of_it() -> None:
        with ThreadPoolExecutor(count) as pool:
            for each in [pool.submit(work) for _ in range(count)]:
                each.result()

    found = repeated(stage, all_of_it, **inputs)
    return attrs.evolve(found, note=f"{count * SMALL / found.seconds / 1e6:.0f} MB/s")


def http_at_once(stage: Stage, count: int) -> Cost:
    """Uploads over HTTP."""
    body = bytes(SMALL)
    work = partial(upload, stage.proxy.http_port, SMALL, lambda: iter([body]))
    return at_once(stage, count, work, kafka_connections=0, http_uploads=count)


def kafka_at_once(stage: Stage, count: int) -> Cost:
    """Records over Kafka."""
    request = produce(TOPIC, batch(records(lfs(bytes(SMALL)))))

    def work() -> None:
        with kafka_client(stage) as client:
            send(client, iter([request]))

    return at_once(stage, count, work, kafka_connections=count, http_uploads=0)


SIZES = (1, 4, 16, 64, 256, 1024, 1536)
CONNECTIONS = (1, 10, 100, 1000, 5000)
AT_ONCE = (1, 4, 16, 64, 256, 1000)
ENVELOPES = (1, 10, 100, 1000, 10000)
HYDRATED = {"LFS_HYDRATE_TOPICS": "*", "LFS_HYDRATE_MAX_SIZE": "2000000000"}
CURVES: Sequence[Curve] = (
    Curve("HTTP upload, by size", "MiB", SIZES, http_size),
    Curve("Kafka LFS record, by size", "MiB", SIZES, kafka_size),
    Curve("blob for a consumer, by size", "MiB", SIZES, hydrate_size, settings=HYDRATED),
    Curve("answer of blobs, by envelopes", "envelopes", ENVELOPES, hydrate_search, settings=HYDRATED),
    Curve("Kafka connections, idle", "connections", CONNECTIONS, idle_kafka, "KiB", least=1024),
    Curve("HTTP connections, kept alive", "connections", CONNECTIONS, idle_http, "KiB", least=512),
    Curve("Metadata answer, by topics", "topics", (1, 10, 100, 1000, 10000), topics),
    Curve("Produce request up to 64 KiB", "partitions", (1, 10, 100, 300), plain_partitions),
    Curve("Produce request above 64 KiB", "partitions", (500, 1000, 2000), plain_partitions),
    Curve("Produce request, each an LFS record", "partitions", (1, 10, 100, 1000), lfs_partitions),
    Curve("batch, one LFS record", "records", (1, 10, 100, 1000, 10000, 100000), plain_batch),
    Curve("zstd batch, one LFS record", "records", (1, 10, 100, 1000, 10000, 100000), zstd_batch),
    Curve(
        "HTTP uploads at once", "uploads", AT_ONCE, http_at_once, settings={"LFS_HTTP_MAX_UPLOADS": "1000"}
    ),
    Curve("Kafka LFS records at once", "records", AT_ONCE, kafka_at_once),
)

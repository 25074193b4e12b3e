"""Two ways to run the proxy, in turn: this one, and one with another interpreter, code or environment.

    python -m benchmarks.variants [--rounds 12] [--only WORDS] [--python PATH] [--before CODE]
                                  [--env NAME=VALUE] [--tree TREE]

``--before`` is Python that the other one runs before anything else, ``--tree`` a folder with another version
of the package, and an interpreter needs what setup.cfg names. Both are in front of a broker and a store that
keep nothing. For each workload: the least CPU time of both, and its ratio.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import struct
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import repeat
from pathlib import Path

import attrs

from benchmarks.compare.client import Job
from benchmarks.compare.http_loads import upload_small_at_once
from benchmarks.growth_loads import kafka_client, send, upload
from benchmarks.null_ends import TOPIC, exactly
from benchmarks.null_stage import MIB, Stage, null_ends, stage
from lfsproxy.wire.batch import GZIP, LZ4, SNAPPY, ZSTD
from tests.integration.frames import LargeRecord, batch, large_produce, lfs, produce, records
from tests.integration.raw import RawClient
from tests.wire.helpers import compressed

IN_FLIGHT = 4
ROOT = Path(__file__).parents[1]


@attrs.frozen
class Workload:
    """``work`` is what is measured; its CPU time is shown for each of ``count`` ``unit``."""

    name: str
    unit: str
    count: float
    work: Callable[[Stage], object]


def requests(count: int, in_flight: int, frame: bytes, stage: Stage) -> None:
    """So many times the same Produce request, on one connection."""
    with kafka_client(stage) as client:
        for index in range(count + in_flight):
            if index >= in_flight:
                exactly(client.socket, struct.unpack(">i", exactly(client.socket, 4))[0])
            if index < count:
                client.socket.sendall(frame)


def many_connections(count: int, clients: int, frame: bytes, stage: Stage) -> None:
    """The same from several connections, of which each has one request in flight."""
    with ExitStack() as stack:
        all_of_them: list[RawClient] = [stack.enter_context(kafka_client(stage)) for _ in range(clients)]
        for _ in range(count // clients):
            for client in all_of_them:
                client.socket.sendall(frame)
            for client in all_of_them:
                exactly(client.socket, struct.unpack(">i", exactly(client.socket, 4))[0])


def large_record(count: int, stage: Stage) -> None:
    """Records of 64 MiB for blobs."""
    record = LargeRecord(64 * MIB, os.urandom(MIB))
    with kafka_client(stage) as client:
        for _ in range(count):
            send(client, large_produce(TOPIC, record.pieces))


def large_upload(count: int, stage: Stage) -> None:
    """Uploads of 128 MiB over HTTP."""
    block = os.urandom(MIB)
    for _ in range(count):
        upload(stage.proxy.http_port, 128 * MIB, lambda: repeat(block, 128))


def small_uploads(count: int, stage: Stage) -> None:
    """Uploads of 1 KiB over one HTTP connection."""
    head = f"POST /v1/topics/{TOPIC}/records HTTP/1.1\r\nHost: x\r\nContent-Length: 1024\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", stage.proxy.http_port)) as connection:
        for _ in range(count):
            connection.sendall(head + bytes(1024))
            assert connection.recv(65536).startswith(b"HTTP/1.1 201")


def small_uploads_at_once(count: int, clients: int, stage: Stage) -> None:
    """The same over several connections, of which each has one request in flight."""
    path = f"/v1/topics/{TOPIC}/records"
    upload_small_at_once(
        Job(
            load="upload_small_at_once",
            size=1024,
            count=count,
            at_once=clients,
            topic=TOPIC,
            bootstrap=stage.kafka,
            http_port=stage.proxy.http_port,
            path=path,
        )
    )()


BATCH = produce(TOPIC, batch(records(*[(None, bytes(1000), [])] * 1000), 1000))
ONE = produce(TOPIC, batch(records((None, bytes(100), []))))
FEW = records(*[(None, b'{"id": %030d, "text": "%s"}' % (index, b"word " * 10), []) for index in range(10)])
COMPRESSED = [
    (name, produce(TOPIC, batch(compressed(codec, FEW, xerial=xerial), 10, codec)))
    for name, codec, xerial in (
        ("gzip", GZIP, False),
        ("snappy", SNAPPY, False),
        ("Java's snappy", SNAPPY, True),
        ("lz4", LZ4, False),
        ("zstd", ZSTD, False),
    )
]
SMALL_LFS = produce(TOPIC, batch(records(lfs(bytes(1024)))))
WORKLOADS: Sequence[Workload] = (
    Workload("Kafka, batches of 1,000 x 1 KB", "GB", 0.1, partial(requests, 100, IN_FLIGHT, BATCH)),
    Workload("Kafka, one record a request", "1000 requests", 1, partial(requests, 1000, 1, ONE)),
    Workload("the same, 64 connections", "1000 requests", 0.64, partial(many_connections, 640, 64, ONE)),
    *(
        Workload(
            f"Kafka, ten records a request, {name}", "1000 requests", 1, partial(requests, 1000, 1, frame)
        )
        for name, frame in COMPRESSED
    ),
    Workload("Kafka LFS, 1 KiB", "1000 requests", 0.06, partial(requests, 60, 1, SMALL_LFS)),
    Workload("Kafka LFS, 64 MiB", "GB", 64 * MIB / 1e9, partial(large_record, 1)),
    Workload("HTTP upload, 1 KiB", "1000 requests", 0.06, partial(small_uploads, 60)),
    Workload(
        "HTTP upload, 1 KiB, 64 connections", "1000 requests", 1.064, partial(small_uploads_at_once, 1000, 64)
    ),
    Workload("HTTP upload, 128 MiB", "GB", 128 * MIB / 1e9, partial(large_upload, 1)),
)


def compare(workload: Workload, sides: Sequence[Stage], rounds: int) -> str:
    """One workload on both sides."""
    found: list[list[float]] = [[], []]
    seconds: list[list[float]] = [[], []]
    for side in sides:
        workload.work(side)
    for number in range(rounds):
        for index in (0, 1) if number % 2 else (1, 0):
            used = sides[index].use(lambda: workload.work(sides[index]))  # noqa: B023  # it is called at once
            found[index].append(used.cpu / workload.count)
            seconds[index].append(used.seconds)
    least = [min(side) for side in found]
    medians = [statistics.median(side) for side in found]
    times = statistics.median(seconds[1]) / statistics.median(seconds[0])
    return (
        f"{workload.name}: {least[0]:.3f} and {least[1]:.3f} CPU s for each {workload.unit}, ratio "
        f"{least[1] / least[0]:.2f} (of the medians {medians[1] / medians[0]:.2f}); time {times:.2f}"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--rounds", type=int, default=12)
    options.add_argument("--python", default=sys.executable)
    options.add_argument("--before", default="")
    options.add_argument("--env", action="append", default=[])
    options.add_argument("--tree", type=Path, default=ROOT)
    options.add_argument("--only", default="", help="workloads with this in their name")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, null_ends() as ends, ExitStack() as stack:
        # Python runs what is called so before anything else (the module site).
        Path(folder, "sitecustomize.py").write_text(given.before)
        environment = dict(each.split("=", 1) for each in given.env)
        environment["PYTHONPATH"] = os.pathsep.join((folder, str(given.tree)))
        sides = (
            stack.enter_context(stage(ends)),
            stack.enter_context(stage(ends, given.python, **environment)),
        )
        for workload in WORKLOADS:
            if given.only in workload.name:
                print(compare(workload, sides, given.rounds), flush=True)
        memory = [side.proxy.memory / 1e6 for side in sides]
        print(f"memory in the end: {memory[0]:.0f} and {memory[1]:.0f} MB")


if __name__ == "__main__":
    main()

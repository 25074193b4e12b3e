"""One worker and two, in turn, in front of a broker and a store that keep nothing.

    python -m benchmarks.workers [--rounds 3] [--seconds 4]

For each workload: rates in MB/s, how many cores parent and workers used, and how the work was spread over the
two. Then how connections are spread, with few and with many of them. Needs psutil (extra ``test``).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import socket
import statistics
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack

import attrs
import psutil

from benchmarks.null_ends import TOPIC, exactly
from benchmarks.null_stage import null_ends, stage
from lfsproxy.devstack.ports import HOST
from tests.integration.frames import batch, lfs, produce, records
from tests.integration.proxy import ProxyProcess

KIB = 1024
AT_ONCE = 4
"""Requests of a Kafka client that are not answered yet, at most."""
Client = Callable[[int, float], int]
"""Given a port and when to stop, moves what it can; the bytes of what was acknowledged."""


def kafka_client(frame: bytes, port: int, until: float) -> int:
    """Sends the same Produce request again and again."""
    acknowledged = waiting = 0
    with socket.create_connection((HOST, port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while time.time() < until or waiting:
            if time.time() < until and waiting < AT_ONCE:
                connection.sendall(frame)
                waiting += 1
                continue
            (size,) = struct.unpack(">i", exactly(connection, 4))
            answer = exactly(connection, size)
            assert struct.unpack_from(">h", answer, 4 + 4 + 2 + len(TOPIC) + 4 + 4) == (0,), answer
            waiting -= 1
            acknowledged += len(frame)
    return acknowledged


def http_client(body: bytes, port: int, until: float) -> int:
    """Uploads the same file again and again, over one connection."""
    head = f"POST /v1/topics/{TOPIC}/records HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    request = head.encode() + body
    acknowledged = 0
    with socket.create_connection((HOST, port)) as connection:
        while time.time() < until:
            connection.sendall(request)
            answer = connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 201"), answer
            acknowledged += len(body)
    return acknowledged


@attrs.frozen
class Workload:
    """``clients`` connections to the Kafka or the HTTP door that do the same."""

    name: str
    door: str
    client: Callable[..., int]
    what: bytes
    clients: int = 8


@attrs.frozen
class Round:
    """``rate`` in MB/s, ``cores`` used by the proxy, and ``least``, the less busy worker's part of that."""

    rate: float
    cores: float
    least: float


WORKLOADS = (
    Workload(
        "Kafka, 16 KiB plain",
        "kafka",
        kafka_client,
        produce(TOPIC, batch(records((None, bytes(16 * KIB), [])))),
    ),
    Workload(
        "Kafka, 512 KiB plain",
        "kafka",
        kafka_client,
        produce(TOPIC, batch(records((None, bytes(512 * KIB), [])))),
    ),
    Workload(
        "Kafka, 256 KiB LFS", "kafka", kafka_client, produce(TOPIC, batch(records(lfs(bytes(256 * KIB)))))
    ),
    Workload("HTTP, 256 KiB", "http", http_client, bytes(256 * KIB)),
)


def seconds_used(proxy: ProxyProcess) -> list[float]:
    """CPU seconds of the proxy's process, and of each worker."""
    parent = psutil.Process(proxy.pid)
    return [
        sum(each.cpu_times()[:2])
        for each in (parent, *sorted(parent.children(), key=lambda child: child.pid))
    ]


def play(proxy: ProxyProcess, workload: Workload, seconds: float) -> Round:
    """Run the workload once."""
    port = proxy.node_port if workload.door == "kafka" else proxy.http_port
    with multiprocessing.Pool(workload.clients) as pool:
        before, began = seconds_used(proxy), time.time()
        until = began + seconds
        moved = sum(pool.starmap(workload.client, [(workload.what, port, until)] * workload.clients, 1))
        took = time.time() - began
    used = [after - earlier for after, earlier in zip(seconds_used(proxy), before, strict=True)]
    each = used[1:] or used
    return Round(moved / took / 1e6, sum(used) / took, min(each) / sum(each))


def spread(proxy: ProxyProcess, count: int) -> list[int]:
    """How many of ``count`` connections, one after the other, each worker has."""

    def connections() -> list[int]:
        children = psutil.Process(proxy.pid).children()
        return [
            sum(
                each.laddr.port == proxy.node_port and each.status == "ESTABLISHED"
                for each in child.net_connections()
            )
            for child in children
        ]

    held = []
    for _ in range(count):
        held.append(socket.create_connection((HOST, proxy.node_port)))
        time.sleep(0.005)
    time.sleep(0.5)
    found = connections()
    for each in held:
        each.close()
    time.sleep(0.5)
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=4)
    given = options.parse_args()
    with null_ends() as ends, ExitStack() as stack:
        proxies = [stack.enter_context(stage(ends, LFS_WORKERS=count)).proxy for count in ("1", "2")]
        # The other worker is ready a moment later.
        time.sleep(2)
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
        for workload in WORKLOADS:
            report(
                workload,
                [
                    tuple(play(proxy, workload, given.seconds) for proxy in proxies)
                    for _ in range(given.rounds)
                ],
            )
        for number in (4, 200):
            print(f"{number} connections: {spread(proxies[1], number)}")


def report(workload: Workload, rounds: list[tuple[Round, ...]]) -> None:
    """The medians of the rounds, and the ratio."""
    one, two = zip(*rounds, strict=True)
    rates = [statistics.median(each.rate for each in side) for side in (one, two)]
    cores = [statistics.median(each.cores for each in side) for side in (one, two)]
    ratio = statistics.median(second.rate / first.rate for first, second in rounds)
    least = statistics.median(each.least for each in two)
    print(
        f"{workload.name}: one {rates[0]:.0f} MB/s ({cores[0]:.2f} cores), two {rates[1]:.0f} MB/s "
        f"({cores[1]:.2f} cores, the less busy one {least:.0%}); ratio {ratio:.2f}, for each core "
        f"{rates[1] / cores[1] / (rates[0] / cores[0]):.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()

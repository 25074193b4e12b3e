"""Clients that upload as fast as they can, from loopback addresses of their own."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import threading
import time
from collections.abc import Iterator

from tests.integration.proxy import ProxyProcess

SECONDS = 120.0


def address(number: int) -> str:
    """The loopback address of one of many clients."""
    return f"127.0.{1 + number // 250}.{1 + number % 250}"


def upload(proxy: ProxyProcess, topic: str, body: bytes, source: str) -> float:
    """Upload a blob on a new connection from that address; how many seconds it took. Blocks."""
    began = time.monotonic()
    connection = http.client.HTTPConnection(
        "127.0.0.1", proxy.http_port, timeout=SECONDS, source_address=(source, 0)
    )
    try:
        connection.request("POST", f"/v1/topics/{topic}/records", body)
        answer = connection.getresponse()
        answer.read()
    finally:
        connection.close()
    if answer.status != 201:
        raise RuntimeError(f"an upload was answered {answer.status}")
    return time.monotonic() - began


@contextlib.contextmanager
def greedy(
    proxy: ProxyProcess, topic: str, size: int, addresses: list[str], connections: int
) -> Iterator[list[float]]:
    """So many connections that upload blobs of ``size`` bytes one after the other, spread over addresses.

    It gives the list of the seconds that each took, which grows.
    """
    body, took, over = os.urandom(size), list[float](), threading.Event()

    def run(source: str) -> None:
        while not over.is_set():
            took.append(upload(proxy, topic, body, source))

    sources = itertools.islice(itertools.cycle(addresses), connections)
    threads = [threading.Thread(target=run, args=(source,), daemon=True) for source in sources]
    for thread in threads:
        thread.start()
    try:
        yield took
    finally:
        over.set()
        for thread in threads:
            thread.join(SECONDS)

"""The least that a small upload over HTTP costs on Twisted: its HTTP server, and a PUT by its Agent.

    python -m benchmarks.upload_floor [--count 2000] [--rounds 5]

The server keeps nothing, checks nothing, writes no log, and publishes nothing. It and the proxy are in front
of the same store that keeps nothing, in turns, with 64 connections. Shown is the least CPU time of each.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from benchmarks.compare.client import Job
from benchmarks.compare.http_loads import upload_small_at_once
from benchmarks.null_ends import TOPIC
from benchmarks.null_stage import listens, null_ends, stage
from lfsproxy.devstack.ports import HOST, free_port
from lfsproxy.net.http import BodyCollector
from lfsproxy.s3.body import BufferBody

CLIENTS = 64
PATH = f"/v1/topics/{TOPIC}/records"


def serve(port: int, store: str) -> None:
    """Each body that comes is put into the store, and then answered."""
    from twisted.internet import reactor
    from twisted.web.client import Agent, HTTPConnectionPool
    from twisted.web.iweb import IResponse
    from twisted.web.resource import Resource
    from twisted.web.server import NOT_DONE_YET, Request, Site

    pool = HTTPConnectionPool(reactor)
    pool.maxPersistentPerHost = CLIENTS
    agent = Agent(reactor, pool=pool)

    class Upload(Resource):
        isLeaf = True

        def render_POST(self, request: Request) -> int:
            def answer(_: bytes) -> None:
                request.setResponseCode(201)
                request.setHeader(b"Content-Length", b"0")
                request.finish()

            def stored(response: IResponse) -> None:
                collector = BodyCollector(1000, lambda: None)
                response.deliverBody(collector)
                collector.done.addCallback(answer)

            body = BufferBody([cast(Any, request.content).read()], lambda: None)
            agent.request(b"PUT", f"{store}/bucket/key".encode(), bodyProducer=body).addCallback(stored)
            return NOT_DONE_YET

    cast(Any, reactor).listenTCP(port, Site(cast(Any, Upload)()), interface=HOST)
    cast(Any, reactor).run()


def cpu(pid: int) -> float:
    """CPU seconds of all threads of a process so far, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def work(port: int, count: int) -> Callable[[], object]:
    """Uploads of 1 KB, as the benchmarks beside other proxies do them."""
    return upload_small_at_once(
        Job("upload_small_at_once", 1000, count, CLIENTS, TOPIC, "", http_port=port, path=PATH)
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--count", type=int, default=2000)
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    port = free_port()
    with null_ends() as ends, stage(ends) as proxy:
        floor = multiprocessing.Process(target=serve, args=(port, ends["LFS_S3_ENDPOINT"]), daemon=True)
        floor.start()
        while not listens(port):
            time.sleep(0.05)
        sides = {"floor": (port, floor.pid or 0), "proxy": (proxy.proxy.http_port, proxy.proxy.pid)}
        found: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(given.rounds):
            for name, (at, pid) in sides.items():
                upload = work(at, given.count)
                before = cpu(pid)
                upload()
                found[name].append((cpu(pid) - before) / given.count * 1e6)
        floor.kill()
    for name, times in found.items():
        print(f"{name}: {min(times):.0f} us CPU an upload")


if __name__ == "__main__":
    main()

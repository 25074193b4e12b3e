"""How long a small client waits for an upload while others upload as fast as they can.

    python -m benchmarks.greedy [--kib 100 4096] [--addresses 1 10 100] [--connections 100] [--uploads 20]

The greedy ones have so many connections altogether, spread over so many addresses; the small client has one
of its own and uploads one blob after the other. ``same`` is a round in which all of them have one address, as
behind a load balancer: then memory is given out first come, first served. S3 is behind a link of 5 MiB/s for
each connection, so that uploads take their time. Settings are the defaults.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

from benchmarks.stack import MIB, TOPIC, backends, settings_for
from tests.integration.greedy import address, greedy, upload
from tests.integration.proxy import ProxyProcess
from tests.integration.slow_link import SlowLink

RATE = 5 * MIB
SMALL = "127.0.0.1"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kib", type=int, nargs="+", default=[100, 4096], help="of a blob, of all clients")
    options.add_argument("--addresses", type=int, nargs="+", default=[1, 10, 100], help="greedy ones")
    options.add_argument("--connections", type=int, default=100, help="of the greedy ones, altogether")
    options.add_argument("--uploads", type=int, default=20, help="of the small client")
    chosen = options.parse_args()
    with backends() as (kafka, s3), SlowLink(s3.endpoint, RATE) as link:
        proxy = ProxyProcess({**settings_for(kafka, s3), "LFS_S3_ENDPOINT": link.endpoint})
        try:
            proxy.start()
            print("| blob | greedy addresses | small client: median, slowest | greedy ones: median | alone |")
            print("|---|---|---|---|---|")
            for kib in chosen.kib:
                measure(proxy, kib, chosen)
        finally:
            proxy.close()


def measure(proxy: ProxyProcess, kib: int, chosen: argparse.Namespace) -> None:
    """The rows of blobs of one size."""
    body = os.urandom(kib * 1024)
    alone = statistics.median(upload(proxy, TOPIC, body, SMALL) for _ in range(chosen.uploads))
    for count in ("same", *chosen.addresses):
        sources = [SMALL] if count == "same" else [address(number) for number in range(count)]
        with greedy(proxy, TOPIC, len(body), sources, chosen.connections) as theirs:
            while len(theirs) < chosen.connections:
                time.sleep(0.1)
            before = len(theirs)
            ours = [upload(proxy, TOPIC, body, SMALL) for _ in range(chosen.uploads)]
            greedy_median = statistics.median(theirs[before:] or [0.0])
        print(
            f"| {kib} KiB | {count} | {statistics.median(ours):.2f} s, {max(ours):.2f} s "
            f"| {greedy_median:.2f} s | {alone:.2f} s |",
            flush=True,
        )


if __name__ == "__main__":
    main()

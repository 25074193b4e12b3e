"""Throughput of connections that produce LFS records, without and with others that stall in mid-frame.

    python -m benchmarks.stalled_connections [--connections 150] [--stalled 50] [--bytes 262144]
                                             [--seconds 20] [--rounds 3]

Rounds without and with the stalled ones alternate; the last line is the ratio of their medians. The peak
resident memory of the proxy is printed too.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
from collections.abc import Iterator

from benchmarks.stack import TOPIC, servers
from tests.integration import load
from tests.integration.frames import batch, lfs, produce, records
from tests.integration.raw import RawClient


@contextlib.contextmanager
def stalled(bootstrap: str, connections: int, size: int) -> Iterator[None]:
    """Connections that have sent half of a Produce request, and nothing more."""
    half = produce(TOPIC, batch(records(lfs(os.urandom(size)))))[: size // 2]
    with contextlib.ExitStack() as stack:
        for _ in range(connections):
            stack.enter_context(RawClient(bootstrap)).send(half)
        yield


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--connections", type=int, default=150)
    options.add_argument("--stalled", type=int, default=50)
    options.add_argument("--bytes", type=int, default=256 * 1024, help="of a record")
    options.add_argument("--stalled-bytes", type=int, default=8 * 1024 * 1024, help="of a stalled record")
    options.add_argument("--seconds", type=float, default=20)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    rates: dict[int, list[float]] = {0: [], chosen.stalled: []}
    with servers() as running:
        bootstrap = running.proxy.bootstrap
        load.run(bootstrap, TOPIC, chosen.connections, chosen.bytes, 5)
        for _ in range(chosen.rounds):
            for count, found in rates.items():
                with stalled(bootstrap, count, chosen.stalled_bytes):
                    seen = load.run(bootstrap, TOPIC, chosen.connections, chosen.bytes, chosen.seconds)
                found.append(seen.acknowledged / chosen.seconds)
                print(
                    f"{count:3} stalled: {found[-1]:.0f} records/s, slowest {seen.slowest:.1f} s, "
                    f"{seen.failed} failed, peak {running.proxy.peak_memory / 1e6:.0f} MB",
                    flush=True,
                )
    ratio = statistics.median(rates[chosen.stalled]) / statistics.median(rates[0])
    print(f"ratio {ratio:.2f}")


if __name__ == "__main__":
    main()

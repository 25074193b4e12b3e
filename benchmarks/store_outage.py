"""Pauses the S3 server, and stops it, for a minute under load: what Kafka clients notice of it.

    python -m benchmarks.store_outage [--seconds 60]

Plain records (50 a second) must notice nothing. Records to be offloaded get a retriable answer within
LFS_S3_RETRY_TIMEOUT (15 s), and are delivered by their clients' own retries afterwards.
"""

from __future__ import annotations

import argparse

from benchmarks.stack import servers
from tests.integration.outage import Traffic, observe


def words(traffic: Traffic) -> str:
    """One kind of records in words."""
    return f"{traffic.delivered} delivered, {traffic.failed} failed, slowest {traffic.slowest:.1f} s"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=60)
    chosen = options.parse_args()
    with servers() as running:
        for stop in (False, True):
            name = "stopped" if stop else "paused"
            running.kafka.create_topic(name, partitions=3)
            seen = observe(running.proxy, running.s3, name, chosen.seconds, stop=stop)
            codes = sorted({code for code, _ in seen.answers})
            longest = max(seconds for _, seconds in seen.answers)
            print(f"S3 {name} for {chosen.seconds:.0f} s:")
            print(f"  plain records: {words(seen.plain)}")
            print(f"  single attempts: {len(seen.answers)} answered with {codes}, within {longest:.1f} s")
            print(f"  records to be offloaded, with retries: {words(seen.offloaded)}")
            print(f"  all delivered {seen.recovered:.1f} s after S3 was back", flush=True)
        print(f"peak of the proxy: {running.proxy.peak_memory / 1e6:.0f} MB")


if __name__ == "__main__":
    main()

"""Small uploads one after the other, and what of each is Kafka's part.

    python -m benchmarks.small_uploads [--uploads 300] [--rounds 5] [--kib 1] [--other TREE]

Uploads over one connection, and prints the median time of an upload and the mean of lfsproxy_publish_seconds.
With ``--other``, a folder with another version of the package, both run in front of the same servers, take
turns, and the ratio of their medians is printed.
"""

from __future__ import annotations

import argparse
import http.client
import os
import statistics
import time
from pathlib import Path

import attrs

from benchmarks.stack import TOPIC, servers
from tests.integration.proxy import ProxyProcess


@attrs.define
class Version:
    """A running proxy, and what was measured of it, in milliseconds."""

    name: str
    proxy: ProxyProcess
    uploads: list[float] = attrs.Factory(list)
    publishes: list[float] = attrs.Factory(list)

    def measure(self, count: int, size: int) -> None:
        """One round."""
        body, before = os.urandom(size), self.published()
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.http_port)
        for _ in range(count):
            began = time.perf_counter()
            connection.request("POST", f"/v1/topics/{TOPIC}/records?partition=0", body)
            answer = connection.getresponse()
            answer.read()
            self.uploads.append((time.perf_counter() - began) * 1000)
            if answer.status != 201:
                raise SystemExit(f"the answer was {answer.status}:\n{self.proxy.log[-2000:]}")
        connection.close()
        after = self.published()
        self.publishes.append((after[0] - before[0]) / (after[1] - before[1]) * 1000)

    def published(self) -> tuple[float, float]:
        """Seconds and number of publishes so far."""
        samples = self.proxy.metrics()
        return samples["lfsproxy_publish_seconds_sum"], samples["lfsproxy_publish_seconds_count"]

    def __str__(self) -> str:
        publish, upload = statistics.median(self.publishes), statistics.median(self.uploads)
        return f"{self.name:12} publish {publish:6.2f} ms   upload {upload:6.2f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--uploads", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kib", type=int, default=1)
    parser.add_argument("--other", type=Path)
    chosen = parser.parse_args()
    with servers() as running:
        versions = [Version("this", running.proxy)]
        if chosen.other is not None:
            ours = running.proxy.environment
            given = {name: value for name, value in ours.items() if name.startswith(("LFS_", "AWS_"))}
            for name in ("LFS_KAFKA_ADDR", "LFS_KAFKA_BROKER_PORT_BASE", "LFS_HTTP_ADDR", "LFS_METRICS_ADDR"):
                del given[name]
            other = ProxyProcess({**given, "PYTHONPATH": str(chosen.other)})
            other.start()
            versions.append(Version("the other", other))
        for version in versions:
            version.measure(chosen.uploads, chosen.kib * 1024)
            version.uploads.clear()
            version.publishes.clear()
        for _ in range(chosen.rounds):
            for version in versions:
                version.measure(chosen.uploads, chosen.kib * 1024)
        for version in versions:
            print(version)
        if len(versions) == 2:
            this, that = versions
            publish = statistics.median(that.publishes) / statistics.median(this.publishes)
            upload = statistics.median(that.uploads) / statistics.median(this.uploads)
            print(f"the other / this: publish {publish:.1f}, upload {upload:.1f}")
            versions[1].proxy.close()


if __name__ == "__main__":
    main()

"""An upload that takes longer than a client waits: attempts, outcome, what is stored, and what the log says.

    python -m benchmarks.slow_upload [--seconds 40] [--timeout 30] [--delivery 100] [--idle 0]

A record is produced through the proxy while the way to S3 is so slow that its upload takes ``--seconds``: by
kafka-python and Java's KafkaProducer (where a JDK is at hand), first with a request timeout below that, which
cannot succeed, then with one above. ``--idle`` lowers the broker's connections.max.idle.ms.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Callable
from typing import Any
from unittest import SkipTest

from benchmarks.stack import BUCKET, Servers, s3_client, servers
from tests.integration.clients import java
from tests.integration.clients.python import kafka_python, read_topic
from tests.integration.clients.records import Mode, Outcome, lfs
from tests.integration.proxy import ProxyProcess
from tests.integration.slow_link import SlowLink

SIZE = 4_000_000


def attempt(
    running: Servers, proxy: ProxyProcess, produce: Callable[..., list[Outcome]], topic: str, **config: Any
) -> None:
    """Produce one record and print what became of it."""
    running.kafka.create_topic(topic)
    logged, started = len(proxy.log), time.monotonic()
    (outcome,) = produce(proxy.bootstrap, topic, [lfs(os.urandom(SIZE))], Mode(), **config)
    seconds = time.monotonic() - started
    # The last attempt may go on for a moment after its client has given up.
    time.sleep(5)
    found = s3_client(running.s3).list_objects_v2(Bucket=BUCKET, Prefix=f"lfs/default/{topic}/")
    lines = [line for line in proxy.log[logged:].splitlines() if "request.timeout.ms" in line]
    shown = ", ".join(f"{name}={value}" for name, value in config.items())
    print(f"{produce.__module__.rpartition('.')[2]} {produce.__name__}, {shown}:")
    print(f"  {outcome.error or f'delivered at offset {outcome.offset}'} after {seconds:.0f} s")
    print(f"  {len(read_topic(running.kafka.bootstrap, topic))} records in the topic, ", end="")
    print(f"{found['KeyCount']} blobs in S3, {len(lines)} lines in the log", flush=True)
    for line in lines[:1]:
        print("  " + re.sub(r"^.*?\] ", "", line))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seconds", type=float, default=40, help="that the upload takes")
    options.add_argument("--timeout", type=float, default=30, help="seconds of request.timeout.ms")
    options.add_argument("--delivery", type=float, default=100, help="seconds of delivery.timeout.ms")
    options.add_argument("--idle", type=float, default=0, help="seconds of connections.max.idle.ms")
    chosen = options.parse_args()
    broker = {"connections.max.idle.ms": str(int(chosen.idle * 1000))} if chosen.idle else {}
    clients: list[Callable[..., list[Outcome]]] = [kafka_python]
    try:
        java.require_compiler()
        clients.append(java.produce)
    except SkipTest as why:
        print(f"without Java's client: {why}")
    with servers(broker=broker) as running, SlowLink(running.s3.endpoint, int(SIZE / chosen.seconds)) as link:
        kept = ("LFS_KAFKA_BROKERS", "LFS_S3_PATH_STYLE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        environment = {name: running.proxy.environment[name] for name in kept}
        proxy = ProxyProcess({**environment, "LFS_S3_ENDPOINT": link.endpoint})
        proxy.start()
        try:
            for index, produce in enumerate(clients):
                for timeout in (chosen.timeout, 3 * chosen.seconds):
                    attempt(
                        running,
                        proxy,
                        produce,
                        f"slow-{index}-{timeout:.0f}",
                        request_timeout_ms=int(timeout * 1000),
                        delivery_timeout_ms=int(max(chosen.delivery, timeout + 1) * 1000),
                    )
        finally:
            proxy.close()


if __name__ == "__main__":
    main()

"""Produce and consume through the Kafka door, and straight to the broker, in one run.

    python -m benchmarks.kafka_door [--rounds 3] [--records 100000]

Plain records of 1 KB and 10 KB: produced and consumed, straight and through the proxy, alternating. Then
eight LFS records of 64 MiB through the proxy. Prints median rates, ratios and the proxy's CPU seconds per
GB. Needs confluent-kafka and psutil (extra ``test``).
"""

from __future__ import annotations

import argparse
import os
import time
import uuid
from functools import partial

from confluent_kafka import Consumer, Producer

from benchmarks.stack import MIB, TOPIC, Series, measure, report, servers


def produce(bootstrap: str, topic: str, value: bytes, count: int, lfs: bool) -> None:
    """Produce ``count`` records and wait for every acknowledgement."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 5,
            "batch.size": 1000000,
            "message.max.bytes": 1000000000,
            "queue.buffering.max.kbytes": 2097151,
            "queue.buffering.max.messages": 1000000,
            "request.timeout.ms": 300000,
            "socket.timeout.ms": 300000,
        }
    )
    failed: list[str] = []

    def delivered(error: object, _: object) -> None:
        if error:
            failed.append(str(error))

    headers: dict[str, str | bytes | None] | None = {"LFS_BLOB": b""} if lfs else None
    for _ in range(count):
        while True:
            try:
                producer.produce(topic, value, headers=headers, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.01)
        producer.poll(0)
    producer.flush(600)
    if failed:
        raise SystemExit(f"{len(failed)} of {count} records failed: {failed[0]}")


def consume(bootstrap: str, topic: str, count: int) -> None:
    """Read the first ``count`` records of the topic."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": str(uuid.uuid4()),
            "auto.offset.reset": "earliest",
            "fetch.message.max.bytes": 4 * MIB,
            # Else a consumer whose queue is full, because the broker is quick, waits for a second.
            "fetch.queue.backoff.ms": 5,
        }
    )
    consumer.subscribe([topic])
    deadline = time.monotonic() + 300
    got = 0
    while got < count and time.monotonic() < deadline:
        got += sum(not message.error() for message in consumer.consume(10000, 1.0))
    consumer.close()
    if got < count:
        raise SystemExit(f"only {got} of {count} records came")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--records", type=int, default=100000, help="of 1 KB; a tenth of that of 10 KB")
    chosen = options.parse_args()
    with servers() as running:
        proxy, broker, door = running.proxy, running.kafka.bootstrap, running.proxy.bootstrap
        for size, count in ((1000, chosen.records), (10000, chosen.records // 10)):
            value = os.urandom(size)
            topic = f"{TOPIC}-{size}"
            running.kafka.create_topic(topic)
            series = [
                Series(f"{verb} {size} B records {way}")
                for verb in ("produce", "consume")
                for way in ("straight", "through the proxy")
            ]
            total = size * count
            for _ in range(chosen.rounds):
                measure(series[0], total, partial(produce, broker, topic, value, count, False), None)
                measure(
                    series[1], total, partial(produce, proxy.bootstrap, topic, value, count, False), proxy
                )
                measure(series[2], total, partial(consume, broker, topic, count), None)
                measure(series[3], total, partial(consume, door, topic, count), proxy)
            report(series[0], series[1])
            report(series[2], series[3])
        lfs = Series("produce 8 LFS records of 64 MiB")
        value = os.urandom(64 * MIB)
        for _ in range(chosen.rounds):
            measure(lfs, 8 * len(value), partial(produce, door, TOPIC, value, 8, True), proxy)
        print(f"{lfs}\npeak RSS of the proxy: {proxy.peak_memory / 1e6:.0f} MB")


if __name__ == "__main__":
    main()

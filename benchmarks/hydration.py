"""What it costs a consumer without an SDK to get blobs through the proxy, beside the Python reader.

    python -m benchmarks.hydration [--rounds 3] [--only 8x64m]

Three topics: 8 records of 64 MiB, 1,000 of 100 KB, and one of 1.5 GiB. Each is read by librdkafka through the
proxy, which gives the blobs, and by librdkafka from the broker with the library's reader for the blobs, in
turns. Both are processes of their own, which begin when they are connected. Printed is a table in markdown:
the median of the rounds, CPU time and peak memory (VmHWM) of the proxy's process, and the machine's load.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time
import uuid
from multiprocessing.connection import Connection
from typing import Any

import attrs
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, Producer, TopicPartition

from benchmarks.compare.usage import Usage
from benchmarks.stack import BUCKET, MIB, Servers, servers
from lfsproxy.client import BlobReader, resolve_records
from tests.integration.large import with_a_generator

MOST_RECORD = 1_000_000_000
"""Bytes of a record that librdkafka sends, at most."""
SECONDS = 300
SETTINGS: dict[str, Any] = {
    "LFS_HYDRATE_TOPICS": "*",
    "LFS_HYDRATE_CLIENT_IDS": "*,!straight",
    "LFS_HYDRATE_MAX_SIZE": str(2_000_000_000),
}


@attrs.frozen
class Load:
    """``count`` blobs of ``size`` bytes. ``concurrency``: how many the reader gets side by side."""

    name: str
    count: int
    size: int
    concurrency: int


LOADS = (
    Load("8x64m", 8, 64 * MIB, 1),
    Load("1000x100k", 1000, 100_000, 8),
    Load("1x1.5g", 1, 1536 * MIB, 1),
)


@attrs.frozen
class Place:
    """Where to read: Kafka's address, and the store where the blobs come from there."""

    bootstrap: str
    topic: str
    reader: dict[str, str] | None


def fill(running: Servers, load: Load) -> None:
    """Send the records through the proxy."""
    running.kafka.create_topic(load.name)
    if load.size > MOST_RECORD:
        with_a_generator(running.proxy.bootstrap, load.name, load.size)
        return
    producer = Producer(
        {
            "bootstrap.servers": running.proxy.bootstrap,
            "message.max.bytes": MOST_RECORD,
            "queue.buffering.max.kbytes": 2_097_151,
        }
    )
    data = bytearray(os.urandom(load.size))
    for number in range(load.count):
        data[:4] = number.to_bytes(4)
        producer.produce(load.name, bytes(data), headers=[("LFS_BLOB", b"")])
        producer.poll(0)
    if producer.flush(SECONDS):
        raise RuntimeError("the records are not in Kafka")


def consumed(consumer: Consumer, most: int) -> list[Message]:
    """The next records, up to ``most``: more than are left would be waited for."""
    messages = consumer.consume(most, 0.2)
    for message in messages:
        if message.error():
            raise RuntimeError(str(message.error()))
    return messages


def consume(place: Place, load: Load, pipe: Connection) -> None:
    """Read all of a topic: the seconds of it go through ``pipe``, and what begins it comes through it."""
    consumer = Consumer(
        {
            "bootstrap.servers": place.bootstrap,
            "client.id": "straight" if place.reader else "hydrated",
            "group.id": str(uuid.uuid4()),
            "broker.address.family": "v4",
            "fetch.message.max.bytes": 8 * MIB,
            "receive.message.max.bytes": 2_147_483_647,
            "fetch.queue.backoff.ms": 5,
        }
    )
    consumer.list_topics(load.name, timeout=SECONDS)
    reader = None
    if place.reader is not None:
        reader = BlobReader.from_environment(place.reader, max_size=0)
    pipe.send(None)
    pipe.recv()
    began, count, size = time.perf_counter(), 0, 0
    # Without a group, whose members are waited for.
    consumer.assign([TopicPartition(place.topic, 0, OFFSET_BEGINNING)])
    while count < load.count:
        if time.perf_counter() - began > SECONDS:
            raise RuntimeError(f"{count} of {load.count} records came")
        messages = consumed(consumer, load.count - count)
        if reader is None:
            count += len(messages)
            size += sum(len(message) for message in messages)
            continue
        for one in resolve_records(reader, messages, concurrency=load.concurrency):
            count += 1
            size += len(one.value or b"")
    if size < load.count * load.size:
        raise RuntimeError(f"{size} bytes came: envelopes, and not their blobs")
    pipe.send(time.perf_counter() - began)
    consumer.close()


@attrs.frozen
class Figures:
    """One round: seconds, and the proxy's CPU seconds and bytes of peak memory meanwhile."""

    seconds: float
    cpu: float
    peak: int


def measure(running: Servers, place: Place, load: Load) -> Figures:
    """One round, in a process of its own."""
    pipe, other = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=consume, args=(place, load, other))
    process.start()
    other.close()
    try:
        pipe.recv()
        usage = Usage(running.proxy.pid)
        pipe.send(None)
        seconds = pipe.recv()
        return Figures(seconds, *usage.end())
    finally:
        pipe.close()
        process.join(SECONDS)


def line(load: Load, through: list[Figures], straight: list[Figures]) -> str:
    """A line of the table."""
    size = load.count * load.size
    rate = statistics.median(size / 1e6 / each.seconds for each in through)
    other = statistics.median(size / 1e6 / each.seconds for each in straight)
    ratio = statistics.median(two.seconds / one.seconds for one, two in zip(through, straight, strict=True))
    cpu = statistics.median(each.cpu for each in through)
    peak = max(each.peak for each in through) / 1e6
    return (
        f"| {load.count:,} x {load.size:,} bytes | {rate:.0f} MB/s | {other:.0f} MB/s | {ratio:.2f} "
        f"| {cpu / (size / 1e9):.2f} | {cpu / load.count * 1000:.2f} ms | {peak:.0f} MB |"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--only", choices=[load.name for load in LOADS])
    chosen = options.parse_args()
    with servers(**SETTINGS) as running:
        store = {**running.proxy.environment, "LFS_S3_BUCKET": BUCKET}
        print(f"proxy: process {running.proxy.pid}", flush=True)
        print("| records | proxy | reader | ratio | CPU s/GB | CPU a blob | peak |")
        print("|---|---:|---:|---:|---:|---:|---:|")
        for load in LOADS:
            if chosen.only not in (None, load.name):
                continue
            fill(running, load)
            both = (
                Place(running.proxy.bootstrap, load.name, None),
                Place(running.kafka.bootstrap, load.name, store),
            )
            rounds = [[measure(running, place, load) for place in both] for _ in range(chosen.rounds)]
            through, straight = ([one[side] for one in rounds] for side in (0, 1))
            print(line(load, through, straight), flush=True)
        print(f"load average: {' '.join(f'{one:.1f}' for one in os.getloadavg())}")


if __name__ == "__main__":
    main()

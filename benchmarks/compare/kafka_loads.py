"""What a Kafka client does, librdkafka: the same straight to a broker and through a proxy."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, Producer, TopicPartition

from benchmarks.compare.jobs import Job, Work

MIB = 1024 * 1024
BATCH = 1_000_000
"""Bytes of a batch, at most."""
AT_A_TIME = 2000
"""Records that are handed to librdkafka by one call."""
WARM_UP = 20
HYDRATED = "hydrated"
"""The id of the client that gets blobs."""


class Failures(list[str]):
    """Reports of records that were not delivered."""

    def __call__(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self.append(str(error))

    def check(self, producer: Producer) -> None:
        """Wait for all reports. Raises RuntimeError if a record is not in Kafka."""
        left = producer.flush(600)
        if self or left:
            raise RuntimeError(f"{len(self)} records failed, {left} are not answered: {self[:1]}")


def new_producer(job: Job, failures: Failures, **settings: Any) -> Producer:
    """A producer that is connected and knows the topic."""
    producer = Producer(
        {
            "bootstrap.servers": job.bootstrap,
            "linger.ms": 5,
            "batch.size": BATCH,
            "message.max.bytes": 1_000_000_000,
            "queue.buffering.max.kbytes": 2_097_151,
            "queue.buffering.max.messages": 1_000_000,
            "request.timeout.ms": 300_000,
            "socket.timeout.ms": 300_000,
            # Nothing is told of what went well: that would be the client's work, once a record.
            "delivery.report.only.error": True,
            "on_delivery": failures,
            **settings,
        }
    )
    for _ in range(WARM_UP):
        producer.produce(job.topic, b"warm", partition=0)
        failures.check(producer)
    return producer


def offload(job: Job) -> Work:
    """Records with the header that has them go to S3."""
    failures, value = Failures(), os.urandom(job.size)
    producer = new_producer(job, failures)

    def work() -> list[float]:
        for _ in range(job.count):
            producer.produce(job.topic, value, partition=0, headers=[("LFS_BLOB", b"")])
            producer.poll(0)
        failures.check(producer)
        return []

    return work


def produce(job: Job) -> Work:
    """Ordinary records."""
    failures, value = Failures(), os.urandom(job.size)
    producer = new_producer(job, failures)

    def work() -> list[float]:
        left = job.count
        while left:
            records = [{"value": value} for _ in range(min(left, AT_A_TIME))]
            # How many of them there was room for.
            taken = producer.produce_batch(job.topic, records, partition=0)
            left -= taken
            producer.poll(0 if taken == len(records) else 0.01)
        failures.check(producer)
        return []

    return work


def produce_in_turn(job: Job) -> Work:
    """One record after the other, each in a request of its own that the broker's leader answers."""
    failures, value = Failures(), os.urandom(job.size)
    producer = new_producer(job, failures, acks=1, **{"linger.ms": 0})

    def one() -> float:
        began = time.perf_counter()
        producer.produce(job.topic, value, partition=0)
        failures.check(producer)
        return time.perf_counter() - began

    return lambda: [one() for _ in range(job.count)]


def consume(job: Job) -> Work:
    """Read as many records from the start of the topic."""
    settings: dict[str, str | int | float | bool] = {
        "bootstrap.servers": job.bootstrap,
        "group.id": str(uuid.uuid4()),
        "auto.offset.reset": "earliest",
        "fetch.message.max.bytes": 4 * MIB,
        # Else a consumer whose queue is full, because the broker is quick, waits for a second.
        "fetch.queue.backoff.ms": 5,
    }
    consumer = Consumer(settings)

    def work() -> list[float]:
        consumer.subscribe([job.topic])
        deadline, got = time.monotonic() + 300, 0
        while got < job.count and time.monotonic() < deadline:
            got += sum(not message.error() for message in consumer.consume(10_000, 1.0))
        consumer.close()
        if got < job.count:
            raise RuntimeError(f"only {got} of {job.count} records came")
        return []

    return work


def records_of(job: Job, client_id: str) -> Callable[[], Iterator[Message]]:
    """A consumer that is connected, and then gives as many records from the start of the topic."""
    consumer = Consumer(
        {
            "bootstrap.servers": job.bootstrap,
            "client.id": client_id,
            "group.id": str(uuid.uuid4()),
            "fetch.message.max.bytes": 4 * MIB,
            "receive.message.max.bytes": 2_000_000_000,
            "fetch.queue.backoff.ms": 5,
        }
    )
    consumer.list_topics(job.topic, timeout=60)

    def records() -> Iterator[Message]:
        # Without a group, whose members are waited for.
        consumer.assign([TopicPartition(job.topic, 0, OFFSET_BEGINNING)])
        for number in range(job.count):
            message = consumer.poll(300)
            if message is None or message.error():
                why = message and message.error()
                raise RuntimeError(f"record {number} of {job.count} did not come: {why}")
            yield message
        consumer.close()

    return records


def hydrate(job: Job) -> Work:
    """Read values that are in S3, as a client that does not know of it."""
    records = records_of(job, HYDRATED)

    def work() -> list[float]:
        for message in records():
            if len(message) < job.size:
                raise RuntimeError(f"a value of {len(message)} bytes came: an envelope, and not its blob")
        return []

    return work


LOADS: Mapping[str, Callable[[Job], Work]] = {
    "offload": offload,
    "produce": produce,
    "produce_in_turn": produce_in_turn,
    "consume": consume,
    "hydrate": hydrate,
}

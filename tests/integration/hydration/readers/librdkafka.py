"""confluent-kafka's consumer."""

from __future__ import annotations

from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from tests.integration.hydration.readers.lines import Printer, read_job

LARGEST = 64 * 1024 * 1024


def main() -> None:
    """Read the job's partitions."""
    job = read_job()
    consumer = Consumer(
        {
            "bootstrap.servers": job.bootstrap,
            "client.id": job.client_id,
            "client.rack": job.rack,
            "group.id": "reader",
            "enable.auto.commit": False,
            "isolation.level": job.isolation,
            "check.crcs": True,
            "broker.address.family": "v4",
            "fetch.wait.max.ms": 100,
            "fetch.message.max.bytes": job.partition_max_bytes,
            # It refuses a limit of answers below that of messages.
            "message.max.bytes": max(1000, min(job.max_bytes, LARGEST)),
            "fetch.max.bytes": max(1000, job.max_bytes),
            "receive.message.max.bytes": 2**31 - 1,
        }
    )
    out = Printer(job)
    consumer.assign([TopicPartition(part.topic, part.partition, part.start) for part in job.parts])
    while not out.done:
        for message in consumer.consume(500, 0.1):
            problem = message.error()
            if problem is not None:
                raise KafkaException(problem)
            found: Any = message
            kind, timestamp = found.timestamp()
            out.line(
                found.topic(),
                found.partition(),
                found.offset(),
                found.key(),
                timestamp,
                kind - 1,
                found.headers() or [],
                found.value(),
            )
    consumer.close()


if __name__ == "__main__":
    main()

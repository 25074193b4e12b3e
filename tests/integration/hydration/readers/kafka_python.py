"""kafka-python's consumer."""

from __future__ import annotations

from kafka import KafkaConsumer, TopicPartition

from tests.integration.hydration.readers.lines import Printer, read_job


def main() -> None:
    """Read the job's partitions."""
    job = read_job()
    consumer = KafkaConsumer(
        bootstrap_servers=job.bootstrap,
        client_id=job.client_id,
        client_rack=job.rack,
        enable_auto_commit=False,
        isolation_level=job.isolation,
        check_crcs=True,
        fetch_max_wait_ms=100,
        fetch_max_bytes=job.max_bytes,
        max_partition_fetch_bytes=job.partition_max_bytes,
    )
    out = Printer(job)
    consumer.assign([TopicPartition(part.topic, part.partition) for part in job.parts])
    for part in job.parts:
        consumer.seek(TopicPartition(part.topic, part.partition), part.start)
    while not out.done:
        for records in consumer.poll(timeout_ms=100).values():
            for one in records:
                place = one.topic, one.partition, one.offset, one.key, one.timestamp, one.timestamp_type
                out.line(*place, one.headers, one.value)
    consumer.close()


if __name__ == "__main__":
    main()

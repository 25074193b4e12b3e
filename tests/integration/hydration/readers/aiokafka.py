"""aiokafka's consumer."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.integration.hydration.readers.lines import Printer, read_job


async def main() -> None:
    """Read the job's partitions."""
    job = read_job()
    consumer = AIOKafkaConsumer(
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
    await consumer.start()
    try:
        consumer.assign([TopicPartition(part.topic, part.partition) for part in job.parts])
        for part in job.parts:
            consumer.seek(TopicPartition(part.topic, part.partition), part.start)
        while not out.done:
            for records in (await consumer.getmany(timeout_ms=100)).values():
                for one in records:
                    place = one.topic, one.partition, one.offset, one.key, one.timestamp, one.timestamp_type
                    out.line(*place, one.headers, one.value)
    finally:
        await consumer.stop()


if __name__ == "__main__":
    asyncio.run(main())

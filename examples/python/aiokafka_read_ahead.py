import asyncio
from contextlib import aclosing

from aiokafka import AIOKafkaConsumer, TopicPartition
from lfsproxy.client.aiokafka import resolve_records

from lfsproxy.client import aio


async def main() -> None:
    reader = aio.BlobReader.from_environment()
    consumer = AIOKafkaConsumer(
        "demo-topic",
        bootstrap_servers="localhost:19092",
        group_id="demo",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    async with consumer, aclosing(resolve_records(consumer, reader, prefetch=4)) as records:
        async for record, resolved in records:
            print(record.offset, len(resolved.value))  # the blob's bytes, or the value as it is
            await consumer.commit({TopicPartition(record.topic, record.partition): record.offset + 1})


asyncio.run(main())

import asyncio
from contextlib import aclosing

from aiokafka import AIOKafkaConsumer, TopicPartition

from lfsproxy.client.aio import BlobReader, resolve_records


async def main() -> None:
    consumer = AIOKafkaConsumer(
        "demo-topic",
        bootstrap_servers="localhost:19092",
        group_id="demo",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    reader = BlobReader.from_environment()
    async with reader, consumer, aclosing(resolve_records(reader, consumer)) as records:
        async for each in records:
            record = each.record
            print(record.offset, len(each.value))  # raises here if this blob failed
            await consumer.commit({TopicPartition(record.topic, record.partition): record.offset + 1})


asyncio.run(main())

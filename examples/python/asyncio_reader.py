import asyncio

from aiokafka import AIOKafkaConsumer

from lfsproxy.client.aio import BlobReader


async def main() -> None:
    consumer = AIOKafkaConsumer(
        "demo-topic", bootstrap_servers="localhost:19092", auto_offset_reset="earliest"
    )
    async with BlobReader.from_environment() as reader, consumer:
        async for record in consumer:
            size = 0
            async with reader.open(record.value) as blob:
                async for chunk in blob:  # up to 1 MiB each
                    size += len(chunk)
            print(record.offset, size)


asyncio.run(main())

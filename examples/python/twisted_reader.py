from kafka import KafkaConsumer
from twisted.internet.task import react
from twisted.internet.threads import deferToThread

from lfsproxy.client.tx import BlobReader


async def main(reactor) -> None:
    reader = BlobReader.from_environment()
    consumer = KafkaConsumer("demo-topic", bootstrap_servers="localhost:19092", auto_offset_reset="earliest")
    while True:
        record = await deferToThread(next, consumer)
        payload = await reader.fetch(record.value)  # the blob's bytes; an ordinary value as it is
        print(record.offset, len(payload))


react(main)

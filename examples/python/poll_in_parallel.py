from confluent_kafka import Consumer

from lfsproxy.client import BlobReader, resolve_records

reader = BlobReader.from_environment()
consumer = Consumer(
    {
        "bootstrap.servers": "localhost:19092",
        "group.id": "demo",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
)
consumer.subscribe(["demo-topic"])
while True:
    messages = consumer.consume(100, timeout=1)
    for each in resolve_records(reader, messages, concurrency=8):
        if each.error is None:
            print(each.record.offset(), len(each.value))
        else:
            print(each.record.offset(), "no value:", each.error)
    if messages:
        consumer.commit()

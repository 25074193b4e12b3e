from confluent_kafka import DeserializingConsumer
from confluent_kafka.error import ValueDeserializationError

from lfsproxy.client import BlobReader
from lfsproxy.client.deserializers import LfsDeserializer

consumer = DeserializingConsumer(
    {
        "bootstrap.servers": "localhost:19092",
        "group.id": "demo",
        "auto.offset.reset": "earliest",
        "value.deserializer": LfsDeserializer(BlobReader.from_environment()),
    }
)
consumer.subscribe(["demo-topic"])
while True:
    try:
        message = consumer.poll(1)
    except ValueDeserializationError as error:
        print("no value:", error.exception.problem)  # the next poll gives the next record
        continue
    if message is not None:
        print(message.offset(), len(message.value()))

from confluent_kafka import DeserializingConsumer
from confluent_kafka.error import ValueDeserializationError

from lfsproxy.client import MISSING, BlobReader
from lfsproxy.client.deserializers import LfsDeserializer

reader = BlobReader.from_environment(on_missing="skip")
consumer = DeserializingConsumer(
    {
        "bootstrap.servers": "localhost:19092",
        "group.id": "demo",
        "auto.offset.reset": "earliest",
        "value.deserializer": LfsDeserializer(reader, missing=MISSING),
    }
)
consumer.subscribe(["demo-topic"])
while True:
    try:
        message = consumer.poll(1)
    except ValueDeserializationError as error:
        print("no value:", error.exception.problem)  # the next poll gives the next record
        continue
    if message is None:
        continue
    if message.value() is MISSING:
        print(message.offset(), "its blob is missing")
    elif message.value() is not None:  # None: a null value
        print(message.offset(), len(message.value()))

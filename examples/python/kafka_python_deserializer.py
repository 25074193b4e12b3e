from kafka import KafkaConsumer

from lfsproxy.client import BlobReader
from lfsproxy.client.kafka_python import LfsDeserializer

consumer = KafkaConsumer(
    "demo-topic",
    bootstrap_servers="localhost:19092",
    auto_offset_reset="earliest",
    value_deserializer=LfsDeserializer(BlobReader.from_environment()),
)
for record in consumer:
    print(record.offset, len(record.value))

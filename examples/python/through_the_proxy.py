from kafka import KafkaConsumer

from lfsproxy.client import BlobReader, ProxySource, RecordCoordinates

reader = BlobReader(source=ProxySource("http://localhost:8080", api_key=None))
consumer = KafkaConsumer("demo-topic", bootstrap_servers="localhost:19092", auto_offset_reset="earliest")
for record in consumer:
    payload = reader.fetch(record.value, record=RecordCoordinates.of(record))
    print(record.offset, len(payload))

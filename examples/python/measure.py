from kafka import KafkaConsumer
from prometheus_client import REGISTRY, start_http_server

from lfsproxy.client import BlobReader, RecordCoordinates
from lfsproxy.client.prometheus import PrometheusHook

start_http_server(9100)
reader = BlobReader.from_environment(on_resolve=PrometheusHook())
consumer = KafkaConsumer("demo-topic", bootstrap_servers="localhost:19092", auto_offset_reset="earliest")
for record in consumer:
    reader.fetch(record.value, record=RecordCoordinates.of(record))
    labels = {"topic": record.topic, "result": "ok"}
    print("reads:", REGISTRY.get_sample_value("lfs_client_reads_total", labels))

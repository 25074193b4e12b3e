from kafka import KafkaConsumer
from prometheus_client import Counter, Histogram

from lfsproxy.client import BlobReader, Resolution

downloads = Counter("downloads", "Blobs that were read, by result", ["result"])
seconds = Histogram("download_seconds", "How long a blob took, in seconds")


def count(done: Resolution) -> None:
    downloads.labels(done.result).inc()  # ok, closed (or cancelled), blob-missing, ...
    seconds.observe(done.seconds)
    print(done.result, done.size, "bytes")


reader = BlobReader.from_environment(on_resolve=count)
consumer = KafkaConsumer("demo-topic", bootstrap_servers="localhost:19092", auto_offset_reset="earliest")
for record in consumer:
    reader.fetch(record.value)

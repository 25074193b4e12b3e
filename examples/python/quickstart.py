from itertools import islice

from kafka import KafkaConsumer, KafkaProducer

from lfsproxy.client import BlobReader, Uploader, checksum_of, lfs_headers

image = bytes(range(256)) * 40_000

# One line marks a record: the proxy puts its value into S3, if it has this checksum.
producer = KafkaProducer(bootstrap_servers="localhost:19092", max_request_size=2 * len(image))
producer.send("demo-topic", image, headers=lfs_headers(checksum_of(image), content_type="image/png")).get(60)
producer.close()

# Or over HTTP, streamed: bytes, a file or any iterable of bytes.
with Uploader("http://localhost:8080") as proxy:
    published = proxy.upload("demo-topic", image, content_type="image/png")
print(published.partition, published.offset, published.envelope.s3_key)

# A consumer gets envelopes; the reader turns them back into values.
reader = BlobReader.from_environment()
consumer = KafkaConsumer("demo-topic", bootstrap_servers="localhost:19092", auto_offset_reset="earliest")
for record in islice(consumer, 2):
    payload = reader.fetch(record.value)  # the blob's bytes; an ordinary value as it is
    print(record.offset, len(payload), payload == image)
consumer.close()

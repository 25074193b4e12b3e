from kafka import KafkaConsumer

from lfsproxy.client import BlobReader

reader = BlobReader.from_environment()
consumer = KafkaConsumer("demo-topic", bootstrap_servers="localhost:19092", auto_offset_reset="earliest")
for record in consumer:
    with reader.open(record.value) as blob:
        if blob.envelope is None:
            print(record.offset, "an ordinary value")
        elif blob.envelope.content_type == "image/png":
            # What is not read stays in the store.
            print(record.offset, "an image that begins with", blob.read(4).hex())

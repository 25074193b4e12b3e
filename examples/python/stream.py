from kafka import KafkaConsumer

from lfsproxy.client import BlobReader

reader = BlobReader.from_environment()
consumer = KafkaConsumer("demo-topic", bootstrap_servers="localhost:19092", auto_offset_reset="earliest")
for record in consumer:
    if record.value is None:
        continue  # a null value has no bytes
    name = f"blob-{record.offset}"
    with reader.open(record.value) as blob, open(name, "wb") as file:
        while chunk := blob.read(1024 * 1024):
            file.write(chunk)
    print("wrote", name)

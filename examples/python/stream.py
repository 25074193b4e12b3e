from kafka import KafkaConsumer

from lfsproxy.client import BlobReader

reader = BlobReader.from_environment()
consumer = KafkaConsumer("demo-topic", bootstrap_servers="localhost:19092", auto_offset_reset="earliest")
for record in consumer:
    with reader.open(record.value) as blob:
        if blob.stream is None:
            continue  # a null value has no bytes
        name = f"blob-{record.offset}"
        with open(name, "wb") as file:
            for chunk in blob:  # up to 1 MiB each
                file.write(chunk)
    print("wrote", name)

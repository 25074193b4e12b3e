from kafka import KafkaConsumer

from lfsproxy.client import BlobReader

reader = BlobReader.from_environment(on_missing="skip")
consumer = KafkaConsumer("demo-topic", bootstrap_servers="localhost:19092", auto_offset_reset="earliest")
for record in consumer:
    resolved = reader.resolve(record.value)
    if resolved.missing:
        print(record.offset, "its blob is missing")
    elif resolved.value is None:
        print(record.offset, "a null value")
    elif resolved.envelope is None:
        print(record.offset, "an ordinary value,", len(resolved.value), "bytes")
    else:
        print(record.offset, "a blob,", len(resolved.value), "bytes")

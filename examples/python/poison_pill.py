from kafka import KafkaConsumer

from lfsproxy.client import BlobReader, LfsError

reader = BlobReader.from_environment()
consumer = KafkaConsumer("demo-topic", bootstrap_servers="localhost:19092", auto_offset_reset="earliest")
for record in consumer:
    try:
        payload = reader.fetch(record.value)
    except LfsError as error:
        if error.retriable:
            raise  # the store is away: start again later, from the last committed offset
        print(record.offset, "no value:", error.problem)  # it will never be there: go on
    else:
        print(record.offset, len(payload))

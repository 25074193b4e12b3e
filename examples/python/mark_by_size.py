from kafka import KafkaProducer

from lfsproxy.client import MarkBySize
from lfsproxy.client.confluent import MarkingProducer

small, large = b"small", bytes(3_000_000)
mark = MarkBySize(mark_min_size=1_000_000)

# confluent-kafka: a SerializingProducer that marks what is large.
producer = MarkingProducer({"bootstrap.servers": "localhost:19092", "message.max.bytes": 10_000_000}, mark)
for value in (small, large):
    producer.produce("demo-topic", value=value)
producer.flush()

# kafka-python, and aiokafka alike: the headers for one record.
sender = KafkaProducer(bootstrap_servers="localhost:19092", max_request_size=10_000_000)
for value in (small, large):
    sender.send("demo-topic", value, headers=mark.headers(value)).get(60)
sender.close()
print("sent")

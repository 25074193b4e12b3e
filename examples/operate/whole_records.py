"""Copies a topic, with the values in place of their envelopes: python whole_records.py FROM TO"""

import os
import sys

from kafka import KafkaConsumer, KafkaProducer

from lfsproxy.client import BlobReader

source, target = sys.argv[1:]
brokers = os.environ["LFS_KAFKA_BROKERS"]
reader = BlobReader.from_environment()
producer = KafkaProducer(bootstrap_servers=brokers, max_request_size=100_000_000, acks="all")
consumer = KafkaConsumer(
    source, bootstrap_servers=brokers, auto_offset_reset="earliest", consumer_timeout_ms=5000
)
refused = []
for record in consumer:
    sent = producer.send(
        target,
        reader.fetch(record.value),
        key=record.key,
        partition=record.partition,
        headers=list(record.headers),
        timestamp_ms=record.timestamp,
    )
    sent.add_errback(
        lambda place, why: refused.append(f"{place}: {why}"), f"{record.partition}:{record.offset}"
    )
producer.flush()
if refused:
    sys.exit("not copied:\n" + "\n".join(refused))

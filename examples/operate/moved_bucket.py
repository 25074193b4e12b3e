"""Reads blobs whose envelopes name a bucket that is now another one: python moved_bucket.py OLD NEW TOPIC"""

import os
import sys

import boto3
from kafka import KafkaConsumer

from lfsproxy.client import BlobReader, PresignedSource

old, new, topic = sys.argv[1:]
s3 = boto3.client("s3", endpoint_url=os.environ.get("LFS_S3_ENDPOINT") or None)


def url_of(envelope, record):
    return s3.generate_presigned_url("get_object", Params={"Bucket": new, "Key": envelope.s3_key})


reader = BlobReader(old, source=PresignedSource(url_of))
consumer = KafkaConsumer(
    topic,
    bootstrap_servers=os.environ["LFS_KAFKA_BROKERS"],
    auto_offset_reset="earliest",
    consumer_timeout_ms=5000,
)
for record in consumer:
    print(record.offset, len(reader.fetch(record.value)))

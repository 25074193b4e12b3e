import os

import boto3
from kafka import KafkaConsumer

from lfsproxy.client import BlobReader, ClientSource

client = boto3.client("s3", endpoint_url=os.environ.get("LFS_S3_ENDPOINT"), region_name="us-east-1")
reader = BlobReader(os.environ.get("LFS_S3_BUCKET", "kafscale"), source=ClientSource(client))
consumer = KafkaConsumer("demo-topic", bootstrap_servers="localhost:19092", auto_offset_reset="earliest")
for record in consumer:
    print(record.offset, len(reader.fetch(record.value)))

"""Publishes an envelope for each blob of a lost topic: python envelopes_again.py BUCKET TOPIC [NAMESPACE]

Blobs come in the order in which they were written, to their old partitions. Keys, headers and timestamps of
the records are not in the bucket. Blobs that never had a record, or whose record was deleted, get one too.
"""

import hashlib
import json
import os
import sys

import boto3
from kafka import KafkaProducer

bucket, topic, *rest = sys.argv[1:]
namespace = rest[0] if rest else "default"
prefix = f"lfs/{namespace}/{topic}/"
s3 = boto3.client("s3", endpoint_url=os.environ.get("LFS_S3_ENDPOINT") or None)
producer = KafkaProducer(bootstrap_servers=os.environ["LFS_KAFKA_BROKERS"], acks="all")

pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
blobs = [blob for page in pages for blob in page.get("Contents", [])]
for blob in sorted(blobs, key=lambda blob: blob["LastModified"]):
    found = s3.get_object(Bucket=bucket, Key=blob["Key"])
    checksum = hashlib.sha256()
    for chunk in found["Body"].iter_chunks(1024 * 1024):
        checksum.update(chunk)
    envelope = {
        "lfs_version": 1,
        "s3_bucket": bucket,
        "s3_key": blob["Key"],
        "content_type": found["ContentType"],
        "content_length": found["ContentLength"],
        "checksum_algo": "sha256",
        "checksum": checksum.hexdigest(),
    }
    partition = int(blob["Key"].removeprefix(prefix).partition("/")[0])
    value = json.dumps(envelope, separators=(",", ":")).encode()
    record = producer.send(topic, value, partition=partition).get(timeout=30)
    print(f"{topic}:{partition}:{record.offset}", blob["Key"])

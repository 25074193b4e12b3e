"""What an application would do without a proxy: boto3 to the store, and then the record by librdkafka."""

from __future__ import annotations

import io
import os
import time
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from benchmarks.compare.http_loads import READ, WARM_UP, spread
from benchmarks.compare.jobs import Job, Work
from benchmarks.compare.kafka_loads import Failures, new_producer, records_of
from lfsproxy.client import BlobReader, static_credentials

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

ENVELOPE = bytes(300)
"""As long as an envelope is."""


def s3_of(job: Job) -> S3Client:
    """A client with room for all that happens at once."""
    return boto3.client(
        "s3",
        endpoint_url=job.s3["endpoint"],
        region_name="us-east-1",
        aws_access_key_id=job.s3["access_key"],
        aws_secret_access_key=job.s3["secret_key"],
        config=Config(s3={"addressing_style": "path"}, proxies={}, max_pool_connections=100),
    )


def new_key() -> str:
    """Of a new object."""
    return f"benchmark/{uuid.uuid4()}"


def upload(job: Job) -> Work:
    """The file by boto3's upload_file, which sends parts side by side."""
    s3, bucket = s3_of(job), job.s3["bucket"]

    def one(_: int) -> float:
        began = time.perf_counter()
        s3.upload_file(job.file, bucket, new_key())
        return time.perf_counter() - began

    return lambda: spread(job, one)


def upload_in_turn(job: Job) -> Work:
    """One object by put_object, then one record, produced and flushed; the next when that is answered."""
    s3, bucket, failures, body = s3_of(job), job.s3["bucket"], Failures(), os.urandom(job.size)
    producer = new_producer(job, failures)

    def one() -> float:
        began = time.perf_counter()
        s3.put_object(Bucket=bucket, Key=new_key(), Body=body)
        producer.produce(job.topic, ENVELOPE, partition=0)
        failures.check(producer)
        return time.perf_counter() - began

    for _ in range(WARM_UP):
        one()
    return lambda: [one() for _ in range(job.count)]


def offload(job: Job) -> Work:
    """Objects by boto3's upload_fileobj, one after the other, without records."""
    s3, bucket, value = s3_of(job), job.s3["bucket"], os.urandom(job.size)

    def work() -> list[float]:
        for _ in range(job.count):
            s3.upload_fileobj(io.BytesIO(value), bucket, new_key())
        return []

    return work


def download(job: Job) -> Work:
    """An object by one get_object, read to its end and forgotten. Nothing is verified."""
    s3, bucket = s3_of(job), job.s3["bucket"]

    def one(_: int) -> float:
        began, got = time.perf_counter(), 0
        body = s3.get_object(Bucket=bucket, Key=job.s3["key"])["Body"]
        while data := body.read(READ):
            got += len(data)
        if got != job.size:
            raise RuntimeError(f"{got} bytes of {job.size} came")
        return time.perf_counter() - began

    return lambda: spread(job, one)


def hydrate(job: Job) -> Work:
    """Records by librdkafka, and their blobs by the Python library, which verifies them."""
    store = {
        "LFS_S3_ENDPOINT": job.s3["endpoint"],
        "LFS_S3_BUCKET": job.s3["bucket"],
        "LFS_S3_PATH_STYLE": "true",
    }
    credentials = static_credentials(job.s3["access_key"], job.s3["secret_key"])
    reader = BlobReader.from_environment(store, credentials=credentials, max_size=0)
    records = records_of(job, "straight")

    def work() -> list[float]:
        for message in records():
            if len(reader.fetch(message.value()) or b"") != job.size:
                raise RuntimeError("a value came that is no blob")
        return []

    return work


LOADS: Mapping[str, Callable[[Job], Work]] = {
    "upload": upload,
    "upload_in_turn": upload_in_turn,
    "offload": offload,
    "download": download,
    "hydrate": hydrate,
}

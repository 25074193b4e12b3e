"""What the first run on a machine does for later ones: which sets of jars are wanted, and their archives."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from lfsproxy.devstack.kafka import DEFAULT_RELEASE, KafkaServer
from lfsproxy.devstack.prepare import prepare_archive
from lfsproxy.devstack.s3 import S3PROXY_SET, S3Server, find_minio

KAFKA_SET = f"kafka-{DEFAULT_RELEASE}"


def wanted_sets(*, kafka: bool = True, s3: bool = True) -> list[str]:
    """The sets of jars for the servers that are to be started; MinIO needs none."""
    return [*([KAFKA_SET] if kafka else []), *([S3PROXY_SET] if s3 and not find_minio() else [])]


def prepare(name: str, cache: Path | None = None) -> None:
    """Make the archive of the set ``name``, whose jars are there, by a short run of its server."""
    prepare_archive(name, partial(_run_s3 if name == S3PROXY_SET else _run_kafka, cache), cache)


def _run_kafka(cache: Path | None, options: Sequence[str]) -> None:
    kafka = KafkaServer(cache=cache, jvm_options=options)
    try:
        kafka.start()
        kafka.create_topic("first-run")
    finally:
        kafka.close()


def _run_s3(cache: Path | None, options: Sequence[str]) -> None:
    s3 = S3Server(cache=cache, minio="", jvm_options=options)
    try:
        s3.start()
        s3.create_bucket("first-run")
        client = s3.client()
        client.put_object(Bucket="first-run", Key="k", Body=b"v")
        client.get_object(Bucket="first-run", Key="k")["Body"].read()
        client.close()
    finally:
        s3.close()

"""A Kafka, an S3 server and the proxy for the benchmarks, each a process of its own on this machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

import attrs

from lfsproxy.devstack import KafkaServer, S3Server
from tests.integration.proxy import ProxyProcess

BUCKET = "kafscale"
MIB = 1024 * 1024
TOPIC = "benchmark"


@attrs.frozen
class Servers:
    """What runs. ``s3`` may be S3Proxy or MinIO (its ``kind`` says so)."""

    kafka: KafkaServer
    s3: S3Server
    proxy: ProxyProcess


@contextlib.contextmanager
def backends(
    *, broker: Mapping[str, str] | None = None, topic: Mapping[str, str] | None = None
) -> Iterator[tuple[KafkaServer, S3Server]]:
    """A Kafka with TOPIC and an S3 server with BUCKET; ``broker`` and ``topic`` are properties."""
    large = {"message.max.bytes": "1100000000", "socket.request.max.bytes": "1200000000"}
    kafka, s3 = KafkaServer(config={**large, **(broker or {})}, heap="2g"), S3Server()
    try:
        kafka.start()
        s3.start()
        kafka.create_topic(TOPIC, config=topic)
        s3.create_bucket(BUCKET)
        yield kafka, s3
    finally:
        s3.close()
        kafka.close()


@contextlib.contextmanager
def servers(*, broker: Mapping[str, str] | None = None, **settings: str) -> Iterator[Servers]:
    """Start all three with LFS_* ``settings`` and ``broker`` properties, and end them afterwards."""
    with backends(broker=broker) as (kafka, s3):
        os.environ.update(AWS_ACCESS_KEY_ID=s3.access_key, AWS_SECRET_ACCESS_KEY=s3.secret_key)
        proxy = ProxyProcess({**settings_for(kafka, s3), **settings})
        try:
            proxy.start()
            print(f"store: {s3.kind}, {os.cpu_count()} cores, broker and store on the same machine")
            yield Servers(kafka, s3, proxy)
        finally:
            proxy.close()


def settings_for(kafka: KafkaServer, s3: S3Server) -> dict[str, str]:
    """The variables of a proxy in front of both."""
    return {
        "AWS_ACCESS_KEY_ID": s3.access_key,
        "AWS_SECRET_ACCESS_KEY": s3.secret_key,
        "LFS_S3_ENDPOINT": s3.endpoint,
        "LFS_S3_PATH_STYLE": "true",
        "LFS_KAFKA_BROKERS": kafka.bootstrap,
    }


def s3_client(s3: S3Server):  # type: ignore[no-untyped-def]  # boto3 makes its clients' types at run time
    """A boto3 client of the store."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=s3.endpoint,
        region_name=s3.region,
        config=Config(s3={"addressing_style": "path"}),
    )

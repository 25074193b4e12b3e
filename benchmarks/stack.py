"""A Kafka, an S3 server and the proxy for the benchmarks, each a process of its own on this machine."""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping

import attrs
import psutil

from lfsproxy.devstack import KafkaServer, S3Server
from tests.integration.proxy import ProxyProcess

BUCKET = "kafscale"
MIB = 1024 * 1024
TOPIC = "benchmark"


def transfer_options(description: str | None) -> argparse.Namespace:
    """The options of a benchmark that moves files over HTTP: one by one in rounds, then several at once."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--mib", type=int, default=1024)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--at-once", type=int, default=16)
    options.add_argument("--at-once-mib", type=int, default=256)
    return options.parse_args()


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


@attrs.define
class Series:
    """Runs of one workload: rates in MB/s, and CPU seconds of the proxy per GB."""

    name: str
    rates: list[float] = attrs.field(factory=list)
    cpu: list[float] = attrs.field(factory=list)

    @property
    def rate(self) -> float:
        """The median rate."""
        return statistics.median(self.rates)

    def __str__(self) -> str:
        cpu = f", {statistics.median(self.cpu):.2f} proxy CPU s/GB" if self.cpu else ""
        return f"{self.name}: {self.rate:.0f} MB/s ({', '.join(f'{rate:.0f}' for rate in self.rates)}){cpu}"


def measure(series: Series, size: int, work: Callable[[], object], proxy: ProxyProcess | None) -> None:
    """Run ``work``, which moves ``size`` bytes, and add its rate and the proxy's CPU time to the series."""
    process = psutil.Process(proxy.pid) if proxy is not None else None
    before = sum(process.cpu_times()[:2]) if process is not None else 0.0
    started = time.perf_counter()
    work()
    series.rates.append(size / 1e6 / (time.perf_counter() - started))
    if process is not None:
        series.cpu.append((sum(process.cpu_times()[:2]) - before) / (size / 1e9))


def report(straight: Series, proxied: Series) -> None:
    """Both series and their ratio."""
    print(f"{straight}\n{proxied}\nratio {proxied.rate / straight.rate:.2f}")

"""Other proxies, where somebody has them: found by variables, started with their own settings.

LFS_BENCH_KAFSCALE       the proxy of KafScale's platform (``go build ./cmd/proxy``)
LFS_BENCH_KAFKA_PROXY    grepplabs' kafka-proxy
LFS_BENCH_ETCD, LFS_BENCH_ETCDCTL    etcd and its command (else PATH's), which KafScale needs
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import attrs

from benchmarks.null_stage import listens
from benchmarks.stack import BUCKET, TOPIC
from lfsproxy.devstack.kafka import answers
from lfsproxy.devstack.ports import HOST, free_port
from lfsproxy.devstack.process import ServerProcess

START = 60.0
"""Seconds that a program may take until it answers."""


class Missing(Exception):
    """A program is not on this machine; the text says which variable would name it."""


class Servers(Protocol):
    """What proxies stand in front of."""

    @property
    def kafka_port(self) -> int: ...

    @property
    def s3(self) -> Mapping[str, str]: ...


def program(variable: str, otherwise: str = "") -> str:
    """The path of a program. Raises Missing."""
    named = os.environ.get(variable, otherwise)
    found = shutil.which(named) if named else None
    if found is None:
        said = f"{variable} is {named}, which is no program" if variable in os.environ else f"set {variable}"
        raise Missing(f"{said}{f' (there is no {otherwise} on PATH)' if otherwise else ''}")
    return found


def kafka_proxy_program() -> str:
    """kafka-proxy's path. Raises Missing."""
    return program("LFS_BENCH_KAFKA_PROXY")


def kafscale_programs() -> tuple[str, str, str]:
    """The paths of KafScale's proxy, etcd and etcdctl. Raises Missing."""
    return (
        program("LFS_BENCH_KAFSCALE"),
        program("LFS_BENCH_ETCD", "etcd"),
        program("LFS_BENCH_ETCDCTL", "etcdctl"),
    )


@attrs.frozen
class Running:
    """A proxy that runs: its process, and where its doors are (0: it has none)."""

    process: ServerProcess
    kafka_port: int
    http_port: int = 0


@contextlib.contextmanager
def kafka_proxy(servers: Servers) -> Iterator[Running]:
    """kafka-proxy, in front of the one broker."""
    binary, port = kafka_proxy_program(), free_port()
    mapping = f"{HOST}:{servers.kafka_port},{HOST}:{port}"
    command = [binary, "server", "--bootstrap-server-mapping", mapping, "--dynamic-listeners-disable"]
    with tempfile.TemporaryDirectory() as folder:
        process = ServerProcess("kafka-proxy", Path(folder, "log"))
        with _ended(process):
            process.start([*command, "--http-disable"], ready=lambda: answers(port), timeout=START)
            yield Running(process, port)


@contextlib.contextmanager
def kafscale(servers: Servers) -> Iterator[Running]:
    """KafScale's proxy with its LFS, and an etcd that tells it of the one topic."""
    binary, etcd, etcdctl = kafscale_programs()
    with tempfile.TemporaryDirectory() as folder:
        process = ServerProcess("KafScale's proxy", Path(folder, "log"))
        with _etcd(etcd, Path(folder)) as url, _ended(process):
            _tell(etcdctl, Path(folder), url, servers.kafka_port)
            kafka, http, health, metrics = (free_port() for _ in range(4))
            process.start(
                [binary],
                ready=lambda: answers(kafka) and listens(http),
                timeout=START,
                cwd=Path(folder),
                env={
                    **{name: value for name, value in os.environ.items() if "KAFSCALE" not in name},
                    "KAFSCALE_PROXY_ADDR": f"{HOST}:{kafka}",
                    "KAFSCALE_PROXY_ADVERTISED_HOST": HOST,
                    "KAFSCALE_PROXY_ADVERTISED_PORT": str(kafka),
                    "KAFSCALE_PROXY_HEALTH_ADDR": f"{HOST}:{health}",
                    "KAFSCALE_PROXY_ETCD_ENDPOINTS": url,
                    "KAFSCALE_PROXY_BACKENDS": f"{HOST}:{servers.kafka_port}",
                    "KAFSCALE_PROXY_LFS_ENABLED": "true",
                    "KAFSCALE_LFS_PROXY_BACKENDS": f"{HOST}:{servers.kafka_port}",
                    "KAFSCALE_LFS_PROXY_HTTP_ADDR": f"{HOST}:{http}",
                    "KAFSCALE_LFS_PROXY_METRICS_ADDR": f"{HOST}:{metrics}",
                    "KAFSCALE_LFS_PROXY_HTTP_READ_TIMEOUT_SEC": "600",
                    "KAFSCALE_LFS_PROXY_HTTP_WRITE_TIMEOUT_SEC": "600",
                    "KAFSCALE_LFS_PROXY_S3_BUCKET": BUCKET,
                    "KAFSCALE_LFS_PROXY_S3_REGION": "us-east-1",
                    "KAFSCALE_LFS_PROXY_S3_ENDPOINT": servers.s3["endpoint"],
                    "KAFSCALE_LFS_PROXY_S3_ACCESS_KEY": servers.s3["access_key"],
                    "KAFSCALE_LFS_PROXY_S3_SECRET_KEY": servers.s3["secret_key"],
                    "KAFSCALE_LFS_PROXY_S3_ENSURE_BUCKET": "true",
                    "KAFSCALE_LFS_PROXY_S3_FORCE_PATH_STYLE": "true",
                    "KAFSCALE_LFS_PROXY_MAX_BLOB_SIZE": str(5 * 1024**3),
                },
            )
            yield Running(process, kafka, http)


@contextlib.contextmanager
def _etcd(binary: str, folder: Path) -> Iterator[str]:
    """An etcd of one node; its URL."""
    clients, peers = (f"http://{HOST}:{free_port()}" for _ in range(2))
    command = [binary, "--data-dir", str(folder / "etcd"), "--listen-client-urls", clients]
    command += ["--advertise-client-urls", clients, "--listen-peer-urls", peers]
    command += ["--initial-advertise-peer-urls", peers, "--initial-cluster", f"default={peers}"]
    process = ServerProcess("etcd", folder / "etcd.log")
    with _ended(process):
        process.start(command, ready=lambda: listens(int(clients.rpartition(":")[2])), timeout=START)
        yield clients


def _tell(etcdctl: str, folder: Path, url: str, kafka_port: int) -> None:
    """Write the cluster with its one topic, as KafScale's proxy expects to read it."""
    snapshot = {
        "Brokers": [{"NodeID": 1, "Host": HOST, "Port": kafka_port}],
        "ControllerID": 1,
        "ClusterID": "benchmark",
        "Topics": [
            {
                "Topic": TOPIC,
                "Partitions": [{"Partition": 0, "Leader": 1, "Replicas": [1], "ISR": [1]}],
            }
        ],
    }
    command = [etcdctl, "--endpoints", url, "put", "/kafscale/metadata/snapshot", json.dumps(snapshot)]
    ServerProcess("etcdctl", folder / "etcdctl.log").run(command, timeout=START)


@contextlib.contextmanager
def _ended(process: ServerProcess) -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()

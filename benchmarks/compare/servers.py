"""What the targets stand in front of: a real Kafka and S3 server, and ends that keep nothing."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
from confluent_kafka import Producer

from benchmarks.compare.client import run
from benchmarks.compare.jobs import Job
from benchmarks.compare.workloads import Workload
from benchmarks.null_stage import null_ports
from benchmarks.stack import BUCKET, backends
from lfsproxy.devstack import KafkaServer, S3Server
from lfsproxy.devstack.ports import HOST
from lfsproxy.envelope import DEFAULT_CONTENT_TYPE, Envelope, topic_prefix
from lfsproxy.settings import DEFAULTS
from tests.integration.stack import s3_client

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

BROKER = {"log.retention.check.interval.ms": "3000"}
SHORT = {"retention.bytes": "300000000", "segment.bytes": "100000000", "file.delete.delay.ms": "1000"}
"""What is produced again and again does not fill the disk."""
PIECE = 8 * 1024 * 1024


@attrs.define(slots=False)
class Real:
    """A Kafka and an S3 server of this run, and what workloads find in them."""

    kafka: KafkaServer
    store: S3Server

    @property
    def node(self) -> int:
        """The broker's id."""
        return self.kafka.node_id

    @property
    def kafka_port(self) -> int:
        """The broker's port."""
        return self.kafka.port

    @property
    def s3(self) -> Mapping[str, str]:
        """The store, for clients."""
        return {
            "endpoint": self.store.endpoint,
            "access_key": self.store.access_key,
            "secret_key": self.store.secret_key,
            "bucket": BUCKET,
        }

    @cached_property
    def client(self) -> S3Client:
        """A client of the store."""
        return s3_client(self.store)

    def provide(self, workload: Workload, folder: Path) -> None:
        """Make what is read, in a topic of its own: a blob with its record or several, or records."""
        if workload.load not in ("download", "consume", "hydrate"):
            return
        self.kafka.create_topic(workload.name)
        if workload.load == "consume":
            run(Job("produce", workload.size, workload.count, 1, workload.name, self.kafka.bootstrap))
        else:
            self._store(workload, random_file(folder, workload.size))

    def _store(self, workload: Workload, path: Path) -> None:
        key = kept(workload)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.client.upload_file(str(path), BUCKET, key)
        value = Envelope(BUCKET, key, DEFAULT_CONTENT_TYPE, workload.size, "sha256", digest).to_bytes()
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap})
        for _ in range(workload.count if workload.load == "hydrate" else 1):
            producer.produce(workload.name, value, partition=0)
        if producer.flush(60):
            raise RuntimeError("the records of a blob are not in Kafka")

    def tidy(self) -> None:
        """Remove the blobs of a run, but not those that are read."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        for page in pages:
            keys = [each["Key"] for each in page.get("Contents", []) if not each["Key"].endswith("kept")]
            if keys:
                self.client.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in keys]})


def random_file(folder: Path, size: int) -> Path:
    """A file of random bytes, which nothing on the way can compress, made when it is first asked for."""
    path = folder / str(size)
    if not path.exists():
        with path.open("wb") as file:
            for start in range(0, size, PIECE):
                file.write(os.urandom(min(PIECE, size - start)))
    return path


def kept(workload: Workload) -> str:
    """The key of the blob that a workload downloads."""
    return f"{topic_prefix(DEFAULTS.namespace, workload.name)}kept"


@attrs.frozen
class Null:
    """A broker and a store that keep nothing (``benchmarks.null_ends``)."""

    kafka_port: int
    store_port: int
    node: int = 0

    @property
    def s3(self) -> Mapping[str, str]:
        """The store, for clients."""
        keys = {"access_key": "id", "secret_key": "secret"}
        return {"endpoint": f"http://{HOST}:{self.store_port}", "bucket": BUCKET, **keys}


@contextlib.contextmanager
def real() -> Iterator[Real]:
    """Start them, and end them with all they have."""
    with backends(broker=BROKER, topic=SHORT) as (kafka, store):
        yield Real(kafka, store)


@contextlib.contextmanager
def null() -> Iterator[Null]:
    """Start both ends in processes of their own."""
    with null_ports() as (broker, store):
        yield Null(broker, store)

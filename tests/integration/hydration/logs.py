"""Writes a plan to a real Kafka and S3, and keeps what a consumer is to see of it."""

from __future__ import annotations

import hashlib
import io
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import attrs
import confluent_kafka.admin

from lfsproxy.checksums import ALGORITHMS, new_checksum
from lfsproxy.envelope import Envelope, object_key
from tests.integration.clients.python import read_topic
from tests.integration.hydration.model import Entry, Log, Part
from tests.integration.hydration.plans import MIB, Batch, End, Item, Plan, Planner
from tests.integration.hydration.requests import Producer, Requests, batch_bytes, timestamps_of
from tests.integration.proxy import NODE
from tests.integration.stack import Stack, in_thread

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

NAMESPACE = "default"
COMPACTION_SECONDS = 60


def envelope_for(topic: str, blob: bytes, key: str, algorithm: str, bucket: str) -> bytes:
    """The claim check of a blob."""
    checksum = new_checksum(algorithm)
    checksum.update(blob)
    kind = "application/octet-stream"
    return Envelope(bucket, key, kind, len(blob), algorithm, checksum.hexdigest()).to_bytes()


class LogWriter:
    """Writes one topic."""

    def __init__(self, servers: Stack, topic: str, plan: Plan) -> None:
        self._servers = servers
        self._topic = topic
        self._plan = plan
        self._requests = Requests(servers.kafka.bootstrap)
        self._s3: S3Client = servers.s3_client()
        self._blobs: dict[bytes, str] = {}

    def write(self) -> Log:
        """Carry out the plan. Blocks."""
        log = Log()
        for partition, steps in enumerate(self._plan.partitions):
            part = self._topic, partition
            log.markers[part] = set()
            log.entries[part] = self._partition(part, steps, log.markers[part])
            log.ends[part] = self._requests.end_offset(*part)
            log.stable[part] = self._requests.end_offset(*part, committed=True)
        self._requests.close()
        return log

    def _partition(self, part: Part, steps: Sequence[Batch | End], markers: set[int]) -> list[Entry]:
        entries: list[Entry] = []
        producers: dict[int, Producer] = {}
        running: dict[int, list[int]] = {}
        end = 0
        for step in steps:
            if isinstance(step, End):
                self._requests.end(producers[step.producer], step.commit)
                markers.add(end)
                end += 1
                self._requests.wait_for_end(*part, end)
                places = running.pop(step.producer)
                if not step.commit:
                    for place in places:
                        entries[place] = attrs.evolve(entries[place], aborted=True)
                continue
            producer = self._producer(step, part, producers)
            values = self._stored(part, step.items)
            written = batch_bytes(step, values, producer, xerial=len(values) % 2 == 0)
            offset, given = self._requests.append(*part, written, producer)
            assert offset == end, f"{part} is at {offset}, not {end}"
            if step.producer is not None:
                running.setdefault(step.producer, []).extend(range(len(entries), len(entries) + len(values)))
            if producer is not None:
                producer.sequence += len(values)
            times = timestamps_of(step.items, given)
            for item, value, when in zip(step.items, values, times, strict=True):
                entries.append(Entry(*part, end, item.key, *when, item.headers, value, item.blob))
                end += 1
        return entries

    def _producer(self, step: Batch, part: Part, producers: dict[int, Producer]) -> Producer | None:
        if step.producer is None:
            return self._requests.producer(None) if step.idempotent else None
        if step.producer not in producers:
            name = f"{part[0]}-{part[1]}-{step.producer}"
            producers[step.producer] = self._requests.producer(name)
        producer = producers[step.producer]
        if not producer.in_transaction:
            self._requests.begin(producer, *part)
        return producer

    def _stored(self, part: Part, items: Sequence[Item]) -> list[bytes | None]:
        """The values of a batch: envelopes of blobs that are in S3 then."""
        with ThreadPoolExecutor(8) as threads:
            new = {item.blob: None for item in items if item.blob is not None}
            keys = list(threads.map(lambda blob: self._put(part, blob), new))
        self._blobs.update(zip(new, keys, strict=True))
        return [item.value if item.blob is None else self._envelope(item.blob) for item in items]

    def _envelope(self, blob: bytes) -> bytes:
        algorithm = sorted(ALGORITHMS)[hashlib.sha256(blob).digest()[0] % len(ALGORITHMS)]
        return envelope_for(self._topic, blob, self._blobs[blob], algorithm, self._servers.bucket)

    def _put(self, part: Part, blob: bytes) -> str:
        """The key of a blob, which lies there once; large ones in parts, as a proxy uploads them."""
        if blob in self._blobs:
            return self._blobs[blob]
        key = object_key(NAMESPACE, *part, 0, uuid.uuid4())
        if len(blob) < 8 * MIB:
            self._s3.put_object(Bucket=self._servers.bucket, Key=key, Body=blob)
        else:
            self._s3.upload_fileobj(io.BytesIO(blob), self._servers.bucket, key)
        return key


def compacted(log: Log) -> Log:
    """What compaction leaves where all is in closed segments but the last record: the last of each key.

    A record without a key cannot be written to such a topic.
    """
    entries = {
        part: sorted({entry.key: entry for entry in found}.values(), key=lambda entry: entry.offset)
        for part, found in log.entries.items()
    }
    return attrs.evolve(log, entries=entries, compacted=set(log.topics))


def wait_for_compaction(bootstrap: str, log: Log) -> None:
    """Return when the broker has only what is in ``log``. Blocks."""
    wanted = sorted(entry.offset for found in log.entries.values() for entry in found)
    deadline = time.monotonic() + COMPACTION_SECONDS
    while [record.offset for record in read_topic(bootstrap, log.topics[0])] != wanted:
        assert time.monotonic() < deadline, f"{log.topics[0]} was not compacted"
        time.sleep(0.3)


def clean_soon(bootstrap: str) -> None:
    """Let the broker look every 200 ms for what it can compact. Blocks."""
    # Its stubs do not export what its documentation imports.
    api: Any = confluent_kafka.admin
    admin = api.AdminClient({"bootstrap.servers": bootstrap, "broker.address.family": "v4"})
    entry = api.ConfigEntry("log.cleaner.backoff.ms", "200", incremental_operation=api.AlterConfigOpType.SET)
    resource = api.ConfigResource(api.ResourceType.BROKER, str(NODE), incremental_configs=[entry])
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(30)


async def written_log(servers: Stack, seed: int) -> Log:
    """The log of a seed, in topics of its own."""
    await in_thread(clean_soon, servers.kafka.bootstrap)
    whole = Log()
    for plan in Planner(seed).plans():
        topic = await servers.new_topic(
            f"{plan.name}-{seed}", partitions=len(plan.partitions), config=plan.config
        )
        log = await in_thread(LogWriter(servers, topic, plan).write)
        if plan.is_compacted:
            log = compacted(log)
            await in_thread(wait_for_compaction, servers.kafka.bootstrap, log)
        whole.entries.update(log.entries)
        whole.markers.update(log.markers)
        whole.stable.update(log.stable)
        whole.ends.update(log.ends)
        whole.compacted.update(log.compacted)
    return whole

"""Records of many megabytes through the proxy: sent, read back from S3, and what the proxy needed meanwhile.

Shared by ``test_large_records`` and ``benchmarks/large_records.py``.
"""

from __future__ import annotations

import hashlib
import json
import random
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
from confluent_kafka import Producer

from tests.integration.clients.python import read_topic
from tests.integration.frames import MIB, LargeRecord, large_produce
from tests.integration.proxy import ProxyProcess
from tests.integration.raw import RawClient

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

SECONDS = 600


def value(size: int) -> LargeRecord:
    """A record whose value is always the same, and does not compress."""
    return LargeRecord(size, random.Random(size).randbytes(MIB))


def digest(pieces: Iterator[bytes]) -> str:
    """The SHA-256 of bytes that come in pieces."""
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece)
    return found.hexdigest()


@attrs.frozen
class Sent:
    """What it took: seconds, the proxy's peak memory in bytes, and what its files on disk grew by."""

    seconds: float
    peak: int
    on_disk: int


def with_librdkafka(bootstrap: str, topic: str, size: int) -> None:
    """One record from a process of its own, which needs twice its size. Raises where it is not delivered."""
    command = [sys.executable, "-m", "tests.integration.large", bootstrap, topic, str(size)]
    subprocess.run(command, check=True, timeout=SECONDS)


def with_a_generator(bootstrap: str, topic: str, size: int) -> None:
    """One record in a frame that nobody ever holds."""
    with RawClient(bootstrap) as client:
        client.socket.settimeout(SECONDS)
        client.send_all(large_produce(topic, value(size).pieces))
        said = client.said()
    if said != "ok":
        raise AssertionError(f"the record was not delivered: {said}")


def send(how: Callable[[str, str, int], None], proxy: ProxyProcess, topic: str, size: int) -> Sent:
    """Send a record through a proxy, and see what it needs for that."""
    before = disk_bytes(proxy)
    started = time.monotonic()
    how(proxy.bootstrap, topic, size)
    return Sent(time.monotonic() - started, proxy.peak_memory, disk_bytes(proxy) - before)


def disk_bytes(proxy: ProxyProcess) -> int:
    """Bytes in files that the process has open, its log apart, and in its folder."""
    paths = [*Path(f"/proc/{proxy.pid}/fd").iterdir(), *Path(f"/proc/{proxy.pid}/cwd").rglob("*")]
    files = {}
    for path in paths:
        try:
            found = path.stat()
        except OSError:
            continue
        if stat.S_ISREG(found.st_mode) and not path.resolve().name.endswith(".log"):
            files[found.st_dev, found.st_ino] = found.st_size
    return sum(files.values())


def check_blob(kafka: str, client: S3Client, topic: str, size: int) -> None:
    """Compare the topic's one envelope, and the blob in S3, with what was sent."""
    (record,) = read_topic(kafka, topic)
    envelope = json.loads(record.value or b"")
    expected = digest(value(size).value())
    if (envelope["content_length"], envelope["checksum"]) != (size, expected):
        raise AssertionError(f"not what was sent: {envelope}")
    body = client.get_object(Bucket=envelope["s3_bucket"], Key=envelope["s3_key"])["Body"]
    if digest(iter(lambda: body.read(8 * MIB), b"")) != expected:
        raise AssertionError(f"the blob is not what was sent: {envelope['s3_key']}")


def main() -> None:
    """Produce one record, for ``with_librdkafka``."""
    bootstrap, topic, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
    problems: list[object] = []
    milliseconds = SECONDS * 1000
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "broker.address.family": "v4",
            "message.max.bytes": 1_000_000_000,
            "queue.buffering.max.kbytes": 2_000_000,
            "socket.timeout.ms": 300_000,
            "message.timeout.ms": milliseconds,
            "linger.ms": 0,
        }
    )
    content = b"".join(value(size).value())
    producer.produce(
        topic, content, headers={"LFS_BLOB": b""}, on_delivery=lambda error, _: problems.append(error)
    )
    producer.flush(SECONDS)
    if problems != [None]:
        raise SystemExit(f"not delivered: {problems}")


if __name__ == "__main__":
    main()

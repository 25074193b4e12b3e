"""LFS records by real producers in every codec and way to produce: envelopes in Kafka, the bytes in S3."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import time
import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import TestCase

from tests.integration.clients import commands, java
from tests.integration.clients.python import aiokafka, kafka_python, librdkafka, read_topic
from tests.integration.clients.records import CODECS, Headers, Mode, Outcome, Record, lfs
from tests.integration.proxy import ProxyProcess, shared_proxy
from tests.integration.stack import BUCKET, Stack, in_thread, stack

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

MIB = 1024 * 1024

Produce = Callable[..., list[Outcome]]

CHECKSUMS: dict[str, Callable[[bytes], str]] = {
    "sha256": lambda data: hashlib.sha256(data).hexdigest(),
    "md5": lambda data: hashlib.md5(data).hexdigest(),
    "crc32": lambda data: f"{zlib.crc32(data):08x}",
}
WAYS = (
    ("0", False, False),
    ("1", False, False),
    ("all", False, False),
    ("all", True, False),
    ("all", True, True),
)


def mixed_records(partition: int, nothing: bytes | None = None) -> list[Record]:
    """Offloaded and plain records as they may share a batch, with every algorithm and odd headers.

    ``nothing`` is a header value of none, where the client can send that.
    """
    noise = random.Random(partition)
    small, large = noise.randbytes(700), noise.randbytes(90_000)
    at: dict[str, Any] = {"partition": partition}
    return [
        Record(b"plain", (("trace", b"1"),), b"k", **at),
        lfs(large, ("trace", b"2"), ("content-type", b"image/png"), key=b"k", **at),
        lfs(small, ("LFS_BLOB_ALG", b"md5"), checksum=CHECKSUMS["md5"](small).encode(), **at),
        Record(None, (("LFS_BLOB", b""), ("trace", b"tombstone")), b"k", **at),
        lfs(small + b"3", ("LFS_BLOB_ALG", b"crc32"), ("trace", nothing), **at),
        lfs(b"", ("LFS_BLOB_ALG", b"sha256"), checksum=CHECKSUMS["sha256"](b"").encode(), **at),
        Record(b"algorithm only", (("LFS_BLOB_ALG", b"md5"),), **at),
        Record(b"\x00" * 5000, (("lfs_blob", b""), ("trace", b"a"), ("trace", b"b")), **at),
        lfs(
            b"z" * 20_000,
            ("a", b""),
            ("b", b"\xff"),
            checksum=CHECKSUMS["sha256"](b"z" * 20_000).encode(),
            **at,
        ),
        Record(b"last", (), None, **at),
    ]


def large_records(partition: int) -> list[Record]:
    """A batch around a value of 8 MiB that does not compress."""
    value = random.Random(partition).randbytes(8 * MIB)
    checksum = CHECKSUMS["md5"](value).encode()
    return [
        Record(b"before", partition=partition),
        lfs(value, ("LFS_BLOB_ALG", b"md5"), ("trace", b"1"), checksum=checksum, partition=partition),
        lfs(b"small", partition=partition),
        Record(b"after", partition=partition),
    ]


class OffloadTests(TestCase):
    """One topic per client, with a partition per codec and way to produce."""

    timeout = 180

    async def test_librdkafka(self) -> None:
        await self.check_client(librdkafka)

    async def test_kafka_python(self) -> None:
        await self.check_client(kafka_python, nothing=b"")

    async def test_aiokafka(self) -> None:
        await self.check_client(aiokafka)

    async def test_java(self) -> None:
        await in_thread(java.require_compiler)
        await self.check_client(java.produce)

    async def test_franz_go(self) -> None:
        await in_thread(commands.franz)
        await self.check_client(commands.franz_go)

    async def test_records_of_franz_go_too_large_to_be_held(self) -> None:
        await in_thread(commands.franz)
        await self.check_large([(commands.franz_go, CODECS)])

    async def test_records_too_large_to_be_held(self) -> None:
        """Their requests are taken in and sent on while they arrive."""
        runs: list[tuple[Produce, Sequence[str]]] = [(librdkafka, CODECS)]
        if await in_thread(java.has_compiler):
            # Its snappy is framed.
            runs.append((java.produce, ("none", "snappy")))
        await self.check_large(runs)

    async def check_large(self, runs: Sequence[tuple[Produce, Sequence[str]]]) -> None:
        proxy = await shared_proxy(LFS_S3_PART_SIZE=str(5 * MIB), LFS_MAX_PASSTHROUGH_SIZE=str(MIB))
        for produce, codecs in runs:
            modes = [Mode(codec, idempotent=True) for codec in codecs]
            sent = [large_records(partition) for partition in range(len(modes))]
            await self.check(produce, proxy, modes, sent)

    async def check_client(self, produce: Produce, nothing: bytes | None = None) -> None:
        modes = [
            Mode(codec, acks, idempotent, f"t-{codec}-{produce.__name__}" if transactional else "")
            for codec, (acks, idempotent, transactional) in itertools.product(CODECS, WAYS)
        ]
        sent = [mixed_records(partition, nothing) for partition in range(len(modes))]
        await self.check(produce, await shared_proxy(), modes, sent)

    async def check(
        self,
        produce: Produce,
        proxy: ProxyProcess,
        modes: Sequence[Mode],
        sent: Sequence[Sequence[Record]],
    ) -> None:
        """Produce each partition's records in its mode, and find them offloaded as they should be."""
        servers = await stack()
        topic = await servers.new_topic("offload", partitions=len(modes))

        def produce_all() -> list[list[Outcome]]:
            return [
                produce(proxy.bootstrap, topic, records, mode)
                for records, mode in zip(sent, modes, strict=True)
            ]

        for mode, outcomes in zip(modes, await in_thread(produce_all), strict=True):
            self.assertEqual([outcome.error for outcome in outcomes], [""] * len(outcomes), mode)
        read = await in_thread(self.read_all, servers, topic, sum(map(len, sent)))
        await in_thread(self.check_topic, servers, topic, modes, sent, read)

    @staticmethod
    def read_all(servers: Stack, topic: str, count: int) -> list[list[Record]]:
        """Records by partition, read again until those without acknowledgement are there too."""
        deadline = time.monotonic() + 20
        while True:
            records = read_topic(servers.kafka.bootstrap, topic)
            if len(records) >= count or time.monotonic() > deadline:
                by_partition = itertools.groupby(records, lambda record: record.partition)
                return [list(group) for _, group in by_partition]

    def check_topic(
        self,
        servers: Stack,
        topic: str,
        modes: Sequence[Mode],
        sent: Sequence[Sequence[Record]],
        read: Sequence[Sequence[Record]],
    ) -> None:
        s3 = servers.s3_client()
        for mode, expected, found in zip(modes, sent, read, strict=True):
            self.assertEqual(len(found), len(expected), mode)
            for offset, (before, after) in enumerate(zip(expected, found, strict=True)):
                self.check_record(s3, topic, offset, before, after, mode)

    def check_record(
        self, s3: S3Client, topic: str, offset: int, before: Record, after: Record, mode: Mode
    ) -> None:
        at = (mode, offset)
        self.assertEqual(
            (after.partition, after.offset, after.key), (before.partition, offset, before.key), at
        )
        headers = dict(before.headers)
        if "LFS_BLOB" not in headers or before.value is None:
            self.assertEqual((after.value, after.headers), (before.value, before.headers), at)
            return
        gone = ("LFS_BLOB", "LFS_BLOB_ALG")
        kept: Headers = tuple(header for header in before.headers if header[0] not in gone)
        self.assertEqual(after.headers, kept, at)
        self.assertIsNotNone(after.value, at)
        envelope = json.loads(after.value or b"")
        algorithm = (headers.get("LFS_BLOB_ALG") or b"sha256").decode()
        content_type = (headers.get("content-type") or b"application/octet-stream").decode()
        self.assertEqual(
            envelope,
            {
                "lfs_version": 1,
                "s3_bucket": BUCKET,
                "s3_key": envelope["s3_key"],
                "content_type": content_type,
                "content_length": len(before.value),
                "checksum_algo": algorithm,
                "checksum": CHECKSUMS[algorithm](before.value),
            },
            at,
        )
        self.assertRegex(
            envelope["s3_key"], rf"^lfs/default/{topic}/{before.partition}/{offset}-[0-9a-f-]{{36}}\.bin$", at
        )
        blob = s3.get_object(Bucket=BUCKET, Key=envelope["s3_key"])
        self.assertEqual((blob["Body"].read(), blob["ContentType"]), (before.value, content_type), at)

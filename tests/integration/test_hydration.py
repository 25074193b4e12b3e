"""Consumers without an SDK get the blobs themselves: real clients against a real Kafka and S3 server."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from tests.integration.clients import commands, java
from tests.integration.clients.python import kafka_python, read_by_aiokafka, read_by_kafka_python, read_topic
from tests.integration.clients.records import CODECS, Mode, Record, lfs
from tests.integration.kafka_door import KafkaDoorTestCase
from tests.integration.proxy import shared_proxy
from tests.integration.stack import in_thread, stack

KIB = 1024
MIB = 1024 * KIB
SETTINGS = {"LFS_HYDRATE_TOPICS": "*,!plain-*", "LFS_HYDRATE_CLIENT_IDS": "*,!sdk-*"}


def mixed(partition: int = 0, large: int = 0) -> list[Record]:
    """Records that share a batch: plain ones, blobs of every kind of size, a tombstone, a look-alike."""
    noise = random.Random(partition)
    at: dict[str, Any] = {"partition": partition}
    return [
        Record(b"plain", (("trace", b"1"),), b"k", **at),
        lfs(noise.randbytes(90_000), ("trace", b"2"), key=b"k", **at),
        Record(b'{"lfs_version":1,"s3_bucket":"elsewhere","s3_key":"x"}', **at),
        lfs(b"", **at),
        Record(None, (("trace", b"tombstone"),), b"k", **at),
        *([lfs(noise.randbytes(large), **at)] if large else []),
        lfs(b"small", ("content-type", b"text/plain"), **at),
        Record(noise.randbytes(5000), **at),
    ]


def as_sent(records: Sequence[Record]) -> list[tuple[Any, ...]]:
    """What a consumer of blobs has to see, whatever the order of partitions."""
    seen = [
        (each.partition, each.key, each.value, [one for one in each.headers if one[0] != "LFS_BLOB"])
        for each in records
    ]
    return sorted(seen, key=lambda one: one[0])


class HydrationTests(KafkaDoorTestCase):
    async def setUp(self) -> None:  # type: ignore[override]  # trial awaits it
        self.servers = await stack()
        self.proxy = await shared_proxy(**SETTINGS)

    async def produce(self, records: Sequence[Record], mode: Mode | None = None, partitions: int = 1) -> str:
        """A topic with the records, sent through the proxy."""
        topic = await self.servers.new_topic("hydrated", partitions=partitions)
        outcomes = await in_thread(kafka_python, self.proxy.bootstrap, topic, records, mode or Mode())
        self.assertEqual([one.error for one in outcomes], [""] * len(records))
        return topic

    async def test_clients_of_every_kind_get_what_was_sent(self) -> None:
        records = [each for partition in range(3) for each in mixed(partition, large=9 * MIB)]
        topic = await self.produce(records, partitions=3)
        for reader in (read_topic, read_by_kafka_python, read_by_aiokafka):
            read = await in_thread(reader, self.proxy.bootstrap, topic)
            self.assertEqual(as_sent(read), as_sent(records), reader.__name__)
        sdk = await in_thread(read_topic, self.proxy.bootstrap, topic, client_id="sdk-1")
        self.assertEqual(sdk, await in_thread(self.records, topic))

    async def test_the_commands_of_kafka_and_kcat_get_what_was_sent(self) -> None:
        values = [b"plain", b"small blob", b"x" * 300_000, b"last"]
        records = [lfs(value) if b"blob" in value or b"x" in value else Record(value) for value in values]
        for codec in CODECS:
            topic = await self.produce(records, Mode(codec))
            lines = b"".join(value + b"\n" for value in values).decode()
            kcat = [*commands.kcat(self.proxy.bootstrap), "-C", "-t", topic, "-o", "beginning", "-e", "-q"]
            self.assertEqual(await in_thread(commands.output_of, kcat), lines, codec)
        read = await in_thread(
            java.tool,
            self.proxy.bootstrap,
            "kafka-console-consumer",
            *("--topic", topic, "--from-beginning", "--max-messages", "4", "--timeout-ms", "20000"),
        )
        self.assertEqual(read, lines)

    async def test_no_limit_of_a_consumer_skips_or_repeats_a_record(self) -> None:
        records = [each for partition in range(2) for each in mixed(partition) * 3]
        for codec in ("none", "zstd"):
            topic = await self.produce(records, Mode(codec), partitions=2)
            for limit in (1, 20_000):
                by_rdkafka = await in_thread(
                    read_topic, self.proxy.bootstrap, topic, fetch_message_max_bytes=limit
                )
                by_python = await in_thread(
                    read_by_kafka_python,
                    self.proxy.bootstrap,
                    topic,
                    max_partition_fetch_bytes=limit,
                    fetch_max_bytes=2 * limit,
                )
                self.assertEqual(as_sent(by_rdkafka), as_sent(records), (codec, limit))
                self.assertEqual(by_python, by_rdkafka, (codec, limit))

    async def test_transactions_are_seen_as_they_ended(self) -> None:
        committed, aborted = mixed(0), [*mixed(1), lfs(b"z", checksum=b"00")]
        topic = await self.servers.new_topic("hydrated")
        for records in (committed, aborted, committed):
            one = [Record(each.value, each.headers, each.key) for each in records]
            await in_thread(
                kafka_python, self.proxy.bootstrap, topic, one, Mode(transactional_id=topic, codec="lz4")
            )
        read = await in_thread(read_topic, self.proxy.bootstrap, topic)
        self.assertEqual(as_sent(read), as_sent([*committed, *committed]))
        uncommitted = await in_thread(read_topic, self.proxy.bootstrap, topic, isolation="read_uncommitted")
        self.assertGreaterEqual(len(uncommitted), len(read))
        self.assertEqual([each.value for each in uncommitted if b"content_length" in (each.value or b"")], [])

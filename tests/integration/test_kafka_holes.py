"""Pipelined producers whose batches are refused on the way: what they were told is what is in the log.

Each idempotent producer sends 200 records in many small batches while S3 is down at first and two records
have a wrong checksum. The first batch matters most: a broker that knows nothing of a producer takes any.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import attrs

from lfsproxy.devstack import S3Server
from tests.integration.clients import commands, java
from tests.integration.clients.python import aiokafka, kafka_python, librdkafka
from tests.integration.clients.records import Mode, Outcome, Record, lfs
from tests.integration.kafka_door import KafkaDoorTestCase, at_once, wait_for
from tests.integration.proxy import own_proxy, shared_proxy
from tests.integration.stack import BUCKET, Stack, in_thread, own_s3, stack

COUNT = 200
WRONG = b"0" * 64


@attrs.frozen
class Plan:
    """Which records are refused for good (``bad``), and which have to wait for S3 (``slow``)."""

    bad: frozenset[int]
    slow: frozenset[int]

    def records(self, partition: int) -> list[Record]:
        return [self._record(number, partition) for number in range(COUNT)]

    def _record(self, number: int, partition: int) -> Record:
        key = b"%d" % number
        if number in self.bad:
            return lfs(b"bad", checksum=WRONG, key=key, partition=partition)
        if number in self.slow:
            return lfs(b"slow" * 100, key=key, partition=partition)
        return Record(b"plain", (), key, partition)


FIRST_IS_BAD = Plan(frozenset({0, 120}), frozenset({50}))
FIRST_IS_SLOW = Plan(frozenset({120}), frozenset({0, 60}))


@attrs.frozen
class Producer:
    """``goes_on``: after a batch that is refused for good, the producer delivers those behind it."""

    produce: Callable[..., list[Outcome]]
    goes_on: bool


PRODUCERS = {
    "librdkafka": Producer(partial(librdkafka, batch_num_messages=3, linger_ms=0), True),
    "java": Producer(partial(java.produce, batch_size=250, linger_ms=5), True),
    "kafka_python": Producer(partial(kafka_python, batch_size=250, linger_ms=0), False),
    "aiokafka": Producer(partial(aiokafka, max_batch_size=250, linger_ms=0), False),
    # It fails what the partition has buffered, and its smallest batch is 1 KiB.
    "franz_go": Producer(partial(commands.franz_go, batch_bytes=1024), False),
}


class IdempotentTests(KafkaDoorTestCase):
    s3: S3Server

    async def setUp(self) -> None:  # type: ignore[override]
        kafka = (await stack()).kafka
        self.s3 = await own_s3(self)
        self.servers = Stack(kafka, self.s3, BUCKET)
        self.proxy = await own_proxy(self, self.servers, LFS_S3_RETRY_TIMEOUT="1")

    async def test_what_clients_for_python_were_told_is_in_the_log(self) -> None:
        await self.check("librdkafka", "kafka_python", "aiokafka")

    async def test_what_java_was_told_is_in_the_log(self) -> None:
        await in_thread(java.require_compiler)
        await self.check("java")

    async def test_what_franz_go_was_told_is_in_the_log(self) -> None:
        await in_thread(commands.franz)
        await self.check("franz_go")

    async def check(self, *names: str) -> None:
        runs = [(PRODUCERS[name], plan) for name in names for plan in (FIRST_IS_SLOW, FIRST_IS_BAD)]
        topic = await self.servers.new_topic("holes", partitions=len(runs))
        sent = [plan.records(partition) for partition, (_, plan) in enumerate(runs)]
        await in_thread(self.s3.kill)

        def bring_back() -> list[Outcome]:
            wait_for(lambda: self.proxy.log.count("refused a batch") >= len(runs))
            self.s3.start()
            return []

        sending: list[Callable[[], list[Outcome]]] = [
            partial(producer.produce, self.proxy.bootstrap, topic, records, Mode(idempotent=True))
            for (producer, _), records in zip(runs, sent, strict=True)
        ]
        *told, _ = await at_once(*sending, bring_back)
        log = await in_thread(self.records, topic)
        for partition, (producer, plan) in enumerate(runs):
            there = [record for record in log if record.partition == partition]
            self.check_partition(producer, plan, told[partition], there)

    def check_partition(
        self, producer: Producer, plan: Plan, told: Sequence[Outcome], log: Sequence[Record]
    ) -> None:
        """Acknowledged records are in the log, where the client was told, and no others."""
        acknowledged = [(b"%d" % n, one.offset) for n, one in enumerate(told) if not one.error]
        self.assertEqual(acknowledged, [(record.key, record.offset) for record in log], (producer, plan))
        refused = {number for number, one in enumerate(told) if one.error}
        self.assertLessEqual(plan.bad, refused)
        if producer.goes_on:
            self.assertGreater(len(acknowledged), 150, told)
            self.assertIn(b"%d" % (COUNT - 1), dict(acknowledged))


class TransactionTests(KafkaDoorTestCase):
    """A transaction with a refused record is aborted by its producer; the next one is as good as new."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.servers, self.proxy = await stack(), await shared_proxy()

    async def check(self, produce: Callable[..., list[Outcome]], **config: Any) -> None:
        topic = await self.servers.new_topic("transaction")
        mode = Mode(transactional_id=f"of-{topic}")
        bad = Plan(frozenset({0, 120}), frozenset({50})).records(0)
        good = Plan(frozenset(), frozenset({0, 50})).records(0)
        told = await in_thread(produce, self.proxy.bootstrap, topic, bad, mode, **config)
        self.assertNotEqual(told[0].error, "")
        self.assertEqual(await in_thread(self.records, topic, "read_committed"), [])
        told = await in_thread(produce, self.proxy.bootstrap, topic, good, mode, **config)
        committed = await in_thread(self.records, topic, "read_committed")
        self.assertEqual(
            [(b"%d" % number, one.offset) for number, one in enumerate(told)],
            [(record.key, record.offset) for record in committed],
        )

    async def test_librdkafka_aborts_and_goes_on(self) -> None:
        await self.check(librdkafka, batch_num_messages=3, linger_ms=0)

    async def test_java_aborts_and_goes_on(self) -> None:
        await in_thread(java.require_compiler)
        await self.check(java.produce, batch_size=250, linger_ms=5)

    async def test_franz_go_aborts_and_goes_on(self) -> None:
        await in_thread(commands.franz)
        await self.check(commands.franz_go, batch_bytes=1024)

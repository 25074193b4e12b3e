"""Consumer groups through the proxy, in front of a cluster of three nodes."""

from __future__ import annotations

import itertools
import time
from typing import Any

from confluent_kafka import Consumer, Producer
from twisted.trial.unittest import TestCase

from tests.integration.cluster import (
    SECONDS,
    cluster,
    cluster_proxy,
)
from tests.integration.stack import in_thread

SOON = {"heartbeat.interval.ms": 200}
"""For classic groups: with the other protocol the broker says how often."""


class GroupTests(TestCase):
    """Consumer groups whose members come and go, by both protocols."""

    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        self.servers = await cluster()
        self.proxy = await cluster_proxy()
        self.topic = await self.servers.new_topic("group", partitions=6)

    async def test_cooperative_sticky(self) -> None:
        await in_thread(self.rebalance, SOON | {"partition.assignment.strategy": "cooperative-sticky"})

    async def test_the_consumer_protocol(self) -> None:
        await in_thread(self.rebalance, {"group.protocol": "consumer"})

    def rebalance(self, settings: dict[str, Any]) -> None:
        """Members join, leave and go on; each record is read by one of them."""
        producer = Producer({"bootstrap.servers": self.proxy.bootstrap, "broker.address.family": "v4"})
        sent, read = itertools.count(), list[bytes]()
        members = []

        def join() -> None:
            member = Consumer(
                {
                    "bootstrap.servers": self.proxy.bootstrap,
                    "broker.address.family": "v4",
                    "group.id": self.topic,
                    "auto.offset.reset": "earliest",
                    **settings,
                }
            )
            member.subscribe([self.topic])
            members.append(member)

        def shared_by(*counts: int) -> None:
            """Read on until the members have so many partitions each."""
            deadline = time.monotonic() + SECONDS
            while sorted(len(member.assignment()) for member in members) != list(counts):
                self.assertLess(time.monotonic(), deadline, [len(member.assignment()) for member in members])
                self.step(producer, next(sent), members, read)

        join()
        shared_by(6)
        join()
        shared_by(3, 3)
        join()
        shared_by(2, 2, 2)
        members.pop(0).close()
        shared_by(3, 3)
        producer.flush()
        count = next(sent)
        deadline = time.monotonic() + SECONDS
        while len(set(read)) < count and time.monotonic() < deadline:
            self.step(None, 0, members, read)
        self.assertEqual(sorted(read), sorted(b"%d" % number for number in range(count)))
        for member in members:
            member.close()

    def step(
        self, producer: Producer | None, number: int, members: list[Consumer], read: list[bytes]
    ) -> None:
        if producer is not None:
            producer.produce(self.topic, b"%d" % number, partition=number % 6)
            producer.poll(0)
        for member in members:
            for message in member.consume(100, 0.02):
                value = message.value()
                self.assertIsNone(message.error())
                assert value is not None
                read.append(value)

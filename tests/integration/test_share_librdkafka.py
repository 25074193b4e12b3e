"""librdkafka's share consumer through the proxy, in front of three brokers. It speaks the first versions."""

from __future__ import annotations

import random
from collections.abc import Sequence

from confluent_kafka import AcknowledgeType, ShareConsumer
from kafka import KafkaProducer
from twisted.trial.unittest import TestCase

from tests.integration.clients.share import configure
from tests.integration.cluster import cluster, cluster_proxy, lead, leaders
from tests.integration.kafka_door import wait_for
from tests.integration.stack import in_thread

ACCEPT = AcknowledgeType.ACCEPT
LARGE = random.Random(1).randbytes(20_000_000)


class LibrdkafkaTests(TestCase):
    timeout = 120

    async def test_it_acknowledges_follows_a_leader_and_reads_large_records(self) -> None:
        self.servers, self.proxy = await cluster(), await cluster_proxy()
        topic = await self.servers.new_topic("share-rd", config={"max.message.bytes": str(2 * len(LARGE))})
        await in_thread(self.read, topic)

    def read(self, topic: str) -> None:
        port, group = self.proxy.kafka_port, f"{topic}-group"
        configure(self.proxy.bootstrap, group, share_auto_offset_reset="earliest")
        settings = {"bootstrap.servers": self.proxy.bootstrap, "group.id": group}
        self.produce(topic, [b"accepted", b"released", b"rejected"])
        with ShareConsumer({**settings, "share.acknowledgement.mode": "explicit"}) as consumer:
            consumer.subscribe([topic])
            taken = acknowledged(consumer, [ACCEPT, AcknowledgeType.RELEASE, AcknowledgeType.REJECT])
            self.assertEqual(taken, [(0, b"accepted"), (1, b"released"), (2, b"rejected")])
            self.assertEqual(acknowledged(consumer, [ACCEPT]), [(1, b"released")])
            old = leaders(port, topic)[0]
            new = next(number for number in self.servers.nodes if number != old)
            lead(port, topic, {0}, [new, *(number for number in self.servers.nodes if number != new)])
            self.produce(topic, [b"moved", LARGE])
            self.assertEqual(acknowledged(consumer, [ACCEPT, ACCEPT]), [(3, b"moved"), (4, LARGE)])

    def produce(self, topic: str, values: Sequence[bytes]) -> None:
        producer = KafkaProducer(
            bootstrap_servers=self.servers.kafka.bootstrap, max_request_size=2 * len(LARGE)
        )
        try:
            for value in values:
                producer.send(topic, value, partition=0).get(30)
        finally:
            producer.close()


def acknowledged(
    consumer: ShareConsumer, ways: Sequence[AcknowledgeType]
) -> list[tuple[int | None, bytes | None]]:
    """Offsets and values of so many records, each acknowledged in its way, and committed."""
    found: list[tuple[int | None, bytes | None]] = []

    def poll() -> int:
        for message in consumer.poll(1):
            consumer.acknowledge(message, ways[len(found)])
            found.append((message.offset(), message.value()))
        failed = [error for error in consumer.commit_sync(20).values() if error is not None]
        assert not failed, failed
        return len(found)

    wait_for(poll, lambda seen: seen >= len(ways))
    return found

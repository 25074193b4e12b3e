"""A producer to a topic that is not there leaves nothing in S3, on brokers that create topics too."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import TestCase

from tests.integration import frames
from tests.integration.clients.python import librdkafka, read_topic
from tests.integration.clients.records import Mode, lfs
from tests.integration.frames import batch, produce, records
from tests.integration.http_door import keys_below
from tests.integration.proxy import own_proxy, shared_proxy
from tests.integration.raw import RawClient
from tests.integration.stack import Stack, in_thread, own_kafka, stack

RETRIES = 200
VALUE = frames.lfs(bytes(10_000))


def retried(bootstrap: str, topic: str, count: int, partition: int = 0) -> set[int]:
    """The codes with which a client is answered that sends the same batch again and again."""
    data = produce(topic, batch(records(VALUE)), partition=partition)
    codes = set()
    with RawClient(bootstrap) as client:
        for _ in range(count):
            client.send(data)
            codes |= {verdict.error_code for verdict in client.verdicts()}
    return codes


class TopicTests(TestCase):
    timeout = 120

    async def objects(self, servers: Stack, *topics: str) -> list[str]:
        return [key for topic in topics for key in await in_thread(keys_below, servers, topic)]

    async def test_blind_retries_leave_nothing_where_the_broker_creates_no_topics(self) -> None:
        kafka = await own_kafka(self, config={"auto.create.topics.enable": "false"})
        servers = attrs.evolve(await stack(), kafka=kafka)
        topic = await servers.new_topic("there", partitions=2)
        proxy = await own_proxy(self, servers)
        door = proxy.bootstrap
        self.assertEqual(await in_thread(retried, door, "unknown", RETRIES), {3})
        self.assertEqual(await in_thread(retried, door, "no/name", RETRIES), {17})
        self.assertEqual(await in_thread(retried, door, topic, 10, partition=2), {3})
        self.assertEqual(await self.objects(servers, "unknown", "no", topic), [])
        # What is there goes on, over connections that were refused before too.
        self.assertEqual(await in_thread(retried, door, topic, 3, partition=1), {0})
        self.assertEqual(len(await self.objects(servers, topic)), 3)

    async def test_a_topic_is_created_for_a_producer_where_the_broker_does_so(self) -> None:
        servers = await stack()
        proxy = await shared_proxy()
        topic = f"{await servers.new_topic('neighbour')}-unheard-of"
        self.assertEqual(await in_thread(retried, proxy.bootstrap, topic, 10), {3})
        # Its own metadata creates it, as it does without the proxy.
        (outcome,) = await in_thread(librdkafka, proxy.bootstrap, topic, [lfs(b"x")], Mode())
        self.assertEqual(outcome.error, "")
        self.assertEqual(len(await in_thread(read_topic, servers.kafka.bootstrap, topic)), 1)
        self.assertEqual(len(await self.objects(servers, topic)), 1)

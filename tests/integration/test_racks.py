"""Nodes in three racks: a consumer is served by the replica in its own, and all go on while nodes change.

Leaders move, the active controller is killed, and its node comes back with another address.
"""

from __future__ import annotations

import itertools
import random
import urllib.error
import urllib.request
from collections import Counter

from kafka import KafkaConsumer, TopicPartition
from kafka.protocol.admin import DescribeClusterRequest, DescribeClusterResponse
from kafka.protocol.metadata import MetadataRequest, MetadataResponse
from twisted.trial.unittest import TestCase

from lfsproxy.devstack import KafkaServer
from lfsproxy.devstack.ports import free_port
from tests.integration.clients.python import librdkafka, read_topic
from tests.integration.clients.records import Mode, Record, lfs
from tests.integration.cluster import ClusterStack, ask, brokers, lead
from tests.integration.hydration.model import digest_of
from tests.integration.hydration.readers.lines import Job, Wanted
from tests.integration.hydration.readers.programs import DEFAULT, READERS, Reader
from tests.integration.proxy import ProxyProcess
from tests.integration.racks import (
    BLOBS,
    RACKS,
    Given,
    controller,
    given,
    noted_requests,
    rack_cluster,
    rack_proxy,
)
from tests.integration.stack import in_thread
from tests.integration.traffic import PATIENCE, Client, Traffic, check_log, records, value_of

RECORDS = 20
"""In each partition; every other one is an LFS record."""
NEAR, FAR = {0, 1}, {2}
"""Partitions that node 1 leads, with a replica on the node in the consumer's rack and without one."""
GIVEN = {1: Given(FAR, Counter(NEAR)), 2: Given(NEAR), 3: Given()}
"""Each near one is asked of its leader once, and read from the replica."""
STEP = 10
"""Records that each producer sends between one event and the next."""
PAUSES = 5
"""Between two uploads, as each is a blob, which costs more than most records of the others."""

Brief = tuple[int, int, bytes | None, int, str]
"""A record's partition, offset and key, and its value's length and SHA-256."""

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_filled: tuple[str, dict[bool, list[Brief]]] | None = None


class RackCase(TestCase):
    timeout = 240
    servers: ClusterStack
    proxy: ProxyProcess

    async def setUp(self) -> None:  # type: ignore[override]
        self.servers = await rack_cluster()
        self.proxy = await rack_proxy()


class FollowerTests(RackCase):
    """Consumers that say where they are read from the replica there, be it with blobs or with envelopes."""

    async def test_clients_are_told_the_racks(self) -> None:
        port = self.proxy.kafka_port
        told = await in_thread(ask, port, MetadataRequest(topics=[]), 12, MetadataResponse)
        self.assertEqual({each.node_id: each.rack for each in told.brokers}, RACKS)
        told = await in_thread(ask, port, DescribeClusterRequest(), 1, DescribeClusterResponse)
        self.assertEqual({each.broker_id: each.rack for each in told.brokers}, RACKS)

    async def filled(self) -> tuple[str, dict[bool, list[Brief]]]:
        """A topic that node 1 leads, and all of its records: with blobs or as they are."""
        global _filled
        if _filled is None:
            topic = await self.servers.new_topic("racks", partitions=len(NEAR | FAR))
            await in_thread(lead, self.proxy.kafka_port, topic, NEAR, [1, 2, 3])
            await in_thread(lead, self.proxy.kafka_port, topic, FAR, [1, 3])
            _filled = topic, await in_thread(self.fill, topic)
        return _filled

    def fill(self, topic: str) -> dict[bool, list[Brief]]:
        chance = random.Random(topic)
        sent = [
            (lfs if number % 2 else Record)(
                chance.randbytes(1000 * number), key=b"%d-%d" % (partition, number), partition=partition
            )
            for partition in sorted(NEAR | FAR)
            for number in range(RECORDS)
        ]
        outcomes = librdkafka(self.proxy.bootstrap, topic, sent, Mode(idempotent=True))
        self.assertEqual({outcome.error for outcome in outcomes}, {""})
        there = read_topic(self.servers.kafka.bootstrap, topic)
        self.assertEqual([each.key for each in there], [each.key for each in sent])
        return {
            with_blobs: [
                (one.partition, one.offset, one.key, *digest_of(other.value))
                for one, other in zip(there, sent if with_blobs else there, strict=True)
            ]
            for with_blobs in (True, False)
        }

    async def read_by(self, name: str, with_blobs: bool = True) -> None:
        topic, expected = await self.filled()
        (reader,) = (each for each in READERS if each.name == name)
        client_id = f"{BLOBS}{name}" if with_blobs else name
        async with noted_requests(self.servers):
            seen = await in_thread(self.read, reader, client_id, topic)
            self.assertEqual(seen, expected[with_blobs])
            noted: dict[int, Given] = {}
            # A node notes an answer when it has left.
            while set().union(*(each.records for each in noted.values())) != NEAR | FAR:
                noted = await in_thread(given, self.servers, client_id)
        self.assertEqual(noted, GIVEN)

    def read(self, reader: Reader, client_id: str, topic: str) -> list[Brief]:
        wanted = [Wanted(topic, partition, 0, RECORDS - 1) for partition in NEAR | FAR]
        limits = DEFAULT.max_bytes, DEFAULT.partition_max_bytes
        job = Job(self.proxy.bootstrap, client_id, True, *limits, wanted, rack=RACKS[2])
        return [(each.partition, each.offset, each.key, each.length, each.sha256) for each in reader.run(job)]

    async def test_envelopes(self) -> None:
        await self.read_by("librdkafka", with_blobs=False)

    async def test_librdkafka(self) -> None:
        await self.read_by("librdkafka")

    async def test_java(self) -> None:
        await self.read_by("java")

    async def test_franz_go(self) -> None:
        await self.read_by("franz-go")

    async def test_sarama(self) -> None:
        await self.read_by("sarama")

    async def test_kafka_python(self) -> None:
        await self.read_by("kafka-python")

    async def test_aiokafka(self) -> None:
        await self.read_by("aiokafka")

    async def test_kafkajs(self) -> None:
        await self.read_by("kafkajs")


class FailoverTests(RackCase):
    """Nothing is lost, or there twice, whichever node leads, controls, or is somewhere else than before."""

    async def test_all_clients_go_on_without_the_controller_and_with_a_node_elsewhere(self) -> None:
        topic = await self.servers.new_topic("failover", partitions=3)
        partitions = {0, 1, 2}
        told = await in_thread(brokers, self.proxy.kafka_port)
        traffic = Traffic(self.proxy.bootstrap, topic)
        traffic.producers.append(Client("http", lambda client: upload(client, self.proxy, topic)))
        traffic.groups.append([Client("racks", lambda client: follow(client, self.proxy, topic, partitions))])
        self.addCleanup(traffic.stop)

        async def goes_on(when: str) -> None:
            await traffic.goes_on(STEP)
            self.assertEqual(traffic.errors(), [], when)
            now = await in_thread(brokers, self.proxy.kafka_port)
            self.assertEqual(now, {number: told[number] for number in now}, when)

        await goes_on("at the start")
        active = await in_thread(controller, self.servers)
        others = [number for number in self.servers.nodes if number != active]
        await in_thread(lead, self.proxy.kafka_port, topic, partitions, [active, *others])
        node = self.servers.nodes[active]
        self.addCleanup(in_thread, self.start, node)
        await in_thread(node.kill)
        await goes_on("without the controller")
        self.assertIn(await in_thread(controller, self.servers), others)
        node.port = free_port()
        await in_thread(self.start, node)
        await in_thread(lead, self.proxy.kafka_port, topic, partitions, [active, *others])
        await goes_on("when a node is at another port")
        self.assertEqual(await in_thread(brokers, self.proxy.kafka_port), told)
        self.assertIn(f"broker {active} has moved to {node.bootstrap}", self.proxy.log)
        await traffic.end()
        self.assertEqual(traffic.errors(), [])
        nodes = self.servers.nodes.values()
        await in_thread(check_log, self.servers, topic, traffic.acknowledged, nodes)

    def start(self, node: KafkaServer) -> None:
        if not node.running:
            node.start()


def upload(client: Client, proxy: ProxyProcess, topic: str) -> None:
    """By HTTP, one after the other."""
    for key, value, _ in records("http"):
        where = f"{proxy.http}/v1/topics/{topic}/records?key={key.decode()}"
        try:
            with _opener.open(urllib.request.Request(where, data=value), timeout=PATIENCE):
                client.keys.append(key)
        except urllib.error.HTTPError as error:
            client.errors.append(f"{key!r}: {error} {error.read().decode()}")
        if not all(client.pause() for _ in range(PAUSES)):
            break


def follow(client: Client, proxy: ProxyProcess, topic: str, partitions: set[int]) -> None:
    """By kafka-python, with blobs, from the replica in a rack: each partition's records, offset by offset.

    Not by librdkafka: up to 2.16 its threads can lock each other out for ever when a broker's address changes
    while it asks a leader for an epoch's end, as it does with a rack.
    """
    consumer = KafkaConsumer(
        bootstrap_servers=proxy.bootstrap,
        client_id=f"{BLOBS}follower",
        client_rack=RACKS[2],
        group_id=None,
        auto_offset_reset="none",
    )
    places = [TopicPartition(topic, partition) for partition in partitions]
    consumer.assign(places)
    for place in places:
        consumer.seek(place, 0)
    offsets = dict.fromkeys(partitions, 0)
    while client.pause():
        for found in itertools.chain.from_iterable(consumer.poll(timeout_ms=1000).values()):
            if found.offset != offsets[found.partition]:
                client.errors.append(f"{found.partition}: {found.offset} for {offsets[found.partition]}")
            if found.value != value_of(found.key):
                client.errors.append(f"{found.key!r} at {found.offset} has {len(found.value)} bytes")
            offsets[found.partition] = found.offset + 1
            client.keys.append(found.key)
    consumer.close()

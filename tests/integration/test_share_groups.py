"""Share groups (KIP-932) through the proxy, by Java's and franz-go's consumers, in front of three brokers."""

from __future__ import annotations

import base64
import random
import zlib
from collections.abc import Callable, Sequence

import psutil
from kafka import KafkaProducer
from twisted.trial.unittest import TestCase

from lfsproxy.devstack.ports import HOST
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.share_answers import blotted
from tests.integration.clients.share import (
    ShareClients,
    Shared,
    configure,
    franz_share,
    java_share,
)
from tests.integration.clients.share_session import ShareSession, id_of
from tests.integration.cluster import cluster, cluster_proxy, lead, leaders, node_ports, ports_connected_to
from tests.integration.kafka_door import wait_for
from tests.integration.stack import in_thread
from tests.wire.shares import Answer, Endpoint, Partition

MIB = 1024 * 1024
LARGE = 20_000_000
LARGE_RECORDS = 3
LOCK_MS = "2000"
NOT_LEADER = 6


class ClientTests(TestCase):
    """Each client does all that a share consumer can do."""

    timeout = 240

    async def setUp(self) -> None:  # type: ignore[override]
        self.servers = await cluster()
        self.proxy = await cluster_proxy()

    async def test_java(self) -> None:
        await self.check(java_share)

    async def test_franz_go(self) -> None:
        await self.check(franz_share)

    async def check(self, start: Callable[[], ShareClients]) -> None:
        topic = await self.servers.new_topic("share", config={"max.message.bytes": str(2 * LARGE)})
        clients = await in_thread(start)
        try:
            await in_thread(self.acknowledge_in_each_way, clients, topic)
            await in_thread(self.leave_records_to_another, clients, topic)
            await in_thread(self.share_between_two, clients, topic)
            await in_thread(self.move_the_leader, clients, topic)
            await in_thread(self.read_large_records, clients, topic)
        finally:
            await in_thread(clients.end)

    def produce(self, topic: str, values: Sequence[bytes]) -> None:
        """To Kafka itself, each in a batch of its own."""
        producer = KafkaProducer(bootstrap_servers=self.servers.kafka.bootstrap, max_request_size=2 * LARGE)
        try:
            for value in values:
                producer.send(topic, value, partition=0).get(30)
        finally:
            producer.close()

    def group(self, clients: ShareClients, topic: str, *names: str, **config: str) -> None:
        """Consumers of a new group, which begins with what is in the topic."""
        group = f"{topic}-{'-'.join(names)}"
        configure(self.proxy.bootstrap, group, share_auto_offset_reset="earliest", **config)
        for name in names:
            clients.open(name, self.proxy.bootstrap, group, topic)

    def acknowledge_in_each_way(self, clients: ShareClients, topic: str) -> None:
        self.produce(topic, [b"accepted", b"released", b"rejected", b"renewed"])
        self.group(clients, topic, "one")
        polled = clients.poll("one")
        self.assertEqual([(each.offset, each.delivery) for each in polled], [(n, 1) for n in range(4)])
        ways = ["ACCEPT", "RELEASE", "REJECT", "RENEW"]
        self.assertEqual(clients.acknowledge("one", zip(polled, ways, strict=True)), [])
        # Java gives a renewed record to the program once more, franz-go takes its next acknowledgement.
        renewed = clients.poll("one") if clients.gives_renewed else polled[3:]
        self.assertEqual([(each.offset, each.delivery) for each in renewed], [(3, 1)])
        self.assertEqual(clients.acknowledge("one", [(renewed[0], "ACCEPT")]), [])
        again = clients.poll("one")
        self.assertEqual([(each.offset, each.delivery) for each in again], [(1, 2)])
        self.assertEqual(clients.acknowledge("one", [(again[0], "ACCEPT")]), [])
        self.assertEqual(clients.poll("one", 1), [])
        clients.close("one")

    def leave_records_to_another(self, clients: ShareClients, topic: str) -> None:
        """What a consumer has taken and not acknowledged is another one's when the lock has ended."""
        self.group(clients, topic, "slow", "other", share_record_lock_duration_ms=LOCK_MS)
        taken = clients.poll("slow")
        again = clients.poll("other")
        self.assertEqual((offsets(again), offsets(taken)), ([*range(4)], [*range(4)]))
        self.assertEqual({each.delivery for each in taken}, {1})
        self.assertGreater(min(each.delivery for each in again), 1)
        late = clients.acknowledge("slow", accepted(taken))
        self.assertTrue(late and set(late) <= {"INVALID_RECORD_STATE", "InvalidRecordStateException"}, late)
        clients.close("slow")
        clients.close("other")

    def share_between_two(self, clients: ShareClients, topic: str) -> None:
        """Each of two consumers of a group gets records, and no record comes twice."""
        self.produce(topic, [b"%d" % number for number in range(20)])
        self.group(clients, topic, "left", "right")
        self.assertEqual(offsets(gathered(clients, ["left", "right"], 24)), [*range(24)])
        clients.close("left")
        clients.close("right")

    def move_the_leader(self, clients: ShareClients, topic: str) -> None:
        self.group(clients, topic, "mover")
        gathered(clients, ["mover"], 24)
        leader = leaders(self.proxy.kafka_port, topic)[0]
        to = 2 if leader == 3 else 3
        others = [number for number in self.servers.nodes if number != to]
        lead(self.proxy.kafka_port, topic, {0}, [to, *others])
        self.produce(topic, [b"moved"] * 5)
        moved = gathered(clients, ["mover"], 5)
        self.assertEqual(offsets(moved), [*range(24, 29)])
        nodes = {node.port for node in self.servers.nodes.values()}
        for process in (psutil.Process(clients.pid), *psutil.Process(clients.pid).children(recursive=True)):
            self.assertEqual(ports_connected_to(process) & nodes, set())
        clients.close("mover")

    def read_large_records(self, clients: ShareClients, topic: str) -> None:
        values = [random.Random(number).randbytes(LARGE) for number in range(LARGE_RECORDS)]
        self.produce(topic, values)
        self.group(clients, topic, "large")
        before = self.proxy.peak_memory
        read = gathered(clients, ["large"], 29 + LARGE_RECORDS)
        self.assertEqual(
            [(each.size, each.crc) for each in read[29:]], [(LARGE, zlib.crc32(value)) for value in values]
        )
        self.assertLess(self.proxy.peak_memory - before, 8 * MIB)
        clients.close("large")


def gathered(clients: ShareClients, names: Sequence[str], count: int) -> list[Shared]:
    """So many records, of these consumers in turn, which accept them."""
    found: list[Shared] = []

    def poll() -> int:
        for name in names:
            polled = clients.poll(name, 1)
            found.extend(polled)
            assert not clients.acknowledge(name, accepted(polled))
        return len(found)

    wait_for(poll, lambda seen: seen >= count)
    return sorted(found, key=lambda each: each.offset)


def offsets(records: Sequence[Shared]) -> list[int]:
    return [each.offset for each in records]


def accepted(records: Sequence[Shared]) -> list[tuple[Shared, str]]:
    return [(each, "ACCEPT") for each in records]


class AnswerTests(TestCase):
    """Answers that name brokers, as Kafka itself gives them, and as a client's own decoder reads them."""

    timeout = 120

    async def test_a_node_that_does_not_lead_names_the_leader_and_not_where_it_is(self) -> None:
        servers, proxy = await cluster(), await cluster_proxy()
        topic = await servers.new_topic("share-moved")
        leader = (await in_thread(leaders, proxy.kafka_port, topic))[0]
        asked = next(node for node in servers.nodes if node != leader)
        topic_id = await in_thread(id_of, servers.kafka.port, topic)
        for version in (1, 2):
            given = await in_thread(exchanges, servers.nodes[asked].port, version, topic_id)
            passed = await in_thread(exchanges, node_ports(proxy) + asked, version, topic_id)
            end = Answer(endpoints=[Endpoint(leader, HOST.encode(), servers.nodes[leader].port)]).end()
            self.assertTrue(given[0].endswith(end), given)
            self.assertEqual(passed[0], given[0][: -len(end)] + blotted(end))
            # No leader is named for a partition of which the session has no records: see test_share_stall.
            self.assertEqual(passed[1], given[1])

    async def test_java_reads_what_has_been_blotted_out_of_any_length(self) -> None:
        clients = await in_thread(java_share)
        try:
            await in_thread(self.check_lengths, clients)
        finally:
            await in_thread(clients.end)

    def check_lengths(self, clients: ShareClients) -> None:
        moved = Partition(0, NOT_LEADER, leader=(2, 7))
        for key in (KafkaApi.SHARE_FETCH, KafkaApi.SHARE_ACKNOWLEDGE):
            for version in (1, 2):
                for length in (0, 1, 15, *range(110, 130), 16_369, *range(16_370, 16_380), 60_000):
                    answer = Answer([[moved]], [Endpoint(2, b"h" * length, 9092)], tags=[(5, b"other")])
                    # Its header is none of the message's.
                    data = answer.start(key, version)[1:] + blotted(answer.end())
                    read = clients.ask(
                        do="read", api=key, version=version, answer=base64.b64encode(data).decode()
                    )
                    self.assertEqual(read, {"endpoints": 0, "topics": 1, "left": 0}, (key, version, length))


def exchanges(port: int, version: int, topic_id: bytes) -> list[bytes]:
    """The answers to ShareFetch and ShareAcknowledge of a session, from behind the correlation ids on."""
    with ShareSession(port, topic_id, version=version) as session:
        session.ask_to_fetch()
        fetched = session.answer()
        session.ask_to_accept(0)
        return [fetched, session.answer()]

"""Answers that are looked into: what they may hold, and what happens where there is no memory for them."""

from __future__ import annotations

import gc
import struct
import tracemalloc
from collections.abc import Iterator
from zlib import crc32

from lfsproxy.budget import Lease
from lfsproxy.relay.answering import MOST_FRONT
from lfsproxy.relay.memory import MEMORY_SECONDS, SMALL_ANSWER
from lfsproxy.relay.replies import MOST_COLLECTED, MOST_VERDICTS
from lfsproxy.wire import addresses
from lfsproxy.wire.answers import PartitionAnswer, ProduceResponse
from lfsproxy.wire.apis import KafkaApi
from tests.relay.broker import metadata
from tests.relay.records import TOPIC, batch, lfs, produce, record, request
from tests.relay.rig import KIB, MEMORY, Client, RelayTestCase

MIB = 1024 * KIB
CONNECTIONS = 50
ANSWER = 30 * MIB
REFUSED = (
    "Timestamp 1732834567890123 of message with offset 14999 is out of range. The timestamp should be within "
    "[-9223372036854775808, 1732838167890]"
)


class Tally(Client):
    """A client that keeps only the beginning of what it gets."""

    size = 0
    crc = 0

    def received(self, data: bytes) -> None:
        if len(self.data) < 256:
            self.data += data[:256]
        self.size += len(data)
        self.crc = crc32(data, self.crc)


def filling(size: int, step: int = 64 * KIB) -> Iterator[bytes]:
    """So many bytes, never the same piece twice."""
    for start in range(0, size, step):
        yield start.to_bytes(8, "big") * (min(step, size - start) // 8)


class MetadataTests(RelayTestCase):
    """Of a Metadata answer only the brokers at its front are held."""

    client_type = Tally
    VERSION = 9

    def prepare(self) -> None:
        self.cluster.held = True
        self.cluster.addresses = {node: (f"broker-{node}.example", 9092) for node in range(300)}

    def front(self) -> bytes:
        """What stands before the topics, from the correlation id on."""
        return metadata(self.VERSION, self.cluster.addresses)[:-3]

    def frame(self, size: int) -> Iterator[bytes]:
        """An answer with so many bytes of topics."""
        front = self.front()
        yield struct.pack(">ii", 4 + len(front) + size, 1)
        yield from (front[start : start + 1000] for start in range(0, len(front), 1000))
        yield from filling(size)

    def ask(self) -> tuple[Tally, bytes]:
        """A client that has asked; what it is to get before the topics."""
        client = self.client()
        assert isinstance(client, Tally)
        client.send(request(KafkaApi.METADATA, self.VERSION, 1, b"\0"))
        proxied = addresses.rewrite(
            KafkaApi.METADATA, self.VERSION, 1, self.front(), lambda node, *_: ("127.0.0.1", 19093 + node)
        )
        return client, proxied

    def assert_whole(self, rewritten: bytes, size: int, *clients: Tally) -> None:
        """They have got their answers, with the proxy's addresses and everything else as it was."""
        head = struct.pack(">i", len(rewritten) - 4 + size) + rewritten[4:]
        crc = crc32(head)
        for piece in filling(size):
            crc = crc32(piece, crc)
        for client in clients:
            self.assertEqual(bytes(client.data[:256]), head[:256])
            self.assertEqual((client.size, client.crc), (len(head) + size, crc))

    def test_30_mb_each_on_50_connections_hold_no_more_than_their_buffers(self) -> None:
        asked = [self.ask() for _ in range(CONNECTIONS)]
        connections = self.cluster.connections[-CONNECTIONS:]
        for client, _ in asked:
            client.wire.peer_reads = False
        gc.collect()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before = tracemalloc.get_traced_memory()[0]
        for connection in connections:
            connection.wire.arrive_bit_by_bit(self.frame(ANSWER))
        self.net.flow()
        waiting = tracemalloc.get_traced_memory()[1] - before
        self.assertTrue(all(connection.wire.paused for connection in connections))
        self.assertEqual([client.size for client, _ in asked], [0] * CONNECTIONS)
        for client, _ in asked:
            client.wire.peer_reads = True
        self.net.flow()
        peak = tracemalloc.get_traced_memory()[1] - before
        self.assert_whole(asked[0][1], ANSWER, *[client for client, _ in asked])
        self.assertLess((waiting, peak), (CONNECTIONS * MIB, CONNECTIONS * MIB))
        self.assertEqual(self.budget.peak, 0)
        for connection in connections:
            connection.pending.clear()

    def test_an_answer_that_comes_byte_by_byte_is_rewritten_too(self) -> None:
        client, rewritten = self.ask()
        whole = b"".join(self.frame(800))
        self.broker.wire.arrive_bit_by_bit(whole[each : each + 1] for each in range(len(whole)))
        self.net.flow()
        self.assert_whole(rewritten, 800, client)
        self.broker.pending.clear()

    def test_other_answers_wait_until_it_has_left(self) -> None:
        client, rewritten = self.ask()
        client.send(request(KafkaApi.API_VERSIONS, 9, 2))
        whole = b"".join(self.frame(100 * KIB))
        self.broker.wire.arrive(whole[:-1])
        self.net.flow()
        self.assertEqual(client.size, len(rewritten) + 100 * KIB - 1)
        self.broker.wire.arrive(whole[-1:])
        self.net.flow()
        self.assertGreater(client.size, len(rewritten) + 100 * KIB)
        self.broker.pending.clear()

    def test_brokers_without_an_end_close_the_connection(self) -> None:
        client, _ = self.ask()
        many = struct.pack(">iib", 64 * MIB, 1, 0) + b"\0\0\0\0" + b"\xff\xff\xff\x07"
        brokers = b"\0\0\0\1\2a\0\0\x23\x84\0\0" * 5000
        left = iter([many, *[brokers] * 100])
        self.broker.wire.arrive_bit_by_bit(left)
        self.net.flow()
        self.assertEqual((client.is_open, client.size), (False, 0))
        taken = (100 - len(list(left))) * len(brokers)
        self.assertLess(taken, MOST_FRONT + 2 * len(brokers))
        self.assertEqual(self.metrics.of("kafka_closed"), [("broken-framing",)])
        self.broker.pending.clear()


class LargeAnswerTests(RelayTestCase):
    """What is looked into as a whole is held under a lease where it is large."""

    LARGE = 300 * KIB

    def prepare(self) -> None:
        self.cluster.fields = {"error_message": "x" * self.LARGE}

    def fill(self) -> list[Client]:
        """Let slow clients have nearly all the memory."""
        slow = [self.client() for _ in range(5)]
        for each in slow:
            each.send(produce(1, batch(lfs(bytes(400 * KIB))))[: 100 * KIB])
        return slow

    def take_all_memory(self) -> list[Lease]:
        """Leave nothing of the budget."""
        leases = []
        while (lease := self.budget.try_acquire(64 * KIB)) is not None:
            leases.append(lease)
        return leases

    def test_it_has_a_lease_until_the_client_has_taken_it(self) -> None:
        client = self.client()
        client.wire.peer_reads = False
        client.send(produce(1, batch(record(b"plain"))))
        self.assertGreater(self.budget.used, 2 * self.LARGE)
        self.assertLess(client.wire.most_unread, 2 * 256 * KIB + 64)
        client.wire.peer_reads = True
        self.net.flow()
        self.assertEqual((client.order, self.budget.used), ([1], 0))
        self.assertEqual(client.verdicts(1)[0].error_message, "x" * self.LARGE)

    def test_a_small_one_has_none(self) -> None:
        self.cluster.fields = {"error_message": "x" * (SMALL_ANSWER - KIB)}
        client = self.client()
        client.wire.peer_reads = False
        client.send(produce(1, batch(record(b"plain"))))
        self.assertEqual(self.budget.used, 0)
        client.wire.peer_reads = True
        self.net.flow()
        self.assertEqual(client.order, [1])

    def test_it_waits_for_memory(self) -> None:
        client = self.client()
        slow = self.fill()
        client.send(produce(1, batch(lfs(b"blob"))), request(KafkaApi.API_VERSIONS, 9, 2))
        self.assertEqual((client.order, self.budget.waiting), ([], 1))
        for each in slow:
            each.hang_up()
        self.assertEqual(client.order, [1, 2])
        self.assert_published(b"blob")

    def test_slow_clients_lose_their_memory_to_it(self) -> None:
        client = self.client()
        slow = self.fill()
        client.send(produce(1, batch(lfs(b"blob"))))
        self.pass_seconds(3)
        self.assertEqual(client.order, [1])
        self.assertEqual(sum(not each.is_open for each in slow), 2)

    def test_a_client_that_does_not_take_it_loses_it_to_others(self) -> None:
        greedy = [self.client() for _ in range(3)]
        for each in greedy:
            each.wire.peer_reads = False
            each.send(produce(1, batch(record(b"plain"))))
        self.assertGreater(self.budget.used, MEMORY - 2 * self.LARGE)
        waiter = self.client()
        waiter.send(produce(2, batch(lfs(bytes(400 * KIB)))))
        self.pass_seconds(3)
        self.assertEqual(len(self.cluster.produced), 4)
        self.assertEqual(self.metrics.of("kafka_closed"), [("stalled",)])

    def test_without_memory_for_too_long_the_connection_is_closed(self) -> None:
        client = self.client()
        self.know_topic()
        leases = self.take_all_memory()
        client.send(produce(1, batch(lfs(b"blob"))))
        self.pass_seconds(MEMORY_SECONDS - 1)
        self.assertTrue(client.is_open)
        self.pass_seconds(1)
        self.assertFalse(client.is_open)
        (line,) = [each for each in self.lines() if "is closed" in each]
        self.assertRegex(
            line, r"no memory for the broker's answer of 30\d{4} bytes within 10 s .LFS_UPLOAD_MEM"
        )
        self.assertEqual(self.metrics.of("orphan"), [("unknown_outcome",)])
        self.assertEqual(self.blobs, [b"blob"])
        for lease in leases:
            lease.release()

    def test_a_stop_does_not_wait_for_its_memory(self) -> None:
        client = self.client()
        leases = self.take_all_memory()
        client.send(produce(1, batch(record(b"plain"))))
        self.assertEqual(self.budget.waiting, 1)
        self.successResultOf(self.stop())
        for lease in leases:
            lease.release()

    def test_one_that_is_too_large_for_the_budget_closes_the_connection(self) -> None:
        self.cluster.held = True
        client = self.client()
        client.send(request(KafkaApi.FIND_COORDINATOR, 4, 1, b"\0\0"))
        self.broker.wire.arrive(struct.pack(">ii", 20 * MIB, 1))
        self.net.flow()
        self.assertFalse(client.is_open)
        (line,) = [each for each in self.lines() if "is closed" in each]
        self.assertIn("is too large to look into, beyond 786432", line)
        self.broker.pending.clear()

    def test_the_proxy_s_own_questions_do_without_one_for_which_there_is_no_memory(self) -> None:
        self.cluster.fields = {}
        self.cluster.topics["demo-topic"] = (0, 5000)
        client = self.client()
        self.fill()
        client.send(produce(1, batch(lfs(b"blob"))))
        self.assertEqual((client.order, client.code(1)), ([1], 0))
        self.assertEqual(self.cluster.asked, ["demo-topic"])
        self.assert_published(b"blob")

    def test_nor_is_one_too_large_a_reason_to_close_the_connection(self) -> None:
        self.cluster.fields = {}
        self.cluster.topics["demo-topic"] = (0, 40000)
        client = self.client()
        client.send(produce(1, batch(lfs(b"blob"))))
        self.assertEqual((client.order, client.code(1)), ([1], 0))


class RecordErrorsTests(RelayTestCase):
    """A broker names each record of a batch that it refuses, in an answer longer than the batch."""

    overrides = {"upload_memory": 16 * MIB}
    NAMED = tuple((index, REFUSED) for index in range(15_000))

    def prepare(self) -> None:
        self.cluster.fields = {"record_errors": self.NAMED}

    def test_it_reaches_the_client(self) -> None:
        client = self.client()
        client.send(produce(1, batch(record(b"plain"))), produce(2, batch(lfs(b"blob"))))
        self.assertGreater(len(client.data), 2 * MOST_COLLECTED)
        for each in client.order:
            (verdict,) = client.verdicts(each)
            self.assertEqual(tuple(verdict.record_errors), self.NAMED)
        self.assertEqual((client.order, client.is_open, self.budget.used), ([1, 2], True, 0))

    def test_decoding_it_takes_no_more_than_another_answer(self) -> None:
        answer = ProduceResponse([PartitionAnswer(TOPIC, 0, 32, record_errors=self.NAMED)]).encode(9, 1)[8:]
        gc.collect()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before = tracemalloc.get_traced_memory()[0]
        ProduceResponse.decode(9, answer)
        times = (tracemalloc.get_traced_memory()[1] - before) / len(answer)
        self.assertLess(times * MOST_VERDICTS, 15 * MOST_COLLECTED)

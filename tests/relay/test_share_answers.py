"""Answers of share groups pass while they come, with the brokers' endpoints at their end blotted out."""

from __future__ import annotations

import gc
import struct
import tracemalloc
from collections.abc import Iterator
from zlib import crc32

from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.share_answers import MOST_ENDPOINTS, blotted
from tests.relay.records import request
from tests.relay.rig import KIB, RelayTestCase
from tests.relay.test_answer_memory import Tally, filling
from tests.wire.shares import Answer, Endpoint, around_records

MIB = 1024 * KIB
CONNECTIONS = 20
RECORDS = 10 * MIB
VERSION = 2
END = Answer(endpoints=[Endpoint(node, b"broker-%d.example" % node, 9092) for node in range(3)]).end()


class ShareAnswerTests(RelayTestCase):
    client_type = Tally

    def prepare(self) -> None:
        self.cluster.held = True

    def frame(self, size: int, end: bytes = END) -> Iterator[bytes]:
        before, after = around_records(VERSION, size)
        yield struct.pack(">ii", 4 + len(before) + size + len(after) + len(end), 1)
        yield before
        yield from filling(size)
        yield after + end

    def ask(self) -> Tally:
        client = self.client()
        assert isinstance(client, Tally)
        client.send(request(KafkaApi.SHARE_FETCH, VERSION, 1))
        return client

    def assert_blotted(self, size: int, *clients: Tally) -> None:
        crc = length = 0
        for piece in self.frame(size, blotted(END)):
            crc = crc32(piece, crc)
            length += len(piece)
        for client in clients:
            self.assertEqual((client.size, client.crc), (length, crc))

    def test_10_mb_each_on_20_connections_hold_no_more_than_their_buffers(self) -> None:
        clients = [self.ask() for _ in range(CONNECTIONS)]
        connections = self.cluster.connections[-CONNECTIONS:]
        for client in clients:
            client.wire.peer_reads = False
        gc.collect()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before = tracemalloc.get_traced_memory()[0]
        for connection in connections:
            connection.wire.arrive_bit_by_bit(self.frame(RECORDS))
        self.net.flow()
        self.assertTrue(all(connection.wire.paused for connection in connections))
        for client in clients:
            client.wire.peer_reads = True
        self.net.flow()
        self.assert_blotted(RECORDS, *clients)
        self.assertLess(tracemalloc.get_traced_memory()[1] - before, CONNECTIONS * MIB)
        self.assertEqual(self.budget.peak, 0)
        for connection in connections:
            connection.pending.clear()

    def test_an_answer_that_comes_byte_by_byte(self) -> None:
        client = self.ask()
        whole = b"".join(self.frame(800))
        self.broker.wire.arrive_bit_by_bit(whole[each : each + 1] for each in range(len(whole)))
        self.net.flow()
        self.assert_blotted(800, client)
        self.broker.pending.clear()

    def test_endpoints_without_an_end_close_the_connection(self) -> None:
        client = self.ask()
        self.broker.wire.arrive_bit_by_bit(self.frame(800, bytes(MOST_ENDPOINTS + 1)))
        self.net.flow()
        self.assertFalse(client.is_open)
        self.assertLess(client.size, 1000)
        self.assertEqual(self.metrics.of("kafka_closed"), [("broken-framing",)])
        self.broker.pending.clear()

    def test_an_answer_without_a_body_closes_the_connection(self) -> None:
        client = self.ask()
        self.broker.wire.arrive(struct.pack(">ii", 4, 1))
        self.net.flow()
        self.assertEqual((client.is_open, client.size), (False, 0))
        self.broker.pending.clear()

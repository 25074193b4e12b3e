"""Requests behind one that the broker does not answer: how many are read, and what is held for them."""

from __future__ import annotations

import gc
import struct
import tracemalloc

from lfsproxy.relay.order import MOST_UNANSWERED
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.frames import RequestStart
from tests.relay.records import batch, produce, record, request
from tests.relay.rig import KIB, RelayTestCase

MIB = 1024 * KIB
MANY = 12_000


def unsupported(correlation_id: int) -> bytes:
    """A request that the proxy answers by itself, with some twenty times as many bytes."""
    return request(KafkaApi.API_VERSIONS, 99, correlation_id)


def with_long_id(frame: bytes) -> bytes:
    """The request of a client whose id has 32 KiB."""
    head = frame[4:12] + struct.pack(">h", 0x7FFF) + b"i" * 0x7FFF + frame[14 + len(b"a-client") :]
    return struct.pack(">i", len(head)) + head


class UnansweredTests(RelayTestCase):
    def prepare(self) -> None:
        self.cluster.held = True

    def most_held(self, frames: list[bytes]) -> int:
        """Bytes that the proxy's memory grows by while the frames arrive."""
        client = self.client()
        client.send(request(KafkaApi.FETCH, 12, 0))
        gc.collect()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before = tracemalloc.get_traced_memory()[0]
        client.wire.arrive_bit_by_bit(iter(frames))
        self.net.flow()
        return tracemalloc.get_traced_memory()[1] - before

    def test_the_proxy_s_own_answers_are_held_up_to_a_limit(self) -> None:
        frames = [unsupported(each) for each in range(1, MANY)]
        self.assertLess(self.most_held(frames), MIB)
        self.answer()
        self.assertEqual(self.clients[0].order, list(range(MANY)))

    def test_so_are_the_places_of_those_that_a_broker_does_not_read(self) -> None:
        frames = [request(KafkaApi.FETCH, 12, each) for each in range(1, MANY)]
        client = self.client()
        self.broker.wire.peer_reads = False
        client.wire.arrive_bit_by_bit(iter(frames))
        self.net.flow()
        self.assertLess(self.broker.wire.most_unread, MOST_UNANSWERED * len(frames[0]) + 1)
        self.cluster.held = False
        self.broker.wire.peer_reads = True
        self.net.flow()
        self.assertEqual(client.order, list(range(1, MANY)))

    def test_a_client_that_goes_away_meanwhile_is_not_waited_for(self) -> None:
        client = self.client()
        client.send(request(KafkaApi.FETCH, 12, 0))
        client.wire.arrive_bit_by_bit(unsupported(each) for each in range(1, 2 * MOST_UNANSWERED))
        self.net.flow()
        client.hang_up()
        self.assertEqual(len(self.relay.sessions), 0)
        self.broker.pending.clear()

    def test_what_needs_no_answer_still_goes_on_without_it(self) -> None:
        client = self.client()
        client.send(request(KafkaApi.FETCH, 12, 0))
        count = MOST_UNANSWERED + 100
        client.wire.arrive(b"".join(produce(each, batch(record(b"x")), acks=0) for each in range(count)))
        client.hang_up()
        self.assertEqual(len(self.cluster.produced), count)

    def test_client_ids_as_long_as_can_be_are_not_held_for_them(self) -> None:
        client = self.client()
        number = 0
        for _ in range(5):
            for frame in (
                produce(number, batch(record(b"plain"))),
                produce(number + 1, batch(record(b"looked into"), codec=1)),
                request(KafkaApi.FETCH, 12, number + 2),
                request(KafkaApi.METADATA, 1, number + 3, bytes(4)),
                request(KafkaApi.API_VERSIONS, 0, number + 4),
            ):
                client.send(with_long_id(frame))
            number += 5
        self.assertEqual(len(self.broker.pending), number)
        gc.collect()
        held = [each for each in gc.get_objects() if isinstance(each, RequestStart) and len(each.head) > 1000]
        # That of the last one stays until the next one begins.
        self.assertEqual([each.correlation_id for each in held], [number - 1])
        self.answer(number)
        self.assertEqual(client.order, list(range(number)))

    def test_neither_are_long_names_of_their_software(self) -> None:
        name = bytes([0xFF, 0xFF, 0x01]) + b"n" * (0x7FFF - 1)
        frames = [request(KafkaApi.API_VERSIONS, 3, each, b"\0" + name + b"\2v\0") for each in range(1, 200)]
        # The broker that stands in here keeps each frame, and its body once more.
        self.assertLess(self.most_held(frames) - 2 * sum(map(len, frames)), MIB)
        self.broker.pending.clear()

    def test_a_drain_lets_them_be_answered(self) -> None:
        client = self.client()
        client.send(request(KafkaApi.FETCH, 12, 0))
        client.send(*[unsupported(each) for each in range(1, MOST_UNANSWERED + 10)])
        drained = self.relay.drain()
        self.net.flow()
        self.assertNoResult(drained)
        self.answer()
        self.successResultOf(drained)
        self.assertFalse(client.is_open)
        self.assertEqual(client.order, list(range(len(client.order))))

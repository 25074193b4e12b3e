"""LFS_STALL_TIMEOUT and LFS_KAFKA_MAX_IDLE: connections that their clients let lie."""

from __future__ import annotations

import struct

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.relay.silence import Silence
from lfsproxy.wire.apis import KafkaApi
from tests.relay.records import batch, lfs, produce, request
from tests.relay.rig import KIB, Client, RelayTestCase
from tests.relay.test_hole_rule import bad

STALL = 30
IDLE = 100


class SilenceTests(SynchronousTestCase):
    """Each look is (now, received, buffered, is_awaited, is_idle, taken)."""

    def looks(
        self, *looks: tuple[float, int, int, bool, bool, int | None], max_idle: float = IDLE
    ) -> list[str]:
        silence = Silence(0, STALL, max_idle)
        return [
            silence.look(
                now, received=received, buffered=buffered, is_awaited=awaited, is_idle=idle, taken=taken
            ).name
            for now, received, buffered, awaited, idle, taken in looks
        ]

    def test_bytes_of_a_body_are_progress(self) -> None:
        found = self.looks(*((29 * n, 100 + n, 0, True, False, None) for n in range(10)))
        self.assertEqual(set(found), {"NO"})

    def test_a_body_that_stands_still_is_not(self) -> None:
        found = self.looks(
            (0, 100, 0, True, False, None), (29, 100, 0, True, False, None), (30, 100, 0, True, False, None)
        )
        self.assertEqual(found, ["NO", "NO", "WITHIN_A_REQUEST"])

    def test_a_head_has_no_more_time_when_it_drips(self) -> None:
        found = self.looks(*((10 * n, n, n, True, True, None) for n in range(1, 5)))
        self.assertEqual(found, ["NO", "NO", "NO", "WITHIN_A_REQUEST"])

    def test_time_in_which_nobody_waits_for_the_client_does_not_count(self) -> None:
        found = self.looks(
            (0, 100, 0, True, False, None), (50, 100, 0, False, False, None), (79, 100, 0, True, False, None)
        )
        self.assertEqual(found, ["NO"] * 3)

    def test_who_is_owed_an_answer_is_not_idle(self) -> None:
        found = self.looks(*((50 * n, 1, 0, False, False, None) for n in range(20)))
        self.assertEqual(set(found), {"NO"})

    def test_idle_is_counted_from_the_last_answer(self) -> None:
        found = self.looks(
            (0, 1, 0, False, True, None),
            (90, 1, 0, False, False, None),
            (189, 1, 0, False, True, None),
            (190, 1, 0, False, True, None),
        )
        self.assertEqual(found, ["NO", "NO", "NO", "IDLE"])

    def test_each_byte_that_is_taken_of_an_answer_is_progress(self) -> None:
        found = self.looks(
            (0, 1, 0, False, False, 0),
            (99, 1, 0, False, False, 1),
            (198, 1, 0, False, False, 1),
            (199, 1, 0, False, False, 1),
        )
        self.assertEqual(found, ["NO", "NO", "NO", "BEFORE_ITS_ANSWERS"])

    def test_both_of_them_may_be_off(self) -> None:
        found = self.looks((0, 1, 0, False, True, 5), (9000, 1, 0, False, True, 5), max_idle=0)
        self.assertEqual(found, ["NO", "NO"])


class StalledTests(RelayTestCase):
    overrides = {"stall_timeout": STALL, "kafka_max_idle": IDLE}

    def assert_closed(self, client: Client, reason: str = "stalled", line: str = "LFS_STALL_TIMEOUT") -> None:
        self.assertFalse(client.is_open)
        self.assertEqual(self.metrics.of("kafka_closed"), [(reason,)])
        self.assertIn(line, "".join(self.lines()))

    def stalls(self, *sent: bytes) -> None:
        client = self.client()
        client.send(*sent)
        self.pass_seconds(STALL - 1)
        self.assertTrue(client.is_open)
        self.pass_seconds(2)
        self.assert_closed(client)

    def test_half_a_length(self) -> None:
        self.stalls(b"\0\0")

    def test_a_frame_of_2_gib_that_never_comes(self) -> None:
        self.stalls(struct.pack(">ihhih", 2**31 - 1, KafkaApi.PRODUCE, 9, 1, -1))

    def test_a_client_id_that_never_comes(self) -> None:
        self.stalls(struct.pack(">ihhih", 40_000, KafkaApi.FETCH, 12, 1, 30_000) + b"name")

    def test_a_request_that_is_relayed(self) -> None:
        self.stalls(request(KafkaApi.JOIN_GROUP, 5, 1, bytes(1000))[:-1])

    def test_a_produce_request_within_a_batch(self) -> None:
        self.stalls(produce(1, batch(lfs(bytes(100 * KIB))))[: 50 * KIB])
        self.assert_nothing_published()

    def test_a_head_that_drips(self) -> None:
        client = self.client()
        for byte in request(KafkaApi.FETCH, 12, 1)[:4]:
            client.send(bytes([byte]))
            self.pass_seconds(10)
        self.assert_closed(client)

    def test_a_body_that_drips_is_served(self) -> None:
        client = self.client()
        frame = request(KafkaApi.JOIN_GROUP, 5, 1, bytes(10))
        client.send(frame[:-10])
        for _ in range(10):
            self.pass_seconds(STALL - 1)
            client.send(b"\0")
        self.assertEqual(client.order, [1])

    def test_a_busy_client_is_not_taken_for_one_that_drips(self) -> None:
        client = self.client()
        frame = request(KafkaApi.FETCH, 12, 1)
        client.send(frame[:3])
        for _ in range(2 * STALL):
            client.send(frame[3:] + frame[:3])
            self.pass_seconds(1)
        self.assertTrue(client.is_open)
        client.send(frame[3:])
        self.assertEqual(len(client.order), 2 * STALL + 1)


class IdleTests(RelayTestCase):
    overrides = {"kafka_max_idle": IDLE}

    def assert_closed(self, client: Client) -> None:
        self.assertFalse(client.is_open)
        self.assertEqual((self.metrics.of("kafka_closed"), self.lines()), ([("max_idle",)], []))

    def test_one_that_never_asks(self) -> None:
        client = self.client()
        self.pass_seconds(IDLE - 1)
        self.assertTrue(client.is_open)
        self.pass_seconds(2)
        self.assert_closed(client)

    def test_one_that_asked_has_the_time_from_then_on(self) -> None:
        client = self.client()
        self.pass_seconds(IDLE - 10)
        client.send(request(KafkaApi.FETCH, 12, 1))
        self.pass_seconds(IDLE - 1)
        self.assertTrue(client.is_open)
        self.pass_seconds(2)
        self.assert_closed(client)

    def test_a_long_poll_is_not_idle(self) -> None:
        client = self.client()
        broker = self.broker
        self.cluster.held = True
        client.send(request(KafkaApi.FETCH, 12, 1))
        self.pass_seconds(3 * IDLE)
        broker.answer()
        self.net.flow()
        self.assertEqual((client.order, client.is_open), ([1], True))

    def test_nor_is_an_upload(self) -> None:
        client = self.client()
        self.know_topic()
        self.store.hold("seal")
        client.send(produce(1, batch(lfs(b"blob"))))
        self.pass_seconds(3 * IDLE)
        self.let_go("seal")
        self.assertEqual((client.code(1), client.is_open), (0, True))

    def test_a_hole_keeps_it(self) -> None:
        client = self.client()
        client.send(produce(1, bad(10)))
        self.pass_seconds(3 * IDLE)
        self.assertTrue(client.is_open)

    def test_one_that_does_not_take_its_answers(self) -> None:
        client = self.client()
        client.wire.peer_reads = False
        self.cluster.held = True
        client.send(*(request(KafkaApi.FETCH, 12, number) for number in range(100)))
        self.broker.wire.arrive(
            b"".join(struct.pack(">ii", 100 * KIB, n) + bytes(100 * KIB - 4) for n in range(100))
        )
        self.net.flow()
        self.pass_seconds(IDLE + 5)
        self.assertFalse(client.is_open)
        self.assertEqual(self.metrics.of("kafka_closed"), [("stalled",)])


class NeverIdleTests(RelayTestCase):
    overrides = {"kafka_max_idle": 0}

    def test_nothing_is_ended(self) -> None:
        client = self.client()
        self.pass_seconds(2000)
        self.assertTrue(client.is_open)

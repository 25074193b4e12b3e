"""One Produce request by itself: a connection that is none, a store in memory, and no door."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.budget import MemoryBudget
from lfsproxy.claimcheck import ClaimCheck
from lfsproxy.kafka.stream import ConnectionGone
from lfsproxy.relay.produce.entries import Entries
from lfsproxy.relay.produce.frame import HeldFrame
from lfsproxy.relay.produce.held import HeldProduce
from lfsproxy.relay.produce.shared import Shared
from lfsproxy.relay.produce.streamed import StreamedProduce
from lfsproxy.relay.produce.work import ProduceWork
from lfsproxy.settings import Settings
from lfsproxy.testing import MemoryBlobStore, MemoryMetrics
from lfsproxy.wire.answers import PartitionAnswer, ProduceResponse
from lfsproxy.wire.frames import FrameBytes, RequestFrames, RequestStart
from tests.relay.connection import FakeConnection
from tests.relay.records import TOPIC, batch, lfs, produce, record

KIB = 1024


def says(*codes: int) -> bytes:
    """The broker's answer about partitions from 0 on."""
    answers = [PartitionAnswer(TOPIC, partition, code, base_offset=7) for partition, code in enumerate(codes)]
    return ProduceResponse(answers).encode(9, 1)[8:]


class ProduceTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.settings = Settings(
            s3_part_size=256 * KIB, max_passthrough_size=256 * KIB, upload_memory=2048 * KIB
        )
        self.store, self.metrics = MemoryBlobStore(part_size=256 * KIB), MemoryMetrics()
        self.budget = MemoryBudget(self.clock, 2048 * KIB, 256 * KIB, 30.0)
        claims = ClaimCheck(self.store, self.metrics, cast(Any, self.clock))
        self.shared = Shared(self.clock, self.settings, claims, self.budget, self.metrics)
        self.connection = FakeConnection(Entries(self.budget))
        self.addCleanup(self.check_nothing_is_left)

    def check_nothing_is_left(self) -> None:
        self.clock.pump([0] * 5)
        self.assertEqual((self.budget.used, self.store.open_uploads, self.shared.clean_ups), (0, 0, 0))

    def request(self, frame: bytes) -> RequestStart:
        """A request with its whole body at hand."""
        frames = RequestFrames()
        frames.feed(frame)
        start = frames.next_event()
        assert isinstance(start, RequestStart)
        while isinstance(event := frames.next_event(), FrameBytes):
            self.connection.body.append(bytes(event.data))
        return start

    def bring_to_end(self, start: RequestStart, is_streamed: bool = False) -> Deferred[None]:
        async def steps() -> None:
            work: ProduceWork
            if is_streamed:
                work = StreamedProduce(self.shared, self.connection, start)
            else:
                frame = HeldFrame(self.budget, start.size + 4 - len(start.head))
                await frame.receive(self.connection.next_piece, lambda: None)
                work = HeldProduce(self.shared, self.connection, start, frame)
            await work.receive()
            await work.run()

        over = Deferred.fromCoroutine(steps())
        self.clock.pump([0] * 20)
        return over

    @property
    def codes(self) -> Sequence[int]:
        """What the client is told of its partitions."""
        (answer,) = self.connection.answers
        return [each.error_code for each in ProduceResponse.decode(9, answer[8:]).partitions]

    @property
    def blobs(self) -> list[bytes]:
        return [blob.data for blob in self.store.blobs.values()]


class LifeTests(ProduceTestCase):
    def test_plain_records_are_forwarded_byte_for_byte(self) -> None:
        frame = produce(1, batch(record(b"plain")))
        self.successResultOf(self.bring_to_end(self.request(frame)))
        self.assertEqual(self.connection.sent, [frame])
        self.assertEqual(self.connection.answers, [])
        self.connection.broker_says(says(0))
        self.assertEqual((self.codes, self.connection.left), ([0], True))

    def test_a_blob_is_stored_before_its_envelope_is_forwarded(self) -> None:
        self.store.hold("seal")
        over = self.bring_to_end(self.request(produce(1, batch(lfs(b"value")))))
        self.assertEqual(self.connection.sent, [])
        self.store.let_go("seal")
        self.clock.pump([0] * 5)
        self.successResultOf(over)
        self.assertIn(b'"content_length":5', self.connection.sent[0])
        self.connection.broker_says(says(0))
        self.assertEqual((self.codes, self.blobs), ([0], [b"value"]))

    def test_a_broker_that_answers_before_all_is_written_is_answered_once(self) -> None:
        self.connection.broker = lambda _: says(87)
        self.successResultOf(self.bring_to_end(self.request(produce(1, batch(lfs(b"value"))))))
        self.assertEqual(self.codes, [87])
        self.clock.pump([0] * 5)
        self.assertEqual(self.blobs, [])

    def test_it_waits_for_its_turn(self) -> None:
        self.connection.waits = Deferred()
        over = self.bring_to_end(self.request(produce(1, batch(record(b"plain")))))
        self.assertEqual((self.connection.sent, self.connection.left), ([], False))
        self.connection.waits.callback(None)
        self.successResultOf(over)
        self.assertEqual(len(self.connection.sent), 1)

    def test_a_client_that_hung_up_is_not_forwarded_for(self) -> None:
        self.connection.hung_up = True
        self.failureResultOf(
            self.bring_to_end(self.request(produce(1, batch(lfs(b"value"))))), ConnectionGone
        )
        self.clock.pump([0] * 5)
        self.assertEqual((self.connection.sent, self.blobs), ([], []))
        self.assertTrue(self.connection.given_up and self.connection.left)

    def test_a_client_that_is_gone_is_not_read_for(self) -> None:
        self.connection.client_is_gone = True
        self.failureResultOf(
            self.bring_to_end(self.request(produce(1, batch(lfs(b"value"))))), ConnectionGone
        )
        self.assertEqual((self.connection.sent, self.connection.left), ([], True))

    def test_without_an_answer_a_gone_client_is_forwarded_for(self) -> None:
        self.connection.client_is_gone = self.connection.hung_up = True
        self.successResultOf(self.bring_to_end(self.request(produce(1, batch(lfs(b"value")), acks=0))))
        self.assertEqual((len(self.connection.sent), self.connection.answers), (1, []))
        self.assertEqual(self.blobs, [b"value"])
        self.assertEqual(self.metrics.of("orphan"), [("unknown_outcome",)])

    def test_without_an_answer_an_error_closes_the_connection(self) -> None:
        frame = produce(1, batch(lfs(b"value", mark=b"no checksum")), acks=0)
        self.successResultOf(self.bring_to_end(self.request(frame)))
        self.assertEqual((self.connection.sent, self.connection.answers), ([], []))
        self.assertEqual([error.kafka_code for error in self.connection.closed], [87])

    def test_what_was_given_up_before_the_first_byte_is_removed(self) -> None:
        self.connection.forward_fails = ConnectionGone()
        self.failureResultOf(
            self.bring_to_end(self.request(produce(1, batch(lfs(b"value"))))), ConnectionGone
        )
        self.clock.pump([0] * 5)
        self.assertEqual(self.blobs, [])

    def test_what_was_sent_and_not_answered_stays(self) -> None:
        self.successResultOf(self.bring_to_end(self.request(produce(1, batch(lfs(b"value"))))))
        self.connection.broker_goes()
        self.assertEqual((self.blobs, self.metrics.of("orphan")), ([b"value"], [("unknown_outcome",)]))

    def test_a_refusal_is_a_hole_for_the_producer_s_next_batch(self) -> None:
        bad = batch(lfs(b"x", mark=b"no checksum"), producer=7, epoch=0, sequence=10)
        self.successResultOf(self.bring_to_end(self.request(produce(1, bad))))
        self.assertEqual(self.codes, [87])
        self.connection.answers.clear()
        following = batch(record(b"plain"), producer=7, epoch=0, sequence=11)
        self.successResultOf(self.bring_to_end(self.request(produce(1, following))))
        self.assertEqual((self.codes, self.connection.sent), ([45], []))

    def test_a_broken_body_gives_back_its_memory(self) -> None:
        frame = bytearray(produce(1, batch(lfs(bytes(300 * KIB)))))
        frame[:4] = struct.pack(">i", len(frame) - 4 + 10)
        start = self.request(bytes(frame) + bytes(10))
        self.failureResultOf(self.bring_to_end(start))
        self.assertEqual((self.connection.left, self.connection.sent), (True, []))

    def test_who_waits_for_the_body_may_be_cancelled(self) -> None:
        leases = []
        while (lease := self.budget.try_acquire(64 * KIB)) is not None:
            leases.append(lease)
        over = self.bring_to_end(self.request(produce(1, batch(record(bytes(100 * KIB))))))
        self.assertEqual(self.budget.waiting, 1)
        over.cancel()
        self.failureResultOf(over, CancelledError)
        self.assertEqual(self.budget.waiting, 0)
        for each in leases:
            each.release()


class StreamedTests(ProduceTestCase):
    def test_each_batch_is_a_request_of_its_own_and_the_answer_is_one(self) -> None:
        value = bytes(300 * KIB)
        self.connection.broker = self.append
        frame = produce(1, batch(record(b"plain")), batch(lfs(value)), batch(lfs(b"x", mark=b"no checksum")))
        self.successResultOf(self.bring_to_end(self.request(frame), is_streamed=True))
        self.assertEqual((len(self.connection.sent), self.codes), (2, [0, 0, 87]))
        self.assertEqual(self.blobs, [value])

    def test_a_batch_that_was_sent_stays_when_the_rest_does_not_come(self) -> None:
        self.connection.body_fails = ConnectionGone()
        frame = produce(1, batch(lfs(b"sent")), batch(lfs(bytes(300 * KIB))))
        start = self.request(frame)
        self.connection.body = [b"".join(self.connection.body)[: -100 * KIB]]
        self.failureResultOf(self.bring_to_end(start, is_streamed=True), ConnectionGone)
        self.clock.pump([0] * 5)
        self.assertEqual((len(self.connection.sent), self.blobs), (1, [b"sent"]))
        self.connection.broker_says(says(0))
        self.assertEqual(self.connection.answers, [])
        self.assertEqual([each[2] for each in self.metrics.of("upload")], ["cancelled", "ok"])

    def append(self, frame: bytes) -> bytes:
        partition = len(self.connection.sent) - 1
        return ProduceResponse([PartitionAnswer(TOPIC, partition, 0, base_offset=7)]).encode(9, 1)[8:]

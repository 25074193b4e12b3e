"""One connection by itself: events out of bytes, and back-pressure both ways."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import FramingError
from lfsproxy.kafka.stream import READ_AHEAD, WRITE_SIZE, ConnectionGone, Event, FrameStream, shielded
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.frames import FrameBytes, FrameEnd, RequestFrames, RequestStart
from tests.relay.records import request
from tests.relay.rig import KIB
from tests.relay.wires import Wire


class Listener:
    """A peer that notes what comes."""

    def __init__(self) -> None:
        self.data = b""
        self.is_lost = False

    def connected(self, wire: Wire) -> None:
        return None

    def received(self, data: bytes) -> None:
        self.data += data

    def lost(self) -> None:
        self.is_lost = True


class StreamTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.peer = Listener()
        self.wire = Wire(self.peer, "::ffff:10.1.2.3")
        self.clock = Clock()
        self.stream = FrameStream(RequestFrames(), self.clock)
        self.wire.join(self.stream)

    def flow(self) -> None:
        self.clock.advance(0)
        while self.wire.deliver():
            self.clock.advance(0)

    def event(self) -> Deferred[Event]:
        return Deferred.fromCoroutine(self.stream.next_event())


class ReadTests(StreamTestCase):
    def test_events_come_as_bytes_do(self) -> None:
        event = self.event()
        frame = request(KafkaApi.FETCH, 12, 5, b"body")
        self.wire.arrive(frame[:-4])
        self.flow()
        start = self.successResultOf(event)
        assert isinstance(start, RequestStart)
        self.assertEqual((start.api_key, start.api_version, start.correlation_id), (1, 12, 5))
        event = self.event()
        self.assertNoResult(event)
        self.wire.arrive(b"body")
        self.flow()
        self.assertEqual(self.successResultOf(event), FrameBytes(b"body"))
        self.assertEqual(self.successResultOf(self.event()), FrameEnd())

    def test_while_nobody_asks_reading_stops_and_goes_on_when_all_is_taken(self) -> None:
        self.wire.arrive(request(KafkaApi.FETCH, 12, 5, bytes(1000 * KIB)))
        self.flow()
        self.assertTrue(self.wire.paused)
        self.assertLessEqual(self.stream.frames.buffered, READ_AHEAD + 64 * KIB)
        found: Event | None = None
        while not isinstance(found, FrameEnd):
            event = self.event()
            self.flow()
            found = self.successResultOf(event)
            self.assertLessEqual(self.stream.frames.buffered, READ_AHEAD + 64 * KIB)

    def test_what_came_before_the_end_is_still_given(self) -> None:
        self.wire.arrive(request(KafkaApi.FETCH, 12, 5))
        self.wire.hang_up()
        self.flow()
        self.assertIsInstance(self.successResultOf(self.event()), RequestStart)
        self.assertIsInstance(self.successResultOf(self.event()), FrameEnd)
        self.failureResultOf(self.event(), ConnectionGone)

    def test_the_end_is_told_to_whoever_waits(self) -> None:
        event = self.event()
        self.wire.hang_up()
        self.flow()
        self.failureResultOf(event, ConnectionGone)
        self.assertTrue(self.stream.closed)

    def test_broken_framing_is_raised_again_and_again(self) -> None:
        self.wire.arrive(b"\xff\xff\xff\xff")
        self.flow()
        for _ in range(2):
            self.failureResultOf(self.event(), FramingError)

    def test_a_wait_can_be_cancelled_and_begun_again(self) -> None:
        event = self.event()
        event.cancel()
        self.failureResultOf(event, CancelledError)
        event = self.event()
        self.wire.arrive(request(KafkaApi.FETCH, 12, 5))
        self.flow()
        self.assertIsInstance(self.successResultOf(event), RequestStart)


class WriteTests(StreamTestCase):
    def test_writing_waits_for_the_peer(self) -> None:
        self.wire.peer_reads = False
        data = bytes(range(256)) * 8 * KIB
        sending = Deferred.fromCoroutine(self.stream.send_all([data[:1000], memoryview(data)[1000:]]))
        self.assertNoResult(sending)
        self.assertLessEqual(self.wire.most_unread, 2 * WRITE_SIZE + 1000)
        self.wire.peer_reads = True
        self.flow()
        self.successResultOf(sending)
        self.assertEqual(self.peer.data, data)
        self.assertLessEqual(self.wire.most_unread, 2 * WRITE_SIZE + 1000)

    def test_a_closed_connection_takes_everything_and_waits_for_nothing(self) -> None:
        self.wire.peer_reads = False
        sending = Deferred.fromCoroutine(self.stream.send_all([bytes(2000 * KIB)]))
        self.wire.hang_up()
        self.flow()
        self.successResultOf(sending)
        self.successResultOf(Deferred.fromCoroutine(self.stream.drained()))
        self.stream.write(b"more")

    def test_closing_sends_what_was_written(self) -> None:
        self.wire.peer_reads = False
        self.stream.write(b"last words")
        over = Deferred.fromCoroutine(self.stream.over())
        self.stream.close()
        self.stream.close()
        self.flow()
        self.assertNoResult(over)
        self.wire.peer_reads = True
        self.flow()
        self.successResultOf(over)
        self.assertEqual((self.peer.data, self.peer.is_lost), (b"last words", True))

    def test_aborting_does_not_wait(self) -> None:
        self.wire.peer_reads = False
        self.stream.write(b"last words")
        self.stream.abort()
        self.flow()
        self.assertEqual((self.peer.data, self.peer.is_lost), (b"", True))
        self.successResultOf(Deferred.fromCoroutine(self.stream.over()))

    def test_nothing_that_is_written_after_an_abort_reaches_the_socket(self) -> None:
        written: list[bytes] = []
        self.patch(self.wire, "write", written.append)
        self.stream.write(b"half a frame")
        self.stream.abort()
        self.stream.write(b"another frame")
        self.assertEqual(written, [b"half a frame"])

    def test_several_may_wait_and_one_of_them_be_cancelled(self) -> None:
        self.wire.peer_reads = False
        self.stream.write(bytes(2 * WRITE_SIZE))
        waiting = [Deferred.fromCoroutine(self.stream.drained()) for _ in range(3)]
        waiting[0].addCallback(lambda _: waiting[2].cancel())
        waiting[1].cancel()
        self.failureResultOf(waiting[1], CancelledError)
        self.wire.peer_reads = True
        self.flow()
        self.successResultOf(waiting[0])
        self.failureResultOf(waiting[2], CancelledError)

    def test_many_may_wait_for_the_peer_and_for_the_end(self) -> None:
        self.wire.peer_reads = False
        self.stream.write(bytes(2 * WRITE_SIZE))
        order: list[int] = []

        async def wait(number: int) -> None:
            await self.stream.drained()
            order.append(number)
            await self.stream.over()

        waiting = [Deferred.fromCoroutine(wait(number)) for number in range(5000)]
        for each in waiting[1000:2000]:
            each.cancel()
            self.failureResultOf(each, CancelledError)
        self.wire.peer_reads = True
        self.wire.deliver()
        self.assertEqual(order, [])
        self.flow()
        self.assertEqual(order, [*range(1000), *range(2000, 5000)])
        self.wire.hang_up()
        self.flow()
        for each in waiting[:1000] + waiting[2000:]:
            self.successResultOf(each)

    def test_on_lost_is_called_once_the_reader_knows(self) -> None:
        known: list[bool] = []
        event = self.event()
        self.stream.on_lost = lambda: known.append(event.called)
        self.stream.connectionLost(Failure(ConnectionDone()))
        self.failureResultOf(event, ConnectionGone)
        self.assertEqual(known, [True])

    def test_addresses_are_written_as_people_do(self) -> None:
        self.assertEqual((self.stream.local_host, self.stream.peer), ("10.1.2.3", "127.0.0.1:40000"))


class ShieldTests(SynchronousTestCase):
    def test_cancelling_does_not_end_the_wait_and_is_told_afterwards(self) -> None:
        goes_on: Deferred[None] = Deferred()
        waiting = Deferred.fromCoroutine(shielded(goes_on))
        waiting.cancel()
        waiting.cancel()
        self.assertFalse(goes_on.called)
        self.assertNoResult(waiting)
        goes_on.callback(None)
        self.assertTrue(self.successResultOf(waiting))

    def test_it_tells_where_nobody_was_cancelled(self) -> None:
        goes_on: Deferred[None] = Deferred()
        waiting = Deferred.fromCoroutine(shielded(goes_on))
        goes_on.callback(None)
        self.assertFalse(self.successResultOf(waiting))

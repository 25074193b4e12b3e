"""What is written to a broker: whole requests, one after the other, and the proxy's own questions."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.kafka.stream import ConnectionGone, FrameStream
from lfsproxy.relay.forwarding import Forwarding
from lfsproxy.relay.order import Expected, Order
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.frames import RequestFrames, RequestStart, ResponseFrames
from tests.relay.records import request
from tests.relay.wires import Wire


class _Broker:
    """The broker's end: what it got."""

    def __init__(self) -> None:
        self.got = bytearray()

    def connected(self, wire: Wire) -> None:
        """It is a peer of a wire."""

    def received(self, data: bytes) -> None:
        self.got += data

    def lost(self) -> None:
        """It is a peer of a wire."""


class ForwardingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.order = Order()
        self.forwarding = Forwarding(self.clock, self.order)
        self.broker = _Broker()
        self.wire = Wire(self.broker)
        self.stream = FrameStream(ResponseFrames(), self.clock)
        self.wire.join(self.stream)
        self.forwarding.begin(self.stream)

    def flow(self) -> None:
        while self.wire.deliver() or self.clock.getDelayedCalls():
            self.clock.advance(0)

    def begin(self, steps: Coroutine[Any, Any, Any]) -> Deferred[Any]:
        return Deferred.fromCoroutine(steps)

    def answer(self, body: bytes) -> None:
        """The broker's next answer is taken, as ``Replies`` does."""
        expected = self.order.begun(0)
        assert expected.take is not None
        self.successResultOf(self.begin(expected.take(body)))  # type: ignore[arg-type]  # they are coroutines
        self.order.came()

    def send_slowly(self, data: bytes = bytes(300 * 1024)) -> Deferred[Any]:
        """A request that the broker does not take yet, so that nobody else may write."""
        self.wire.peer_reads = False
        return self.begin(self.forwarding.send(None, [data, data]))

    def read_on(self) -> None:
        self.wire.peer_reads = True
        self.flow()

    # Whole requests

    def test_a_request_is_written_to_its_end_before_the_next_one(self) -> None:
        first = self.send_slowly()
        begun: list[str] = []
        second = self.begin(self.forwarding.send(None, [b"second"], lambda: begun.append("second")))
        self.flow()
        self.assertEqual(begun, [])
        self.read_on()
        self.successResultOf(first)
        self.successResultOf(second)
        self.assertEqual((begun, self.broker.got), (["second"], bytes(600 * 1024) + b"second"))

    def test_one_that_waits_for_its_turn_can_be_cancelled_one_that_was_begun_goes_on(self) -> None:
        first = self.send_slowly()
        second = self.begin(self.forwarding.send(Expected(2, None), [b"second"]))
        third = self.begin(self.forwarding.send(Expected(3, None), [b"third"]))
        for each in (first, second):
            each.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertNoResult(first)
        self.read_on()
        self.successResultOf(first)
        self.successResultOf(third)
        self.assertEqual(bytes(self.broker.got), bytes(600 * 1024) + b"third")
        self.assertEqual(self.order.begun(3).correlation_id, 3)

    def test_after_a_stop_what_was_begun_goes_on_and_nothing_else_begins(self) -> None:
        first = self.send_slowly()
        second = self.begin(self.forwarding.send(Expected(2, None), [b"second"]))
        self.forwarding.stop()
        self.read_on()
        self.successResultOf(first)
        self.failureResultOf(second, ConnectionGone)
        self.assertEqual((len(self.broker.got), self.order.all_came), (600 * 1024, True))

    def test_without_a_broker_nothing_is_expected(self) -> None:
        self.stream.abort()
        self.flow()
        for forwarding in (self.forwarding, Forwarding(self.clock, self.order)):
            self.failureResultOf(self.begin(forwarding.send(Expected(1, None), [b"x"])), ConnectionGone)
        self.assertTrue(self.order.all_came)

    # Requests that are relayed

    def relay(self, frame: bytes) -> Deferred[Any]:
        """Relay what came of a client's frame; the client's connection stays in ``client``."""
        self.client = Wire(_Broker())
        stream = FrameStream(RequestFrames(), self.clock)
        self.client.join(stream)
        stream.dataReceived(frame)

        async def steps() -> None:
            start = await stream.next_event()
            assert isinstance(start, RequestStart)
            await self.forwarding.relay(Expected(1, self.order.new()), start, stream)

        return self.begin(steps())

    def test_a_request_passes_as_it_arrives(self) -> None:
        frame = request(KafkaApi.FETCH, 12, 1, b"fetch")
        relaying = self.relay(frame[:-2])
        self.flow()
        self.assertEqual(bytes(self.broker.got), frame[:-2])
        self.client.protocol.dataReceived(frame[-2:])
        self.flow()
        self.successResultOf(relaying)
        self.assertEqual(bytes(self.broker.got), frame)

    def test_nothing_is_written_behind_one_that_broke_off(self) -> None:
        frame = request(KafkaApi.FETCH, 12, 1, b"fetch")
        relaying = self.relay(frame[:-2])
        waiting = self.begin(self.forwarding.send(Expected(2, None), [b"second"]))
        relaying.cancel()
        self.flow()
        self.failureResultOf(relaying, CancelledError)
        self.failureResultOf(waiting, ConnectionGone)
        self.assertEqual(bytes(self.broker.got), frame[:-2])

    # Questions

    def test_a_question_gives_the_answer_s_body(self) -> None:
        asked = self.begin(self.forwarding.ask(b"question"))
        self.flow()
        self.assertEqual(bytes(self.broker.got), b"question")
        self.answer(b"answer")
        self.assertEqual(self.successResultOf(asked), b"answer")

    def test_who_is_cancelled_before_its_turn_asks_nothing(self) -> None:
        self.send_slowly()
        asked = self.begin(self.forwarding.ask(b"question"))
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.read_on()
        self.assertEqual((len(self.broker.got), self.order.all_came), (600 * 1024, True))

    def test_who_is_cancelled_while_the_question_is_written_waits_no_more(self) -> None:
        self.wire.peer_reads = False
        asked = self.begin(self.forwarding.ask(bytes(300 * 1024)))
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.read_on()
        self.assertEqual(len(self.broker.got), 300 * 1024)
        self.answer(b"nobody wants it")
        self.assertTrue(self.order.all_came)

    def test_an_answer_that_does_not_come_is_told(self) -> None:
        asked = self.begin(self.forwarding.ask(b"question"))
        for lost in self.order.lose():
            lost()
        self.failureResultOf(asked, ConnectionGone)
        self.forwarding.stop()
        self.failureResultOf(self.begin(self.forwarding.ask(b"question")), ConnectionGone)

    def test_a_question_decides_about_no_blob(self) -> None:
        asked = self.begin(self.forwarding.ask(b"question"))
        self.assertFalse(self.order.decides_more)
        self.answer(b"")
        self.successResultOf(asked)

    def test_several_questions_with_nothing_in_between(self) -> None:
        async def steps() -> list[bytes]:
            async with self.forwarding.alone() as ask:
                return [await ask(b"first"), await ask(b"second")]

        asking = self.begin(steps())
        other = self.begin(self.forwarding.send(None, [b"other"]))
        for body in (b"1", b"2"):
            self.flow()
            self.assertNoResult(other)
            self.answer(body)
        self.assertEqual(self.successResultOf(asking), [b"1", b"2"])
        self.flow()
        self.successResultOf(other)
        self.assertEqual(bytes(self.broker.got), b"firstsecondother")

    def test_one_of_them_that_is_given_up_lets_others_write(self) -> None:
        async def steps() -> None:
            async with self.forwarding.alone() as ask:
                await ask(b"first")

        asking = self.begin(steps())
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.successResultOf(self.begin(self.forwarding.send(None, [b"other"])))
        self.flow()
        self.assertEqual(bytes(self.broker.got), b"firstother")

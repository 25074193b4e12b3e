"""Reads one client's requests, in its order, and has each go the way that ``lfsproxy.wire.routing`` says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred

from lfsproxy.errors import FramingError, LfsError
from lfsproxy.relay.answering import Answering
from lfsproxy.relay.client import KafkaClient
from lfsproxy.relay.context import RelayContext
from lfsproxy.relay.fetching import Fetching
from lfsproxy.relay.forwarding import Forwarding
from lfsproxy.relay.line import Line, Place
from lfsproxy.relay.order import Answer
from lfsproxy.relay.producing import Producing
from lfsproxy.relay.replies import Replies
from lfsproxy.relay.turns import Turns
from lfsproxy.relay.works import Works
from lfsproxy.wakeups import Condition
from lfsproxy.wire import versions
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.frames import FrameBytes, FrameEnd, RequestStart
from lfsproxy.wire.routing import Look, Route, Way, name_of, route

MOST_WAITING: Final = 16
"""Requests of a connection that wait for their turn. More than that are not read: each that is not Produce is
held meanwhile, up to WAITING_BODY bytes of it."""
WAITING_BODY: Final = 64 * 1024
"""Bytes up to which a request that waits for its turn is held, so that the reading goes on behind it."""
REQUESTS_AT_ONCE: Final = 32
"""Requests that are read in one turn of the reactor: what was read ahead may be thousands."""


class Requests:
    """The reading of one client's requests, from ``begin`` until it ends by itself or by one of the stops.

    ``any_began``: whether the client has asked for anything. ``awaits_answer``: whether the request that is
    being read has an answer, as far as is known; between two, whether the last one had. ``is_between``:
    whether no request is being read.
    """

    def __init__(
        self,
        context: RelayContext,
        client: KafkaClient,
        replies: Replies,
        forwarding: Forwarding,
        works: Works,
        answering: Answering,
        producing: Producing,
        fetching: Fetching,
    ) -> None:
        self.any_began = False
        self.awaits_answer = True
        self._context = context
        self._client = client
        self._stream = client.stream
        self._replies = replies
        self._forwarding = forwarding
        self._works = works
        self._answering = answering
        self._producing = producing
        self._fetching = fetching
        self._line = Line(context.reactor)
        self.is_between = False
        self._held_at: int | None = None
        self._let_on = Condition(context.reactor)
        self._reading: Deferred[None] | None = None
        self._goes_on: Callable[[], bool] = lambda: False

    def begin(self, goes_on: Callable[[], bool]) -> Deferred[None]:
        """Read requests for as long as ``goes_on`` says before each. Fires when the reading has ended."""
        self._goes_on = goes_on
        self._stream.take_at_once = self._take_at_once
        self._reading = Deferred.fromCoroutine(self._client.guarded(self._read(goes_on)))
        return self._reading

    def stop(self) -> None:
        """End the reading, wherever it is."""
        if self._reading is not None:
            self._reading.cancel()

    def stop_between(self) -> None:
        """End the reading if it waits for a request to begin."""
        if self.is_between:
            self.stop()

    def hold(self) -> None:
        """Read what has arrived until now, and at most one request more, until ``let_on``."""
        self._held_at = self._stream.received

    def let_on(self) -> None:
        """Read on after ``hold``."""
        self._held_at = None
        self._let_on.wake()

    @property
    def _is_held(self) -> bool:
        taken = self._stream.received - self._stream.frames.buffered
        return self._held_at is not None and taken >= self._held_at

    def stop_for_client(self) -> None:
        """End the reading, unless what is read goes on without its client."""
        if self.awaits_answer:
            self.stop()

    async def _read(self, goes_on: Callable[[], bool]) -> None:
        turns = Turns(self._context.reactor, REQUESTS_AT_ONCE)
        while goes_on():
            self.is_between = True
            while self._is_held:
                await self._let_on.wait()
            event = await self._stream.next_event()
            self.is_between = False
            self.any_began = True
            if not isinstance(event, RequestStart):
                raise FramingError(f"a frame begins with {event!r:.80}")
            self._client.is_called(event.client_id)
            await self._take(event)
            await turns.step()

    def _take_at_once(self) -> bool:
        """Take what the client has asked as far as nothing waits; whether that is all that came."""
        frames = self._stream.frames
        for _ in range(REQUESTS_AT_ONCE):
            if not self.is_between or self._held_at is not None or not self._goes_on():
                return False
            start = None
            try:
                start = frames.next_event()
                if start is None:
                    return True
                assert isinstance(start, RequestStart), "a frame was taken to its end"
                is_passed = self._pass_small(start)
            except LfsError:
                is_passed = False  # It is raised again for the reader.
            if not is_passed:
                if start is not None:
                    frames.put_back(start)
                return False
        return False

    def _pass_small(self, start: RequestStart) -> bool:
        """Pass a small request on. False where it has to be taken the usual way; then nothing is done."""
        if start.api_key != KafkaApi.PRODUCE or not self._stream.is_drained or self._replies.order.is_full:
            return False
        if self._route(start).way is not Way.PRODUCED or not self._producing.pass_small(start, self._line):
            return False
        self.any_began = self.awaits_answer = True
        self._client.is_called(start.client_id)
        return True

    def _route(self, start: RequestStart) -> Route:
        sign_in = self._answering.sign_in
        return route(
            start,
            None if sign_in is None else sign_in.done,
            self._context.hidden_apis,
            self._fetching.gets_blobs(start),
        )

    async def _take(self, start: RequestStart) -> None:
        if self._pass_small(start):
            return
        if start.api_key != KafkaApi.PRODUCE:
            self._context.metrics.kafka_request(name_of(start.api_key), None)
        await self._line.shorter_than(MOST_WAITING)
        # A client that does not take its answers gets no more of them.
        await self._stream.drained()
        await self._replies.room()
        found = self._route(start)
        match found.way:
            case Way.RELAYED:
                await self._relay(start, found.look)
            case Way.PRODUCED:
                await self._producing.receive(start, self._line, self._expect)
            case Way.COLLECTED:
                await self._relay_collected(start, found.look)
            case Way.FETCHED:
                await self._fetch(start)
            case Way.SKIPPED:
                await self._skip(start)

    def _expect(self, awaits_answer: bool) -> None:
        self.awaits_answer = awaits_answer

    async def _skip(self, start: RequestStart) -> None:
        """Answer a request that the broker does not get, when everything before it was forwarded."""
        while not isinstance(await self._stream.next_event(), FrameEnd):
            pass
        own = versions.unsupported_version_answer(start.correlation_id)
        await self._answer(self._replies.order.new(), self._line.join(), own)

    async def _answer(self, answer: Answer, place: Place, data: bytes) -> None:
        """Answer what the broker does not get, when everything before it was forwarded."""
        await place.turn()
        self._replies.complete(answer, data)
        place.leave()

    async def _fetch(self, start: RequestStart) -> None:
        answer = self._replies.order.new()
        place = self._line.join()
        chosen = await self._fetching.choose(start, answer, self._collect)
        if isinstance(chosen, bytes):
            await self._answer(answer, place, chosen)
        elif place.is_first or start.size > WAITING_BODY:
            await self._forwarding.send_in_turn(place, chosen.expected, chosen.pieces)
        else:
            self._works.spawn(self._forwarding.send_in_turn(place, chosen.expected, chosen.pieces))

    async def _relay(self, start: RequestStart, look: Look) -> None:
        expected = self._answering.expected(start, look, self._replies.order.new())
        place = self._line.join()
        if not place.is_first and start.size <= WAITING_BODY:
            body = await self._collect()
            self._works.spawn(self._forwarding.send_in_turn(place, expected, [start.head, body]))
            return
        await place.turn()
        try:
            await self._forwarding.relay(expected, start, self._stream)
        finally:
            place.leave()

    async def _relay_collected(self, start: RequestStart, look: Look) -> None:
        answer = self._replies.order.new()
        place = self._line.join()
        body = await self._collect()
        expected = self._answering.expected_of(start, look, answer, body)
        await self._forwarding.send_in_turn(place, expected, [start.head, body])

    async def _collect(self, received: Callable[[int], None] = lambda size: None) -> bytes:
        """A request's body. ``received`` is told how many bytes have come."""
        chunks = []
        while isinstance(event := await self._stream.next_event(), FrameBytes):
            chunks.append(bytes(event.data))
            received(len(event.data))
        return b"".join(chunks)

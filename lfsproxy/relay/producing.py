"""Joins Produce requests to their session: what ``relay.produce`` needs, made of the session's parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from lfsproxy.errors import LfsError, Stalled
from lfsproxy.kafka.stream import LARGE_READ_SIZE, READ_SIZE, FrameStream
from lfsproxy.log.uploads import SENDER, Sender
from lfsproxy.relay.brokers import Advertised
from lfsproxy.relay.client import KafkaClient
from lfsproxy.relay.context import RelayContext
from lfsproxy.relay.forwarding import Forwarding
from lfsproxy.relay.keepalive import KeepAlive
from lfsproxy.relay.line import Line, Place
from lfsproxy.relay.order import Answer, Expected
from lfsproxy.relay.produce.connection import Settle
from lfsproxy.relay.produce.entries import Entries
from lfsproxy.relay.produce.frame import SMALL_FRAME, HeldFrame
from lfsproxy.relay.produce.held import HeldProduce
from lfsproxy.relay.produce.hints import OffsetHints
from lfsproxy.relay.produce.holes import Holes
from lfsproxy.relay.produce.streamed import StreamedProduce
from lfsproxy.relay.produce.topics import Topics
from lfsproxy.relay.produce.work import ProduceWork
from lfsproxy.relay.questions import Questions
from lfsproxy.relay.replies import Replies
from lfsproxy.relay.scanning import Share
from lfsproxy.relay.works import Works
from lfsproxy.wire.answers import NodeEndpoint, ProduceResponse
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.frames import FrameBytes, RequestStart, response_frame
from lfsproxy.wire.inflate import SmallBatches
from lfsproxy.wire.pieces import Pieces
from lfsproxy.wire.plain import Body, plain_answer_size


@attrs.frozen(eq=False)
class Producing:
    """What all Produce requests of a connection have in common."""

    context: RelayContext
    client: KafkaClient
    replies: Replies
    forwarding: Forwarding
    works: Works
    questions: Questions
    advertised: Advertised
    keep_alive: KeepAlive
    holes: Holes = attrs.field(init=False, factory=Holes)
    hints: OffsetHints = attrs.field(init=False)
    topics: Topics = attrs.field(init=False)
    share: Share = attrs.field(init=False, factory=Share)
    entries: Entries = attrs.field(init=False)
    _unfinished: set[ProduceWork] = attrs.field(init=False, factory=set)
    """What has been received and may still be refused."""
    _looked_at_from: int = attrs.field(init=False)
    """Bytes of the smallest batch that is either offloaded by its size, or too large to be sent."""

    @hints.default
    def _ask_for_offsets(self) -> OffsetHints:
        return OffsetHints(self.questions.offset)

    @entries.default
    def _count_entries(self) -> Entries:
        return Entries(self.context.produce.budget)

    @topics.default
    def _ask_for_topics(self) -> Topics:
        return Topics(self.questions.topic)

    @_looked_at_from.default
    def _offloaded_or_too_large(self) -> int:
        settings = self.context.settings
        too_large = settings.max_passthrough_size + 1
        return min(settings.offload_threshold or too_large, too_large)

    def pass_small(self, start: RequestStart, line: Line) -> bool:
        """Send on a small request that is here whole and has nothing to look into, where nobody is before it.

        That is most of them, and nothing waits. False where it has to be received.
        """
        if start.size > SMALL_FRAME or not line.is_free or self.holes:
            return False
        if not self.forwarding.takes_at_once:
            return False
        frames = self.client.stream.frames
        body = frames.whole_body()
        size = body and self._plain_size(start, body)
        if not body or not size:
            return False
        frames.skip_body()
        self.forwarding.send_small(self._expected(start, size), [start.head, body])
        self.context.metrics.kafka_request("Produce", 0.0)
        return True

    def _pass(self, start: RequestStart, line: Line, frame: HeldFrame) -> bool:
        """The same with one that was received. Others may be before it, but none that may be refused."""
        if self.client.stream.closed or self.holes or self._unfinished:
            return False
        size = self._plain_size(start, Pieces(frame.pieces))
        if not size:
            return False
        expected, pieces = self._expected(start, size), [start.head, *frame.pieces]
        if line.is_free and self.forwarding.takes_at_once:
            sending = self.forwarding.send_at_once(expected, pieces)
            if sending is None:
                frame.let_go()
            else:
                sending.addBoth(lambda _: frame.let_go())
        else:
            self.works.spawn(self._pass_in_turn(line.join(), expected, pieces, frame))
        self.context.metrics.kafka_request("Produce", 0.0)
        return True

    async def _pass_in_turn(
        self, place: Place, expected: Expected, pieces: Sequence[Piece], frame: HeldFrame
    ) -> None:
        try:
            await self.forwarding.send_in_turn(place, expected, pieces)
        finally:
            frame.let_go()

    def _plain_size(self, start: RequestStart, body: Body) -> int | None:
        small = SmallBatches(self.context.produce.inflater)
        return plain_answer_size(start.api_version, body, self._looked_at_from, small, self.hints.topics)

    def _expected(self, start: RequestStart, size: int) -> Expected:
        """The answer to one that passes, a plain one has ``size`` bytes."""
        version, correlation_id = start.api_version, start.correlation_id

        def plain(body: bytes) -> bytes | None:
            return response_frame(correlation_id, body) if len(body) == size else None

        async def take(body: bytes) -> bytes:
            if (passed := plain(body)) is not None:
                return passed
            # Brokers may be named in it.
            answer = ProduceResponse.decode(version, body).advertised(self.advertise)
            return answer.encode(version, correlation_id)

        return Expected(correlation_id, self.replies.order.new(), take, decides=True, at_once=plain)

    def advertise(self, endpoints: Sequence[NodeEndpoint]) -> Sequence[NodeEndpoint]:
        """Brokers that an answer names, at the addresses at which the client reaches them."""
        self.advertised.follow({end.node_id: (end.host, end.port) for end in endpoints})
        moved = []
        for end in endpoints:
            host, port = self.advertised.replace(end.node_id, end.host, end.port)
            moved.append(attrs.evolve(end, host=host, port=port))
        return moved

    async def receive(self, start: RequestStart, line: Line, expects: Callable[[bool], None]) -> None:
        """Read a request that has begun, and let it go its way. ``expects`` is told whether it has an answer.

        Raises what ends the session.
        """
        shared = self.context.produce
        await self.entries.room()
        SENDER.set(Sender(self.client.id or "", self.client.stream.peer))
        self.keep_alive.begin()
        body = RequestBody(self.client.stream, start)
        if body.left > shared.hold_limit:
            connection = ProduceConnection(self, start, body, line.join(), self.replies.order.new(), expects)
            work: ProduceWork = StreamedProduce(shared, connection, start)
        else:
            frame = HeldFrame(shared.budget, body.left)
            await frame.receive(body.next_piece, self._evict)
            if self._pass(start, line, frame):
                expects(True)
                self.keep_alive.end()
                return
            connection = ProduceConnection(self, start, body, line.join(), self.replies.order.new(), expects)
            work = HeldProduce(shared, connection, start, frame)
        await work.receive()
        self._unfinished.add(work)
        self.works.spawn(self._bring_to_end(work), is_for_client=work.awaits_answer)

    def _evict(self) -> None:
        self.client.close(Stalled("it sent too little while others waited for upload memory"))

    async def _bring_to_end(self, work: ProduceWork) -> None:
        try:
            await work.run()
        finally:
            self._unfinished.discard(work)
            self.keep_alive.end()


class RequestBody:
    """The body of the request that is being read. ``left`` is how many bytes of it have not come."""

    def __init__(self, stream: FrameStream, start: RequestStart) -> None:
        self.left = start.size + 4 - len(start.head)
        self._stream = stream

    async def next_piece(self) -> Piece | None:
        """The next bytes, None at the end. Whoever asks has memory for all of them.

        So what is left of a large one comes in large reads, and nothing of the next request with it.
        """
        self._stream.read_size(min(max(self.left, READ_SIZE), LARGE_READ_SIZE))
        event = await self._stream.next_event()
        if not isinstance(event, FrameBytes):
            return None
        self.left -= len(event.data)
        return event.data


class ProduceConnection:
    """One Produce request's side of its session: a ``lfsproxy.relay.produce.connection.Connection``."""

    def __init__(
        self,
        common: Producing,
        start: RequestStart,
        body: RequestBody,
        place: Place,
        answer: Answer,
        expects: Callable[[bool], None],
    ) -> None:
        self.client_name = common.client.name
        self.peer = common.client.stream.peer
        self.holes = common.holes
        self.hints = common.hints
        self.topics = common.topics
        self.share = common.share
        self.entries = common.entries
        self.next_piece = body.next_piece
        self.client_hung_up = common.client.stream.peer_hung_up
        self.turn = place.turn
        self.give_up = place.give_up
        self.advertise = common.advertise
        self.leave = place.leave
        self._common = common
        self._correlation_id = start.correlation_id
        self._answer = answer
        self._expects = expects
        self._has_answer = True

    @property
    def client_is_gone(self) -> bool:
        """Whether the client's connection is closed."""
        return self._common.client.stream.closed

    def expect_answer(self, is_expected: bool) -> None:
        """The request says whether it has an answer."""
        self._has_answer = is_expected
        self._expects(is_expected)
        if not is_expected:
            self.answer(b"")

    def answer(self, data: bytes) -> None:
        """The client's answer."""
        self._common.replies.complete(self._answer, data)

    def close(self, error: LfsError) -> None:
        """Close the client's connection."""
        self._common.client.close(error)

    async def forward(
        self, pieces: Sequence[Piece], begun: Callable[[], None], settle: Settle, lost: Callable[[], None]
    ) -> None:
        """Write a whole request to the broker."""

        async def take(body: bytes) -> bytes | None:
            return settle(body)

        expected = None
        if self._has_answer:
            expected = Expected(self._correlation_id, self._answer, take, lost=lost, decides=True)
        await self._common.forwarding.send(expected, pieces, begun)

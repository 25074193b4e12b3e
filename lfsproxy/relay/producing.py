"""Joins Produce requests to their session: what ``relay.produce`` needs, made of the session's parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import attrs

from lfsproxy.errors import LfsError
from lfsproxy.kafka.stream import LARGE_READ_SIZE, READ_SIZE
from lfsproxy.relay.brokers import Advertised
from lfsproxy.relay.client import KafkaClient
from lfsproxy.relay.context import RelayContext
from lfsproxy.relay.forwarding import Forwarding
from lfsproxy.relay.keepalive import KeepAlive
from lfsproxy.relay.line import Place
from lfsproxy.relay.order import Answer, Expected, Take
from lfsproxy.relay.produce.connection import Settle
from lfsproxy.relay.produce.entries import Entries
from lfsproxy.relay.produce.held import SMALL_FRAME, HeldProduce
from lfsproxy.relay.produce.hints import OffsetHints
from lfsproxy.relay.produce.holes import Holes
from lfsproxy.relay.produce.streamed import StreamedProduce
from lfsproxy.relay.produce.topics import Topics
from lfsproxy.relay.produce.work import ProduceWork
from lfsproxy.relay.questions import Questions
from lfsproxy.relay.replies import Replies
from lfsproxy.relay.scanning import Share
from lfsproxy.relay.works import Works
from lfsproxy.uploadlog import SENDER, Sender
from lfsproxy.wire.answers import NodeEndpoint, ProduceResponse
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.frames import FrameBytes, RequestStart, response_frame
from lfsproxy.wire.plain import plain_answer_size

LARGE_REQUEST: Final = 8 * 1024 * 1024
"""Bytes of a request that is received in large reads, once it has its lease."""


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

    def pass_plain(self, start: RequestStart) -> bool:
        """Send on a small request that is here whole and has nothing to look into, where nobody is before it.

        That is most of them, and nothing waits. False where it has to be received the usual way.
        """
        if start.size > SMALL_FRAME or self.holes or self.hints or not self.forwarding.takes_at_once:
            return False
        frames = self.client.stream.frames
        body = frames.whole_body()
        shared = self.context.produce
        size = body and plain_answer_size(start.api_version, body, self._looked_at_from)
        if not body or not size:
            return False
        frames.skip_body()
        expected = Expected(
            start.correlation_id,
            self.replies.order.new(),
            self._plainly(start.api_version, start.correlation_id, size),
            decides=True,
        )
        self.forwarding.send_at_once(expected, [start.head, body])
        shared.metrics.kafka_request("Produce", 0.0)
        return True

    def _plainly(self, version: int, correlation_id: int, size: int) -> Take:
        """Passes an answer on as it is, unless brokers may be named in it."""

        async def take(body: bytes) -> bytes:
            if len(body) == size:
                return response_frame(correlation_id, body)
            answer = ProduceResponse.decode(version, body).advertised(self.advertise)
            return answer.encode(version, correlation_id)

        return take

    def advertise(self, endpoints: Sequence[NodeEndpoint]) -> Sequence[NodeEndpoint]:
        """Brokers that an answer names, at the addresses at which the client reaches them."""
        self.advertised.follow({end.node_id: (end.host, end.port) for end in endpoints})
        moved = []
        for end in endpoints:
            host, port = self.advertised.replace(end.node_id, end.host, end.port)
            moved.append(attrs.evolve(end, host=host, port=port))
        return moved

    async def receive(self, start: RequestStart, place: Place, expects: Callable[[bool], None]) -> None:
        """Read a request that has begun, and let it go its way. ``expects`` is told whether it has an answer.

        Raises what ends the session.
        """
        shared = self.context.produce
        await self.entries.room()
        SENDER.set(Sender(self.client.id or "", self.client.stream.peer))
        size = start.size + 4 - len(start.head)
        kind = HeldProduce if size <= shared.hold_limit else StreamedProduce
        connection = ProduceConnection(self, start, place, self.replies.order.new(), expects)
        work = kind(shared, connection, start)
        self.keep_alive.begin()
        await work.receive()
        self.client.stream.read_size(READ_SIZE)
        self.works.spawn(self._bring_to_end(work), is_for_client=work.awaits_answer)

    async def _bring_to_end(self, work: ProduceWork) -> None:
        try:
            await work.run()
        finally:
            self.keep_alive.end()


class ProduceConnection:
    """One Produce request's side of its session: a ``lfsproxy.relay.produce.connection.Connection``."""

    def __init__(
        self,
        common: Producing,
        start: RequestStart,
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
        self._is_large = start.size >= LARGE_REQUEST
        self._is_begun = False

    async def next_piece(self) -> Piece | None:
        """The next bytes of the request's body, None at its end."""
        stream = self._common.client.stream
        if self._is_large and not self._is_begun:
            self._is_begun = True
            stream.read_size(LARGE_READ_SIZE)
        event = await stream.next_event()
        return event.data if isinstance(event, FrameBytes) else None

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

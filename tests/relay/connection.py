"""A connection of a Produce request's by itself, without a session, a broker or a door."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred

from lfsproxy.errors import LfsError
from lfsproxy.relay.produce.connection import Settle
from lfsproxy.relay.produce.entries import Entries
from lfsproxy.relay.produce.hints import OffsetHints
from lfsproxy.relay.produce.holes import Holes
from lfsproxy.relay.produce.topics import Topics
from lfsproxy.relay.scanning import Share
from lfsproxy.wire.answers import NodeEndpoint
from lfsproxy.wire.chunks import Piece


class FakeConnection:
    """Has the turn unless ``waits`` is set; notes in ``sent`` what is forwarded, and in ``answers`` what the
    client is told. ``broker`` answers a request, as soon as it is written, by what follows the correlation
    id; without one, answers wait in ``owed``."""

    client_name = "a-client"
    peer = "10.0.0.9:40000"

    def __init__(self, entries: Entries) -> None:
        self.entries = entries
        self.holes = Holes()
        self.hints = OffsetHints(lambda *_: None)
        self.topics = Topics(lambda _: None)
        self.share = Share()
        self.body: list[bytes] = []
        self.body_fails: Exception | None = None
        self.client_is_gone = False
        self.hung_up = False
        self.waits: Deferred[None] | None = None
        self.has_answer = True
        self.sent: list[bytes] = []
        self.owed: list[tuple[Settle, Callable[[], None]]] = []
        self.answers: list[bytes] = []
        self.closed: list[LfsError] = []
        self.left = False
        self.given_up = False
        self.broker: Callable[[bytes], bytes] | None = None
        self.forward_fails: Exception | None = None

    async def next_piece(self) -> Piece | None:
        if not self.body and self.body_fails is not None:
            raise self.body_fails
        return self.body.pop(0) if self.body else None

    def client_hung_up(self) -> bool:
        return self.hung_up

    def expect_answer(self, is_expected: bool) -> None:
        self.has_answer = is_expected

    def answer(self, data: bytes) -> None:
        self.answers.append(data)

    def close(self, error: LfsError) -> None:
        self.closed.append(error)

    async def turn(self) -> None:
        if self.waits is not None:
            await self.waits

    def give_up(self) -> None:
        self.given_up = True

    def leave(self) -> None:
        self.left = True

    async def forward(
        self, pieces: Sequence[Piece], begun: Callable[[], None], settle: Settle, lost: Callable[[], None]
    ) -> None:
        if self.forward_fails is not None:
            raise self.forward_fails
        begun()
        self.sent.append(b"".join(pieces))
        if not self.has_answer:
            return
        self.owed.append((settle, lost))
        if self.broker is not None:
            self.broker_says(self.broker(self.sent[-1]))

    def broker_says(self, body: bytes) -> None:
        """The broker answers the first request that it owes an answer."""
        settle, _ = self.owed.pop(0)
        answer = settle(body)
        if answer is not None:
            self.answer(answer)

    def broker_goes(self) -> None:
        """No answers come any more."""
        owed, self.owed = self.owed, []
        for _, lost in owed:
            lost()

    def advertise(self, endpoints: Sequence[NodeEndpoint]) -> Sequence[NodeEndpoint]:
        return endpoints

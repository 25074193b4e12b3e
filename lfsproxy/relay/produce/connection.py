"""What a Produce request needs of the connection that it came on, and nothing else.

The relay implements it by its class ``ProduceConnection``, one object for each request. This package knows
only the protocol, so that a request can be followed, and tested, without a session.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from lfsproxy.errors import LfsError
from lfsproxy.relay.produce.entries import Entries
from lfsproxy.relay.produce.hints import OffsetHints
from lfsproxy.relay.produce.holes import Holes
from lfsproxy.relay.produce.topics import Topics
from lfsproxy.relay.scanning import Share
from lfsproxy.wire.answers import NodeEndpoint
from lfsproxy.wire.chunks import Piece

Settle = Callable[[bytes], bytes | None]
"""Takes the broker's answer, from behind its correlation id on. Returns the client's answer, None while more
answers of the broker belong to it."""


class Connection(Protocol):
    """One Produce request's view of its client, of the line of requests, and of the broker.

    ``client_name`` is the client's id, for the log; ``peer`` is its address. ``holes``, ``hints``,
    ``topics``, ``share`` and ``entries`` belong to the connection: all its requests have the same ones.
    """

    @property
    def client_name(self) -> str: ...

    @property
    def peer(self) -> str: ...

    @property
    def holes(self) -> Holes: ...

    @property
    def hints(self) -> OffsetHints: ...

    @property
    def topics(self) -> Topics: ...

    @property
    def share(self) -> Share: ...

    @property
    def entries(self) -> Entries: ...

    # The client

    async def next_piece(self) -> Piece | None:
        """The next bytes of the request's body, None at its end. Raises ConnectionGone or FramingError."""
        ...

    @property
    def client_is_gone(self) -> bool:
        """Whether the client's connection is closed."""
        ...

    def client_hung_up(self) -> bool:
        """The same, where the socket is paused and has to be asked."""
        ...

    def expect_answer(self, is_expected: bool) -> None:
        """The request says whether it has an answer. One without (acks=0) is forwarded although the client
        has gone; its ``answer`` is empty."""
        ...

    def answer(self, data: bytes) -> None:
        """The client's answer, a whole frame. It leaves when all earlier ones have left."""
        ...

    def close(self, error: LfsError) -> None:
        """Close the client's connection because of an error, which is logged and counted."""
        ...

    # The line of requests

    async def turn(self) -> None:
        """Wait until every earlier request has left the line. Several steps of the request may wait.

        Raises CancelledError where this request has left, or an earlier one was given up.
        """
        ...

    def give_up(self) -> None:
        """The request is not forwarded, and nothing behind it either, which could be taken for it."""
        ...

    def leave(self) -> None:
        """Let the next request through. May be called more than once."""
        ...

    # The broker

    async def forward(
        self, pieces: Sequence[Piece], begun: Callable[[], None], settle: Settle, lost: Callable[[], None]
    ) -> None:
        """Write a whole request to the broker; ``begun`` is called just before the first byte is written.

        ``settle`` takes the answer, ``lost`` is called where it does not come; neither is called for a
        request without an answer. Raises ConnectionGone, or is cancelled, only before the first byte is
        written. After that it goes on for as long as the broker's connection does.
        """
        ...

    def advertise(self, endpoints: Sequence[NodeEndpoint]) -> Sequence[NodeEndpoint]:
        """Brokers that an answer names, at the addresses at which the client reaches them."""
        ...

"""Joins Fetch requests to their session: what ``relay.fetch`` needs, made of the session's parts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import attrs

from lfsproxy.budget import Lease
from lfsproxy.errors import Stalled
from lfsproxy.logs import Logger
from lfsproxy.relay.client import KafkaClient
from lfsproxy.relay.context import RelayContext
from lfsproxy.relay.fetch.answer import Consumer, HydratedAnswer
from lfsproxy.relay.fetch.asked import Asked, Choice, Sessions, ask_anew, lowered
from lfsproxy.relay.order import Answer, Expected
from lfsproxy.relay.questions import Questions
from lfsproxy.relay.scanning import Share
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.fetch import FIRST_WITH_IDS, FetchRequest, TopicRef, parse_fetch_request
from lfsproxy.wire.frames import RequestStart
from lfsproxy.wire.primitives import INT32

SMALL_REQUEST: Final = 64 * 1024
"""Bytes of a request that is read without a lease: about two thousand partitions."""
PARSED: Final = 16
"""What a request takes while it is read and written anew, in times of its bytes."""

_log = Logger()

Collect = Callable[[Callable[[int], None]], Awaitable[bytes]]
"""Gives a request's body, and tells meanwhile how many bytes have come."""


@attrs.frozen(eq=False)
class Forwarded:
    """A request that goes to the broker in ``pieces``."""

    expected: Expected
    pieces: Sequence[Piece]


class Fetching:
    """The Fetch requests of one connection."""

    def __init__(
        self, context: RelayContext, client: KafkaClient, share: Share, questions: Questions
    ) -> None:
        self._shared = context.fetch
        self._client = client
        self._questions = questions
        self._share = share
        self._sessions = Sessions()
        self._decided: tuple[str | None, bool] = (None, self._shared.is_on_for(""))

    def gets_blobs(self, start: RequestStart) -> bool:
        """Whether it is a Fetch request of a client that gets blobs, by the id it gives itself there."""
        if start.api_key != KafkaApi.FETCH:
            return False
        client_id, is_on = self._decided
        if client_id != start.client_id:
            is_on = self._shared.is_on_for(start.client_id or "")
            self._decided = start.client_id, is_on
            if not is_on and self._shared.settings.hydrate_topics:
                _log.debug(
                    "Kafka client {client_id} ({peer}) gets envelopes, by LFS_HYDRATE_CLIENT_IDS",
                    client_id=self._client.name,
                    peer=self._client.stream.peer,
                )
        return is_on

    async def choose(self, start: RequestStart, answer: Answer, collect: Collect) -> Forwarded | bytes:
        """What goes to the broker for a request whose body ``collect`` gives, or the proxy's own answer.

        Raises what ends the session.
        """
        lease: Lease | None = None
        if start.size > SMALL_REQUEST:
            size = min(PARSED * start.size, self._shared.budget.largest)
            lease = await self._shared.budget.acquire(size)
            lease.evicted = lambda: self._client.close(
                Stalled("it sent too little of a Fetch request while others waited")
            )
        try:
            return await self._choose(start, answer, await _collected(collect, lease))
        finally:
            if lease is not None:
                lease.release()

    async def _choose(self, start: RequestStart, answer: Answer, body: bytes) -> Forwarded | bytes:
        version = start.api_version
        request = parse_fetch_request(version, body)
        told = await self._names(version, request)
        names = {topic: name for topic, name in told.items() if name and self._shared.chooses(name)}
        self._shared.matched.look(self._client.name, told.values(), bool(names))
        match self._sessions.choose(request, names.get, all(told.values())):
            case Choice.ASKED_ANEW:
                return ask_anew(version, start.correlation_id)
            case Choice.PASSES:
                return Forwarded(Expected(start.correlation_id, answer), [start.head, body])
        asked = Asked(version, body, names)
        stream = self._client.stream
        consumer = Consumer(
            self._client.name, stream.peer, self._client.close, self._share, lambda: stream.left
        )
        expected = Expected(
            start.correlation_id,
            answer,
            passes=HydratedAnswer(self._shared, asked, consumer).passes,
            kept=len(body),
        )
        new_body = lowered(request, self._shared.settings.max_passthrough_size).to_bytes(version)
        size = INT32.pack(start.size + len(new_body) - len(body))
        return Forwarded(expected, [size, start.head[INT32.size :], new_body])

    async def _names(self, version: int, request: FetchRequest) -> Mapping[TopicRef, str | None]:
        """The names of the topics, by how the request names them; None where the broker does not tell it."""
        topics = [topic.topic for topic in request.topics]
        if version < FIRST_WITH_IDS:
            return {topic: topic for topic in topics if isinstance(topic, str)}
        ids = [topic for topic in topics if isinstance(topic, bytes)]
        return dict((await self._shared.names.of(ids, self._questions.names)).items())


async def _collected(collect: Collect, lease: Lease | None) -> bytes:
    """A request's body. While it comes, a client that is too slow may lose its lease."""
    if lease is None:
        return await collect(lambda size: None)
    lease.waits_for_peer(True)
    body = await collect(lease.received)
    lease.waits_for_peer(False)
    return body

"""What a consumer's Fetch request asks for, and what becomes of it. No I/O.

A request without a topic whose envelopes become blobs passes, with its fetch session (KIP-227). Any other one
is sent on as a full one without a session, since what the consumer is given is not what its broker believes:
``lowered``. The answer then has session id 0, from which a client learns that it has none, and asks in full
each time. A request that names only what has changed in a session is answered that there is no such session,
unless its connection has one that is all of topics which pass: the client then asks in full. A topic whose
name is not told yet may turn out to be any one, so that it gets into no session.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, auto
from functools import partial

import attrs

from lfsproxy.codes import KafkaCode
from lfsproxy.relay.fetch.plan import Wanted
from lfsproxy.wire.aborted import READ_COMMITTED, Aborted
from lfsproxy.wire.fetch import NO_SESSION, FetchPartition, FetchRequest, TopicRef, parse_fetch_request
from lfsproxy.wire.fetch_answers import FetchAnswer, FetchedPartition

Chosen = Callable[[TopicRef], str | None]
"""The name of a topic whose envelopes become blobs, None of any other."""


class Choice(Enum):
    """What becomes of a request."""

    PASSES = auto()
    """It goes to the broker as it is, and its answer comes back as it is."""
    ASKED_ANEW = auto()
    """The proxy answers that it knows no such session."""
    LOWERED = auto()
    """It goes to the broker as ``lowered`` has it, and its answer is looked into."""


class Sessions:
    """What is known of the fetch sessions of one connection."""

    def __init__(self) -> None:
        self._passes = False

    def choose(self, request: FetchRequest, chosen: Chosen, names_all: bool) -> Choice:
        """What becomes of the next request. ``names_all``: the names of all its topics are known."""
        any_chosen = not names_all or any(chosen(topic.topic) is not None for topic in request.topics)
        if request.session_epoch > 0:
            return Choice.PASSES if self._passes and not any_chosen else Choice.ASKED_ANEW
        self._passes = not any_chosen and request.session_epoch == 0
        return Choice.LOWERED if any_chosen else Choice.PASSES


def lowered(request: FetchRequest, most: int) -> FetchRequest:
    """The request for a broker, which gives up to ``most`` bytes for it. It makes no session."""
    max_bytes = min(request.max_bytes, most)
    session_id, session_epoch = NO_SESSION
    return attrs.evolve(
        request,
        max_bytes=max_bytes,
        min_bytes=min(request.min_bytes, max_bytes),
        topics=[
            attrs.evolve(
                topic,
                partitions=[
                    attrs.evolve(each, max_bytes=min(each.max_bytes, most)) for each in topic.partitions
                ],
            )
            for topic in request.topics
        ],
        session_id=session_id,
        session_epoch=session_epoch,
        forgotten=(),
    )


def ask_anew(version: int, correlation_id: int) -> bytes:
    """The whole answer that there is no such session."""
    answer = FetchAnswer(error_code=KafkaCode.FETCH_SESSION_ID_NOT_FOUND)
    return b"".join(piece for piece in answer.layout(version, correlation_id) if isinstance(piece, bytes))


@attrs.frozen(eq=False)
class Asked:
    """A request whose answer is looked into. Its ``body`` is kept as it came, and read again with the answer:
    that takes less memory while the broker waits for records."""

    version: int
    body: bytes
    names: Mapping[TopicRef, str]

    @property
    def only_topic(self) -> str | None:
        """The name of the topic, where no other one was asked for. Any records are then of it; of several
        some may not even be there."""
        request = parse_fetch_request(self.version, self.body)
        return self.names.get(request.topics[0].topic) if len(request.topics) == 1 else None

    def wanted(self, answer: FetchAnswer) -> tuple[list[Wanted], int]:
        """The answer's partitions with what was asked of each, and how many bytes the consumer takes."""
        request = parse_fetch_request(self.version, self.body)
        asked = {(topic.topic, each.partition): each for topic in request.topics for each in topic.partitions}
        skips = request.isolation_level == READ_COMMITTED
        found = [
            self._one(topic.topic, fetched, asked.get((topic.topic, fetched.partition)), skips)
            for topic in answer.topics
            for fetched in topic.partitions
        ]
        return found, request.max_bytes

    def _one(
        self, topic: TopicRef, fetched: FetchedPartition, asked: FetchPartition | None, skips: bool
    ) -> Wanted:
        if asked is None:
            # A broker that gives what was not asked for is not understood: the client judges it.
            return Wanted(fetched, None, 0, len(fetched.records or b""))
        aborted = partial(Aborted.listed, self.version, fetched.aborted) if skips else None
        return Wanted(fetched, self.names.get(topic), asked.fetch_offset, asked.max_bytes, aborted)

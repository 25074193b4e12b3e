"""Answers on their way to one client, in the order of its requests: the broker's, and the proxy's own.

Each request of the client has an Answer in line. Each request that was forwarded has an Expected in the order
in which the broker will answer; what the proxy asks for itself (offsets, signing in) has no Answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

import attrs

from lfsproxy.errors import FramingError
from lfsproxy.relay.stream import ConnectionGone, FrameStream
from lfsproxy.wire.frames import FrameBytes, RequestStart, ResponseStart

MAX_COLLECTED_ANSWER = 64 * 1024 * 1024


@attrs.define(eq=False)
class Answer:
    """A client's request that is not answered yet. ``data`` is set where the whole answer is at hand."""

    data: bytes | None = None


@attrs.frozen(eq=False)
class Expected:
    """An answer that the broker owes. Where ``take`` is None it is relayed as it comes.

    ``lost`` is called where it does not come.
    """

    start: RequestStart | None
    answer: Answer | None
    take: Callable[[bytes], Awaitable[bytes | None]] | None = None
    lost: Callable[[], None] | None = None


class Replies:
    """The answers of one session. ``changed`` is called when one has left or was taken."""

    def __init__(self, client: FrameStream, changed: Callable[[], None]) -> None:
        self._client = client
        self._changed = changed
        self._answers: deque[Answer] = deque()
        self._expected: deque[Expected] = deque()
        self._given_up = False

    @property
    def all_left(self) -> bool:
        """Whether the client has an answer to everything it asked."""
        return not self._answers

    @property
    def all_came(self) -> bool:
        """Whether the broker has answered everything it was asked."""
        return not self._expected

    @property
    def decides_more(self) -> bool:
        """Whether an answer is still expected that decides about something."""
        return any(expected.lost is not None for expected in self._expected)

    def new(self) -> Answer:
        """The next answer in the client's order."""
        answer = Answer()
        self._answers.append(answer)
        return answer

    def complete(self, answer: Answer, data: bytes) -> None:
        """An answer is at hand, b"" where there is to be none; it leaves when it is first in order."""
        answer.data = data
        self._flush()

    def expect(self, expected: Expected) -> None:
        """A request is about to be written to the broker."""
        self._expected.append(expected)

    def lose(self) -> None:
        """No more answers come."""
        expected, self._expected = list(self._expected), deque()
        for each in expected:
            if each.lost is not None:
                each.lost()

    def give_up(self) -> None:
        """Relay no answer any further."""
        self._given_up = True
        self.lose()

    async def read(self, broker: FrameStream) -> None:
        """Take the broker's answers until its connection is gone. Raises ConnectionGone or FramingError."""
        while True:
            event = await broker.next_event()
            if not isinstance(event, ResponseStart):
                raise FramingError(f"the broker's frame begins with {event!r:.80}")
            expected = self._next_expected(event)
            if expected.take is None:
                await self._relay(broker, event, expected)
            else:
                await self._take(broker, event, expected, expected.take)

    def _next_expected(self, start: ResponseStart) -> Expected:
        if not self._expected:
            raise FramingError(f"the broker answered {start.correlation_id}, which was not asked")
        expected = self._expected[0]
        request = expected.start
        if request is not None and request.correlation_id != start.correlation_id:
            raise FramingError(
                f"the broker answered {start.correlation_id} where {request.correlation_id} was next"
            )
        return expected

    async def _relay(self, broker: FrameStream, start: ResponseStart, expected: Expected) -> None:
        if not self._answers or self._answers[0] is not expected.answer:
            raise FramingError(f"the answer {start.correlation_id} is not the next one in order")
        self._client.write(start.head)
        while isinstance(event := await broker.next_event(), FrameBytes):
            self._client.write(event.data)
            await self._client.drained()
        if self._given_up:
            raise ConnectionGone
        self._expected.popleft()
        self._answers.popleft()
        self._flush()

    async def _take(
        self,
        broker: FrameStream,
        start: ResponseStart,
        expected: Expected,
        take: Callable[[bytes], Awaitable[bytes | None]],
    ) -> None:
        if start.size > MAX_COLLECTED_ANSWER:
            raise FramingError(f"the broker's answer of {start.size} bytes is too large to look into")
        body = bytearray()
        while isinstance(event := await broker.next_event(), FrameBytes):
            body += event.data
        data = await take(bytes(body))
        if self._given_up:
            raise ConnectionGone
        self._expected.popleft()
        if expected.answer is not None and data is not None:
            self.complete(expected.answer, data)
        self._changed()
        await self._client.drained()

    def _flush(self) -> None:
        while self._answers and self._answers[0].data is not None:
            data = self._answers.popleft().data
            if data:
                self._client.write(data)
        self._changed()

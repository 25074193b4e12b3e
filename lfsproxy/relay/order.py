"""The order in which one client's answers leave: that of its requests, whoever answers them. No I/O.

Two queues: each request of the client has an Answer, in the order of its requests; each answer that the
broker owes is Expected, in the order in which it will come. What the proxy asks for itself (offsets, topics,
signing in) is expected as well, and has no Answer; a request without one (acks=0) is not expected. One Answer
may be made of several of the broker's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol

import attrs

from lfsproxy.errors import FramingError
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.frames import ResponseStart

MOST_UNANSWERED: Final = 1024
"""Requests of a client without an answer, beyond which no more are read. Each takes some hundred bytes, and a
broker that is busy with the first one may answer none of them for minutes."""
MOST_HELD: Final = 256 * 1024
"""Bytes of answers at hand that wait for earlier ones, and of requests kept for their answers, beyond which
no more are read either: the proxy's own answers may be many times as long as what was asked."""


class Body(Protocol):
    """What follows an answer's correlation id, as it comes from the broker."""

    async def next_piece(self) -> Piece | None:
        """The next bytes, None at the end. Raises ConnectionGone or FramingError."""
        ...

    async def all(self) -> bytes:
        """All that is left. Raises ConnectionGone or FramingError."""
        ...


class Sink(Protocol):
    """Where an answer goes: the client's connection."""

    @property
    def is_drained(self) -> bool:
        """Whether the client takes more, as far as is known."""
        ...

    @property
    def acknowledged(self) -> int | None:
        """How many bytes it has taken of all that were sent; None where that is not known."""
        ...

    def write(self, data: bytes | memoryview) -> None:
        """Hand on bytes, not more than 256 KiB (``stream.WRITE_SIZE``) between two calls of ``drained``."""
        ...

    async def drained(self) -> None:
        """Wait until the client takes more."""
        ...


Take = Callable[[bytes], Awaitable[bytes | None]]
"""Takes a whole answer of the broker, from behind its correlation id on. Gives the client's whole frame, None
where there is none yet."""
Pass = Callable[[ResponseStart, Body, Sink], Coroutine[Any, Any, None]]
"""Passes an answer on while it comes, changed or not: writes the client's whole frame. It is cancelled where
the client is gone; what it leaves of the broker's is read away."""


@attrs.define(eq=False)
class Answer:
    """A client's request that is not answered yet. ``data`` is set where the whole answer is at hand, b""
    where there is to be none."""

    data: bytes | None = None


@attrs.frozen(eq=False)
class Expected:
    """An answer that the broker owes.

    Either ``take`` or ``passes`` has it, and it is relayed as it comes where both are None. ``at_once`` takes
    a small one that is there whole, if that needs no wait: it gives the client's whole frame, else None.
    ``correlation_id`` is None where it is not looked at. ``lost`` is called where it does not come;
    ``decides``: about blobs. ``kept``: bytes of the request that are held until then.
    """

    correlation_id: int | None
    answer: Answer | None
    take: Take | None = None
    passes: Pass | None = None
    lost: Callable[[], None] | None = None
    decides: bool = False
    kept: int = 0
    at_once: Callable[[bytes], bytes | None] | None = None


class Order:
    """What may leave now, given the answers that are at hand and those that are expected."""

    def __init__(self) -> None:
        self._answers: deque[Answer] = deque()
        self._expected: deque[Expected] = deque()
        self._held = 0

    @property
    def is_full(self) -> bool:
        """Whether no more requests are to be read before some answers have left."""
        return len(self._answers) >= MOST_UNANSWERED or self._held >= MOST_HELD

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
        """Whether an answer is still expected that decides about blobs."""
        return any(expected.decides for expected in self._expected)

    def new(self) -> Answer:
        """A request of the client has begun; its place among the answers."""
        answer = Answer()
        self._answers.append(answer)
        return answer

    def expect(self, expected: Expected) -> None:
        """A request is about to be written to the broker."""
        self._expected.append(expected)
        self._held += expected.kept

    def complete(self, answer: Answer, data: bytes) -> None:
        """An answer is at hand, b"" where there is to be none."""
        answer.data = data
        self._held += len(data)

    def leaving(self) -> list[bytes]:
        """The answers that may leave now, which is what they then have done."""
        left = []
        while self._answers and (data := self._answers[0].data) is not None:
            self._answers.popleft()
            self._held -= len(data)
            if data:
                left.append(data)
        return left

    def next_of(self, correlation_id: int) -> Expected | None:
        """The answer that is expected next, if it has this id."""
        expected = self._expected[0] if self._expected else None
        return expected if expected is not None and expected.correlation_id == correlation_id else None

    def begun(self, correlation_id: int) -> Expected:
        """An answer of the broker begins: the one that was expected next. Raises FramingError for another."""
        if not self._expected:
            raise FramingError(f"the broker answered {correlation_id}, which was not asked")
        expected = self._expected[0]
        if expected.correlation_id not in (None, correlation_id):
            raise FramingError(
                f"the broker answered {correlation_id} where {expected.correlation_id} was next"
            )
        return expected

    def came(self) -> None:
        """The answer that has begun was taken to its end."""
        self._held -= self._expected.popleft().kept

    def begin_to_leave(self, answer: Answer) -> None:
        """An answer leaves in pieces, from now until ``left``: nothing else leaves in between.

        Raises FramingError where it is not its turn: the broker owes an earlier one.
        """
        if not self._answers or self._answers[0] is not answer:
            raise FramingError("the broker's answer is not the next one in order")

    def left(self, answer: Answer) -> None:
        """The answer has left in pieces, to its end."""
        assert self._answers[0] is answer
        self._answers.popleft()

    def lose(self) -> list[Callable[[], None]]:
        """No more answers come: what to call for each that is expected no more."""
        lost = [expected.lost for expected in self._expected if expected.lost is not None]
        self._held -= sum(expected.kept for expected in self._expected)
        self._expected.clear()
        return lost

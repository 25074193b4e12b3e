"""A signed-in connection to one broker with any number of questions on their way.

Answers come in the order of their questions. One that is late, too large, or for another question than the
next ends the connection, and with it every question that waits: each asker decides whether to ask again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from lfsproxy.errors import BrokerUnavailable, FramingError
from lfsproxy.kafka.messages import API_VERSIONS, Api, Build, Ranges
from lfsproxy.kafka.stream import ConnectionGone
from lfsproxy.kafka.upstream import BrokerStream
from lfsproxy.logs import Logger
from lfsproxy.wakeups import Condition
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.frames import FrameBytes, ResponseStart

SILENCE_SECONDS: Final = 4.0
"""How long nothing may come while something was asked. Less than half of what a question may take in all, so
that there is time to ask elsewhere."""
IDLE_SECONDS: Final = 50.0
"""How long a connection is kept that nobody needs: below what brokers (10 minutes) and load balancers (a
minute) allow, as a request that meets their close would be lost."""
_MAX_CORRELATION: Final = 2**31 - 1


class AnswerTooLarge(BrokerUnavailable):
    """The answer has more bytes than its asker takes."""


class AnswerLost(BrokerUnavailable):
    """The connection ended before the answer came."""


@attrs.define(eq=False)
class _Call:
    correlation_id: int
    most: int
    silence: float
    asked_at: float
    answer: Deferred[bytes]


class Connection:
    """``ranges`` are the versions that the broker speaks. ``seconds``: how long the sign-in is good for,
    None is for ever; before that the connection ``is_retired``: it takes no more questions, and closes after
    the last answer. ``on_closed`` is called once, ``on_answer`` and ``on_silence`` as often as they happen.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        stream: BrokerStream,
        seconds: float | None = None,
        on_closed: Callable[[], None] = lambda: None,
        on_answer: Callable[[], None] = lambda: None,
        on_silence: Callable[[], None] = lambda: None,
    ) -> None:
        self.ranges: Ranges = {API_VERSIONS.key: (0, 0)}
        self.is_retired = False
        self.address = stream.address
        self._clock = clock
        self._stream = stream
        self._on_closed = on_closed
        self._on_answer = on_answer
        self._on_silence = on_silence
        self._calls: deque[_Call] = deque()
        self._correlation_id = 0
        self._heard_at = clock.seconds()
        self._quiet_until = 0.0
        self._why_ended = ""
        self._spoken = Condition(clock)
        self._look: IDelayedCall | None = None
        self._speak: IDelayedCall | None = None
        self._retire = None if seconds is None else clock.callLater(seconds, self.retire)
        self.over: Deferred[None] = Deferred.fromCoroutine(self._read())
        self._look_later(IDLE_SECONDS)

    @property
    def is_open(self) -> bool:
        """Whether it takes questions."""
        return not (self.is_retired or self._stream.closed or self._why_ended)

    @property
    def heard_at(self) -> float:
        """When anything came from the broker last, in seconds."""
        return self._heard_at

    async def ask(self, api: Api, build: Build, most: int = 0, silence: float = SILENCE_SECONDS) -> Any:
        """Ask one question. ``most``: bytes of the largest answer, where that is not the API's own.

        Raises BrokerUnavailable where there is no answer, or the broker does not speak a version that we do;
        AnswerTooLarge.
        """
        version = api.version(self.ranges)
        if version is None:
            raise BrokerUnavailable(f"{self.address} does not speak {api.key.kafka_name} as the proxy does")

        def frame(correlation_id: int) -> Sequence[Piece]:
            return [api.encode(version, correlation_id, build(version))]

        body = await self.call(frame, most or api.most, silence)
        try:
            return self._unthrottled(api.decode(version, body))
        except FramingError as error:
            self._end(str(error))
            raise BrokerUnavailable(f"{self.address}: {error}") from None

    async def call(self, frame: Callable[[int], Sequence[Piece]], most: int, silence: float) -> bytes:
        """Send the frame that is made for a correlation id; the answer's body.

        ``frame`` is called just before its first byte is written: it is sent as surely as it was made. Where
        it has no pieces, nothing is sent, and the answer is empty. A caller that is cancelled waits no more,
        and the answer is dropped.
        """
        await self._spoken_to()
        self._correlation_id = self._correlation_id % _MAX_CORRELATION + 1
        pieces = frame(self._correlation_id)
        if not pieces:
            return b""
        call = _Call(self._correlation_id, most, silence, self._clock.seconds(), Deferred())
        if not self._calls:
            self._look_later(silence)
        self._calls.append(call)
        for piece in pieces:
            self._stream.write(piece)
        return await call.answer

    async def _spoken_to(self) -> None:
        """Wait for as long as the broker wants to hear nothing."""
        while self.is_open and self._clock.seconds() < self._quiet_until:
            await self._spoken.wait()
        if not self.is_open:
            raise AnswerLost(self._why())

    def throttle(self, milliseconds: int) -> None:
        """The broker wants no more requests for so long (KIP-219)."""
        if milliseconds > 0:
            self._quiet_until = max(self._quiet_until, self._clock.seconds() + milliseconds / 1000)
            if self._speak is not None and self._speak.active():
                self._speak.cancel()
            self._speak = self._clock.callLater(self._quiet_until - self._clock.seconds(), self._spoken.wake)

    def _unthrottled(self, answer: Any) -> Any:
        self.throttle(getattr(answer, "throttle_time_ms", 0) or 0)
        return answer

    # Reading

    async def _read(self) -> None:
        try:
            while True:
                event = await self._stream.next_event()
                assert isinstance(event, ResponseStart)
                await self._read_answer(event)
        except ConnectionGone:
            self._end(self._why())
        except (FramingError, AnswerTooLarge) as error:
            self._end(str(error))
        finally:
            self._closed()

    async def _read_answer(self, start: ResponseStart) -> None:
        if not self._calls or self._calls[0].correlation_id != start.correlation_id:
            raise FramingError(f"{self.address} answers a question that it was not asked next")
        call = self._calls[0]
        if start.size > call.most:
            self._calls.popleft()
            error = AnswerTooLarge(f"an answer of {start.size} bytes, of which {call.most} are taken")
            _fire(call, Failure(error))
            raise error
        pieces = []
        while isinstance(event := await self._stream.next_event(), FrameBytes):
            self._heard_at = self._clock.seconds()
            pieces.append(event.data)
        self._calls.popleft()
        self._heard_at = self._clock.seconds()
        self._on_answer()
        if not self._calls and self.is_retired:
            self._stream.close()
        _fire(call, b"".join(pieces))

    # Its end

    def _look_later(self, seconds: float) -> None:
        if self._look is not None and self._look.active():
            self._look.cancel()
        self._look = self._clock.callLater(seconds, self._look_now)

    def _look_now(self) -> None:
        """Whether what was asked takes too long, or nothing was for too long."""
        now = self._clock.seconds()
        if self._calls:
            call = self._calls[0]
            left = max(call.asked_at, self._heard_at) + call.silence - now
            if left <= 0:
                self._on_silence()
                self._end(f"{self.address} gives no answer within {call.silence:g} s: the broker hangs")
                return
        else:
            left = self._heard_at + IDLE_SECONDS - now
            if left <= 0:
                self.retire()
                return
        self._look_later(left)

    def retire(self) -> None:
        """Take no more questions, and close when those that were asked are answered."""
        self.is_retired = True
        self._spoken.wake()
        if not self._calls:
            self._stream.close()

    def abort(self, why: str) -> None:
        """Close at once: what was written and has not left never will."""
        self._end(why)

    def _end(self, why: str) -> None:
        if not self._why_ended:
            self._why_ended = why
            self._stream.abort()

    def _why(self) -> str:
        if self._why_ended:
            return self._why_ended
        trouble = f" ({self._stream.trouble})" if self._stream.trouble else ""
        return f"{self.address} closed the connection{trouble}"

    def _closed(self) -> None:
        for timer in (self._look, self._speak, self._retire):
            if timer is not None and timer.active():
                timer.cancel()
        self._why_ended = self._why()
        self._on_closed()
        self._spoken.wake()
        calls, self._calls = self._calls, deque()
        for call in calls:
            _fire(call, Failure(AnswerLost(self._why_ended)))


def _fire(call: _Call, result: bytes | Failure) -> None:
    """Tell the asker, who may wait no more."""
    if not call.answer.called:
        call.answer.callback(result)

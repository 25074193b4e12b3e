"""Reads the broker's answers on one connection, and lets the client's leave in their order (``Order``).

An answer that is looked into as a whole is collected: up to SMALL_ANSWER bytes as part of what a connection
may hold anyway, a larger one under a lease of the process's memory budget, until the client has taken it. To
wait for that lease is bounded: a holder of memory may wait for this very connection, and a broker sends
nothing more before its answer is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import CancelledError, Deferred

from lfsproxy.budget import Lease, MemoryBudget
from lfsproxy.errors import FramingError, LfsError, Stalled
from lfsproxy.kafka.stream import WRITE_SIZE, ConnectionGone, FrameStream
from lfsproxy.relay.memory import SMALL_ANSWER, memory_for_answer
from lfsproxy.relay.order import Answer, Expected, Order, Pass, Take
from lfsproxy.wakeups import Condition
from lfsproxy.wire.chunks import Piece
from lfsproxy.wire.frames import FrameBytes, ResponseStart

MOST_COLLECTED: Final = 2 * 1024 * 1024
"""Bytes of an answer that can be collected at all: sixty thousand partitions. While one is decoded, which is
done in one turn of the reactor, its Python objects take some fifteen times that."""
MOST_VERDICTS: Final = 15 * 1024 * 1024
"""Bytes of a Produce answer that can be collected. It has no more partitions than its request: what makes it
longer are records that the broker refuses, each with a sentence, which take some twice their bytes."""
COPIES: Final = 2
"""Times that an answer is held while it is looked into: as the broker sent it, and as the client gets it."""


class Replies:
    """The answers of one session.

    ``changed`` is called when one has left or was taken; ``close`` closes the client's connection, where it
    does not take a large one while others wait for memory, or where one cannot be given to its end.
    """

    def __init__(
        self,
        client: FrameStream,
        budget: MemoryBudget,
        changed: Callable[[], None],
        close: Callable[[LfsError], None],
    ) -> None:
        self.order = Order()
        self._client = client
        self._budget = budget
        self._changed = changed
        self._close = close
        self._waiting: Deferred[Lease] | None = None
        self._passing: Deferred[None] | None = None
        self._some_left = Condition(budget.clock)
        self._stopped = False
        self._is_between = False

    def complete(self, answer: Answer, data: bytes) -> None:
        """An answer is at hand, b"" where there is to be none; it leaves when it is first in order."""
        self.order.complete(answer, data)
        self._flush()

    async def room(self) -> None:
        """Wait until there is room for one more request's answer, or the client is gone."""
        while self.order.is_full and not self._client.closed:
            await self._some_left.wait()

    def client_lost(self) -> None:
        """The client is gone: an answer that is passed on changed is given up, since it may take its time."""
        self._some_left.wake()
        if self._passing is not None:
            self._passing.cancel()

    def stop(self) -> None:
        """No more answers come, and none is passed on any further."""
        self._stopped = True
        if self._waiting is not None:
            self._waiting.cancel()
        if self._passing is not None:
            self._passing.cancel()
        for lost in self.order.lose():
            lost()

    async def read(self, broker: FrameStream) -> None:
        """Take the broker's answers until its connection is gone.

        Raises ConnectionGone, FramingError, or Stalled where there is no memory for one.
        """
        body = _Body(broker)
        broker.take_at_once = lambda: self._take_at_once(broker)
        while True:
            self._is_between = True
            event = await broker.next_event()
            self._is_between = False
            if not isinstance(event, ResponseStart):
                raise FramingError(f"the broker's frame begins with {event!r:.80}")
            expected = self.order.begun(event.correlation_id)
            if expected.take is not None:
                await self._collect(body, event, expected, expected.take)
            else:
                await self._pass(body, event, expected)

    def _take_at_once(self, broker: FrameStream) -> bool:
        """Take what the broker has answered as far as nothing waits; whether that is all that came."""
        if not self._is_between:
            return False
        try:
            while (start := broker.frames.next_event()) is not None:
                assert isinstance(start, ResponseStart), "a frame was taken to its end"
                if not self._take_small(broker, start):
                    broker.frames.put_back(start)
                    return False
        except FramingError:
            return False  # It is raised again for the reader.
        return True

    def _take_small(self, broker: FrameStream, start: ResponseStart) -> bool:
        """Take a small answer that is there whole and passes as it is. False where it is left."""
        expected = self.order.next_of(start.correlation_id)
        if expected is None or expected.at_once is None or expected.answer is None or self._stopped:
            return False
        if start.size > SMALL_ANSWER or not self._client.is_drained:
            return False
        body = broker.frames.whole_body()
        data = None if body is None else expected.at_once(body)
        if data is None:
            return False
        broker.frames.skip_body()
        self.order.came()
        self.complete(expected.answer, data)
        return True

    async def _pass(self, body: _Body, start: ResponseStart, expected: Expected) -> None:
        """Pass an answer on as it comes."""
        answer = expected.answer
        assert answer is not None, "what the proxy asks for itself is collected"
        self.order.begin_to_leave(answer)
        if expected.passes is not None:
            await self._pass_changed(expected.passes, body, start)
        else:
            self._client.write(start.head)
            await body.relay(self._client)
        if self._stopped:
            raise ConnectionGone
        self.order.came()
        self.order.left(answer)
        self._flush()

    async def _pass_changed(self, passes: Pass, body: _Body, start: ResponseStart) -> None:
        """Pass an answer on as ``passes`` has it, unless the client is gone. Where that fails the client's
        connection is closed, and only that: the answers behind this one may decide about blobs."""
        body.begin()
        if self._client.is_given_up:
            await body.drop()
            return
        self._passing = Deferred.fromCoroutine(passes(start, body, self._client))
        try:
            await self._passing
        except FramingError:
            raise
        except LfsError as error:
            self._close(error)
        except CancelledError:
            if self._stopped:
                raise ConnectionGone from None
            # Whoever gave it up: a part of it may have left, and nothing may follow that.
            self._client.abort()
        finally:
            self._passing = None
        await body.drop()

    async def _collect(self, body: _Body, start: ResponseStart, expected: Expected, take: Take) -> None:
        """Take an answer as a whole."""
        size = start.size + 4 - len(start.head)
        if size <= SMALL_ANSWER:
            await self._take(body, expected, take, None)
            self._changed()
            await self._client.drained()
            return
        lease = await self._memory(size, expected)
        if lease is None:
            await self._drop(body, expected)
        else:
            try:
                await self._take(body, expected, take, lease)
            finally:
                lease.release()
        self._changed()

    async def _memory(self, size: int, expected: Expected) -> Lease | None:
        """A lease for an answer of ``size`` bytes; None for one of the proxy's own where none is free."""
        most = min(MOST_VERDICTS if expected.decides else MOST_COLLECTED, self._budget.largest // COPIES)
        if expected.answer is None:
            return self._budget.try_acquire(COPIES * size) if size <= most else None
        if size > most:
            raise FramingError(
                f"the broker's answer of {size} bytes is too large to look into, beyond {most}"
            )
        self._waiting = memory_for_answer(self._budget, COPIES * size, size)
        try:
            return await self._waiting
        finally:
            self._waiting = None

    async def _take(self, body: _Body, expected: Expected, take: Take, lease: Lease | None) -> None:
        data = await take(await body.all())
        if self._stopped:
            raise ConnectionGone
        self.order.came()
        answer = expected.answer
        if answer is None or data is None:
            return
        if lease is None:
            self.complete(answer, data)
        else:
            await self._send(answer, data, lease)

    async def _send(self, answer: Answer, data: bytes, lease: Lease) -> None:
        """Write a large answer as fast as the client takes it; one that takes none loses its connection."""
        self.order.begin_to_leave(answer)
        lease.evicted = lambda: self._close(Stalled("it took too little of an answer while others waited"))
        lease.waits_for_peer(True)
        view = memoryview(data)
        for position in range(0, len(view), WRITE_SIZE):
            piece = view[position : position + WRITE_SIZE]
            self._client.write(piece)
            await self._client.drained()
            lease.received(len(piece))
        if self._stopped:
            raise ConnectionGone
        self.order.left(answer)
        self._flush()

    async def _drop(self, body: _Body, expected: Expected) -> None:
        """An answer of the proxy's own for which there is no memory is as good as none."""
        body.begin()
        await body.drop()
        if self._stopped:
            raise ConnectionGone
        self.order.came()
        if expected.lost is not None:
            expected.lost()

    def _flush(self) -> None:
        for data in self.order.leaving():
            self._client.write(data)
        self._some_left.wake()
        self._changed()


class _Body:
    """The rest of the broker's frame that is being read."""

    def __init__(self, broker: FrameStream) -> None:
        self._broker = broker
        self._is_open = False

    def begin(self) -> None:
        """The body of another frame begins."""
        self._is_open = True

    async def next_piece(self) -> Piece | None:
        """The next bytes, None at the end."""
        event = await self._broker.next_event()
        self._is_open = isinstance(event, FrameBytes)
        return event.data if isinstance(event, FrameBytes) else None

    async def drop(self) -> None:
        """Read what is left, if it was not read to its end."""
        while self._is_open:
            await self.next_piece()

    async def relay(self, client: FrameStream) -> None:
        """Write all that is left, as it comes."""
        while isinstance(event := await self._broker.next_event(), FrameBytes):
            client.write(event.data)
            await client.drained()

    async def all(self) -> bytes:
        """All that is left."""
        whole = self._broker.frames.whole_body()
        if whole is not None:
            self._broker.frames.skip_body()
            self._is_open = False
            return whole
        pieces = []
        while (piece := await self.next_piece()) is not None:
            pieces.append(piece)
        return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

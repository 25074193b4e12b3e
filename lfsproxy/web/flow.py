"""A response's body written as its client takes it, and given up on a client that takes nothing."""

# twisted.web is not annotated:
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from lfsproxy.budget import Lease
from lfsproxy.errors import Stalled
from lfsproxy.net.peers import CHECK_SECONDS, bytes_acknowledged
from lfsproxy.wakeups import Wakeups
from lfsproxy.web.request import StreamingRequest


@implementer(IPushProducer)
class ResponseFlow:
    """A producer that the connection pauses while its buffer is full. ``stall_timeout`` is in seconds.

    Meanwhile it looks each second at how much the client's system has taken, and tells ``lease``. A client
    that takes nothing for ``stall_timeout`` (LFS_STALL_TIMEOUT) fails the write.
    """

    def __init__(
        self, request: StreamingRequest, clock: IReactorTime, stall_timeout: float, lease: Lease
    ) -> None:
        self._request = request
        self._clock = clock
        self._stall_timeout = stall_timeout
        self._lease = lease
        # A response before this one, on the same connection, may not have left yet.
        self._full = request.is_full
        self._room: Deferred[None] | None = None
        self._wakeups = Wakeups(clock)
        self._look: IDelayedCall | None = None
        self._taken: int | None = None
        self._progress = 0.0
        request.registerProducer(self, True)

    def write(self, data: bytes) -> Deferred[None] | None:
        """Write. What is returned fires when there is room for more, or fails with Stalled: None is room.

        Nothing here holds ``data`` then but the connection, and of that what has not left.
        """
        self._request.write(data)
        if self._full:
            return Deferred.fromCoroutine(self._wait_for_room())
        self._lease.received(len(data))
        return None

    async def _wait_for_room(self) -> None:
        self._room = Deferred(self._leave)
        self._progress = self._clock.seconds()
        self._taken = bytes_acknowledged(self._request.transport)
        self._look = self._clock.callLater(CHECK_SECONDS, self._look_at_client)
        self._lease.waits_for_peer(True)
        try:
            await self._room
        finally:
            self._lease.waits_for_peer(False)
            self._stop_looking()

    def finish(self) -> None:
        """All is written."""
        self._request.unregisterProducer()

    def evict(self, error: Stalled) -> None:
        """Fail the write that waits, if one does."""
        room, self._room = self._room, None
        if room is not None:
            self._wakeups.fire(room, Failure(error))

    def _look_at_client(self) -> None:
        self._look = None
        now = self._clock.seconds()
        taken = bytes_acknowledged(self._request.transport)
        if taken is not None and self._taken is not None and taken > self._taken:
            self._lease.received(taken - self._taken)
            self._progress = now
        self._taken = taken
        if now - self._progress >= self._stall_timeout:
            self.evict(Stalled(f"the client took no byte for {self._stall_timeout:g} s (LFS_STALL_TIMEOUT)"))
        else:
            self._look = self._clock.callLater(CHECK_SECONDS, self._look_at_client)

    def _stop_looking(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def _leave(self, _: Deferred[None]) -> None:
        self._room = None

    def pauseProducing(self) -> None:
        self._full = True

    def resumeProducing(self) -> None:
        self._full = False
        room, self._room = self._room, None
        if room is not None:
            room.callback(None)

    def stopProducing(self) -> None:
        """The connection is gone: the writer is cancelled with its request."""

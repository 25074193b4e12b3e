"""The one memory budget of the process: leases for the bytes of uploads, for both doors.

The bound: the sum of all leases never exceeds ``limit`` (LFS_UPLOAD_MEMORY). Besides the leases a connection
costs what docs/architecture.md counts as its buffers, none of which grows with the data.

No deadlock: a reader takes one first lease while it holds nothing, and that lease suffices to finish.
More (for parallel parts) is only tried for, never waited for, and never granted while a first lease waits.
A quarter of the limit is kept for leases of up to ``SMALL`` bytes, so that small traffic does not queue
behind large.

Fair: small and large leases have a queue each (``lfsproxy.fair``), in which an address that holds none goes
before one that does, however many requests that one has.

No lost wake-up: whatever frees memory, or changes who is first in a queue, asks the one loop that grants
(``lfsproxy.wakeups``). A lease is counted at the moment its waiter is resumed, never before, so there is none
that is counted and in nobody's hands.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from lfsproxy.fair import FairQueue
from lfsproxy.interfaces import IPartMemory
from lfsproxy.log.uploads import SENDER
from lfsproxy.logs import Logger
from lfsproxy.net.peers import host_of
from lfsproxy.wakeups import WakeLoop

SMALL = 1024 * 1024
"""Bytes of a lease that may use the reserve: an ordinary record is at most 1 MiB (message.max.bytes)."""
IDLE_SECONDS = 2.0
"""How long a client may send nothing while others wait: longer than packets are lost and sent again."""
CHECK_SECONDS = 1.0
"""How often slow clients are looked for, while somebody waits."""


@implementer(IPartMemory)
class HeldMemory:
    """For bytes that the caller holds already; with ``more`` False there is memory for one part only."""

    def __init__(self, more: bool = True) -> None:
        self._more = more

    def try_take(self, size: int) -> bool:
        return self._more

    def give_back(self, size: int) -> None:
        return None


@implementer(IPartMemory)
class Lease:
    """Bytes of the budget in one holder's hands, from ``MemoryBudget.acquire`` until ``release``.

    ``evicted`` may be set by the holder: it is called at most once, when the holder waits for its client,
    the client is too slow, and others wait for the memory. It has to end in ``release``.
    """

    def __init__(self, budget: MemoryBudget, size: int, now: float, sender: str, queue: _Queue) -> None:
        self.size = size
        self.evicted: Callable[[], None] | None = None
        self._budget = budget
        self._small = size if size <= SMALL else 0
        self._taken_at = now
        self._received = 0
        self._last_bytes = now
        self._last_part = now
        self._busy_since = now
        self._waits_for_peer = False
        self._sender = sender
        self._queue = queue
        queue.taken(sender)

    def try_take(self, size: int) -> bool:
        return self._budget._try_grow(self, size)

    def give_back(self, size: int) -> None:
        self._budget._shrink(self, size)

    def release(self) -> None:
        """Return everything. May be called more than once."""
        self.evicted = None
        self._budget._release(self)

    def waits_for_peer(self, waits: bool) -> None:
        """Tell whether the holder waits for bytes of its client (else for the store or the broker)."""
        if waits == self._waits_for_peer:
            return
        now = self._budget.clock.seconds()
        if waits:
            # The time that the holder was busy itself does not count against its client.
            busy = now - self._busy_since
            self._last_bytes = min(now, self._last_bytes + busy)
            self._last_part = min(now, self._last_part + busy)
        self._busy_since = now
        self._waits_for_peer = waits

    def received(self, size: int) -> None:
        """Tell that ``size`` bytes came from the client."""
        now = self._budget.clock.seconds()
        part = self._budget.part_size
        if self._received // part != (self._received + size) // part:
            self._last_part = now
        self._received += size
        self._last_bytes = now

    def _rate(self, now: float) -> float:
        return self._received / max(now - self._taken_at, 0.001)

    def _is_slow(self, now: float) -> bool:
        return (
            self._waits_for_peer
            and self.evicted is not None
            and (
                now - self._last_bytes >= IDLE_SECONDS or now - self._last_part >= self._budget.stall_timeout
            )
        )


_Queue = FairQueue[Deferred[Lease]]


class MemoryBudget(WakeLoop):
    """Grants leases to whoever waits, by the address of the sender. All sizes in bytes, times in seconds."""

    _log = Logger()

    def __init__(self, clock: IReactorTime, limit: int, part_size: int, stall_timeout: float) -> None:
        super().__init__(clock)
        self.clock = clock
        self.limit = limit
        self.part_size = part_size
        self.stall_timeout = stall_timeout
        self.used = 0
        self.peak = 0
        self.changes = 0
        """How often ``used`` has changed."""
        self._used_small = 0
        self._large: _Queue = FairQueue()
        self._small: _Queue = FairQueue()
        self._leases: set[Lease] = set()
        self._checks = LoopingCall(self._evict_slowest)
        self._checks.clock = clock

    @property
    def waiting(self) -> int:
        """How many first leases wait."""
        return len(self._large) + len(self._small)

    @property
    def largest(self) -> int:
        """The largest lease that can ever be granted, in bytes."""
        return self.limit - self.limit // 4

    def acquire(self, size: int) -> Deferred[Lease]:
        """A first lease of ``size`` bytes, when its turn comes. The caller must hold no other lease.

        Cancel the Deferred to leave the queue. A size beyond what the budget can ever grant is an error of
        the caller: the settings are checked at start.
        """
        largest = self.limit if size <= SMALL else self.largest
        if not 0 <= size <= largest:
            raise ValueError(f"a lease of {size} bytes can never be granted, the most is {largest}")
        queue = self._queue_of(size)
        if not queue and not self.is_due and self._fits(size):
            return succeed(self._lease(size, _sender()))
        waiting: Deferred[Lease] = Deferred(lambda _: self._leave(queue, waiting))
        queue.add(waiting, _sender(), size)
        if self._fits(queue.first):
            # It goes before those that wait for more than there is.
            self.ask()
        if not self._checks.running:
            self._checks.start(CHECK_SECONDS, now=False)  # never fails: see _evict_slowest
        return waiting

    def try_acquire(self, size: int) -> Lease | None:
        """A lease of ``size`` bytes if they are free and nobody waits, for a caller with another way."""
        if self.waiting or not self._fits(size):
            return None
        return self._lease(size, _sender())

    def _queue_of(self, size: int) -> _Queue:
        return self._small if size <= SMALL else self._large

    def _lease(self, size: int, sender: str) -> Lease:
        lease = Lease(self, size, self.clock.seconds(), sender, self._queue_of(size))
        self._leases.add(lease)
        self._used_small += lease._small
        self._account(size)
        return lease

    def _leave(self, queue: _Queue, waiting: Deferred[Lease]) -> None:
        if queue.leave(waiting):
            self._waits_less()

    def _waits_less(self) -> None:
        if self.waiting:
            self.ask()
        elif self._checks.running:
            self._checks.stop()

    def _fits(self, size: int) -> bool:
        if size > SMALL:
            return self._fits_large(size)
        if self.used + size > self.limit:
            return False
        # While large leases wait, small ones live on their reserve, so that large ones get their turn.
        return not self._large or self._used_small + size <= self.limit // 4

    def _fits_large(self, size: int) -> bool:
        large = self.used - self._used_small
        return self.used + size <= self.limit and large + size <= self.largest

    def _wake_next(self) -> bool:
        """Give the next one that waits its lease, if there is memory for it."""
        for queue in (self._large, self._small):
            if queue and self._fits(queue.first):
                waiting, sender, size = queue.pop()
                self._waits_less()
                waiting.callback(self._lease(size, sender))
                return True
        return False

    def _account(self, change: int) -> None:
        self.used += change
        self.peak = max(self.peak, self.used)
        self.changes += 1

    def _try_grow(self, lease: Lease, size: int) -> bool:
        # What a lease grows by never comes out of the reserve, however small the lease and the growth are.
        if self.waiting or lease not in self._leases or not self._fits_large(size):
            return False
        lease.size += size
        self._account(size)
        return True

    def _shrink(self, lease: Lease, size: int) -> None:
        if lease in self._leases:
            lease.size -= size
            self._account(-size)
            self._freed()

    def _release(self, lease: Lease) -> None:
        if lease in self._leases:
            self._leases.remove(lease)
            lease._queue.given_back(lease._sender)
            self._used_small -= lease._small
            self._account(-lease.size)
            self._freed()

    def _freed(self) -> None:
        if self.waiting:
            self.ask()

    def _evict_slowest(self) -> None:
        """Evict holders that are too slow, slowest first, until what they held suffices for all that wait."""
        if self.is_due:
            return  # There is memory: a waiter that is left after that is looked at the next time.
        now = self.clock.seconds()
        slow = [lease for lease in self._leases if lease._is_slow(now)]
        wanted = self._large.bytes + self._small.bytes
        for lease in sorted(slow, key=lambda lease: lease._rate(now)):
            if wanted <= 0:
                return
            wanted -= lease.size
            self._evict(lease, now)

    def _evict(self, lease: Lease, now: float) -> None:
        evict, lease.evicted = lease.evicted, None
        self._log.info(
            "a client ({peer}) that sent {received} bytes in {seconds:.0f} s loses its {size} bytes of "
            "upload memory: {waiting} others wait (LFS_UPLOAD_MEMORY, LFS_STALL_TIMEOUT)",
            received=lease._received,
            seconds=now - lease._taken_at,
            size=lease.size,
            waiting=self.waiting,
            peer=lease._sender or "unknown",
        )
        if evict is not None:
            with self._log.failuresHandled("evicting a client failed"):
                evict()


def _sender() -> str:
    """The address of the client that is worked for."""
    return host_of(SENDER.get().peer)

"""Waiters are woken by a loop, in a turn of the reactor of their own: never in the frames of a release.

Twisted's DeferredSemaphore, DeferredLock and DeferredQueue fire the next waiter inside ``release`` and
``put``. A waiter that ends at once lets the next one go a few frames deeper, and so on: some dozens of them
reach Python's recursion limit, and there a waiter is lost together with what it was just given.

Five ways to wait: Condition (for a change), Semaphore (for a place), Wakeups (for a result of one's own),
``to_its_end`` (for work that goes on without its caller), and ``all_of`` (for several at once).

The rules here: first come, first woken. What a waiter gets is taken only at the moment it is woken, so that
one that was cancelled has got nothing. Letting go only notes that there is something to do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred, FirstError, gatherResults, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

AT_ONCE = 64
"""Waiters woken in one turn of the reactor; others have their turn in between."""

T = TypeVar("T")


class WakeLoop(ABC):
    """Calls ``_wake_next`` until it says that there is nobody left to wake; never while it is being called.

    ``is_due``: from ``ask`` on until then. A waiter that comes meanwhile joins the end of the queue.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.is_due = False
        self._clock = clock

    @abstractmethod
    def _wake_next(self) -> bool:
        """Wake the first one that may be woken; whether there was one."""

    def ask(self) -> None:
        """There may be somebody to wake. May be called at any time, also by a waiter that was woken."""
        if not self.is_due:
            self._be_due()

    def _be_due(self) -> None:
        self.is_due = True
        self._clock.callLater(0, self._turn)

    def _turn(self) -> None:
        is_more = True
        try:
            for _ in range(AT_ONCE):
                is_more = self._wake_next()
                if not is_more:
                    return
        finally:
            self.is_due = False
            if is_more:
                self._be_due()


class Wakeups(WakeLoop):
    """Fires Deferreds that somebody waits for, in the order given. One that was cancelled is passed over."""

    def __init__(self, clock: IReactorTime) -> None:
        super().__init__(clock)
        self._due: deque[tuple[Deferred[Any], object]] = deque()

    def fire(self, waiter: Deferred[T], result: T | Failure) -> None:
        """Fire ``waiter`` when its turn comes. Nobody else may fire it."""
        self._due.append((waiter, result))
        self.ask()

    def _wake_next(self) -> bool:
        if not self._due:
            return False
        waiter, result = self._due.popleft()
        if not waiter.called:
            waiter.callback(result)
        return True


class Condition:
    """Where coroutines wait for something to change. Each looks again by itself whether it has."""

    def __init__(self, clock: IReactorTime) -> None:
        self._waiting: dict[Deferred[None], None] = {}
        self._wakeups = Wakeups(clock)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def wait(self) -> Deferred[None]:
        """Fires after the next ``wake``, fails after the next ``fail``. Cancel it to wait no longer."""
        waiter: Deferred[None] = Deferred(self._leave)
        self._waiting[waiter] = None
        return waiter

    def _leave(self, waiter: Deferred[None]) -> None:
        self._waiting.pop(waiter, None)

    def wake(self) -> None:
        """Let all go on that wait now; later waiters wait for the next one."""
        self._let_go(None)

    def fail(self, error: BaseException) -> None:
        """Fail all that wait now."""
        self._let_go(Failure(error))

    def _let_go(self, result: Failure | None) -> None:
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting:
            self._wakeups.fire(waiter, result)


class Semaphore(WakeLoop):
    """``places`` that are taken first come, first served; with one place, a lock."""

    def __init__(self, clock: IReactorTime, places: int) -> None:
        super().__init__(clock)
        self.places = places
        self.free = places
        self._waiting: OrderedDict[Deferred[None], None] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many wait for a place."""
        return len(self._waiting)

    def acquire(self) -> Deferred[None]:
        """A place, to be given back by ``release``. Cancel the Deferred to wait no longer."""
        if self.free and not self._waiting:
            self.free -= 1
            return succeed(None)
        waiter: Deferred[None] = Deferred(self._leave)
        self._waiting[waiter] = None
        return waiter

    def release(self) -> None:
        """Give a place back."""
        if self.free == self.places:
            raise RuntimeError("a place was given back that nobody had")
        self.free += 1
        if self._waiting:
            self.ask()

    def _leave(self, waiter: Deferred[None]) -> None:
        self._waiting.pop(waiter, None)

    def _wake_next(self) -> bool:
        if not self.free or not self._waiting:
            return False
        waiter, _ = self._waiting.popitem(last=False)
        self.free -= 1
        waiter.callback(None)
        return True

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def to_its_end(work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
    """Do ``work`` to its end, though nobody waits for it any more: a cancelled caller only stops waiting.

    The caller gets the result in the frames of the work's own last step; what nobody waits for is dropped.
    """
    answer: Deferred[T] = Deferred()

    def deliver(result: T | Failure) -> None:
        if not answer.called:
            answer.callback(result)

    Deferred.fromCoroutine(work).addBoth(deliver)
    return answer


async def all_of(works: Sequence[Deferred[T]]) -> list[T]:
    """Wait for all; the first failure is raised as it is, and what has not ended then is cancelled."""
    try:
        return await gatherResults(works, consumeErrors=True)
    except FirstError as error:
        for work in works:
            work.cancel()
        raise cast(Exception, error.subFailure.value) from None

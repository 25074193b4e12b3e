"""A few threads for kafka-python's blocking calls, so that a Kafka that hangs takes none from hashing."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any, Generic, ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads, IReactorThreads
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

P = ParamSpec("P")
T = TypeVar("T")

MOST_THREADS = 8
"""Calls at once: as many as there are producers (lfsproxy.broker.producers.MOST_PRODUCERS)."""


class _DaemonThread(Thread):
    """A call that still hangs must not keep a process that is to end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, daemon=True)


class FromThread(Generic[T]):
    """An answer that comes in another thread.

    ``answer`` fires in the reactor's; a caller that was cancelled, or waited too long, hears no more of it.
    ``give`` and ``fail`` may be called in any thread.
    """

    def __init__(self, reactor: object) -> None:
        self.answer: Deferred[T] = Deferred()
        self._call = IReactorFromThreads(reactor).callFromThread

    def give(self, value: T) -> None:
        self._call(self._fire, value)

    def fail(self, error: BaseException) -> None:
        self._call(self._fire, Failure(error))

    def not_asked(self, failure: Failure) -> None:
        """What was to give the answer has failed: for the reactor's thread."""
        self._fire(failure)

    def _fire(self, result: T | Failure) -> None:
        if not self.answer.called:
            self.answer.callback(result)


class Threads:
    """Runs blocking calls; started by the first one."""

    def __init__(self, reactor: Any, most: int = MOST_THREADS) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(0, most, name="kafka")
        self._pool.threadFactory = _DaemonThread

    def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        """Call in a thread; the Deferred fires in the reactor's with what it returned or raised."""
        if not self._pool.started:
            self._pool.start()
        return deferToThreadPool(self._reactor, self._pool, call, *args, **kwargs)

    async def stop(self) -> None:
        """Wait for the calls that run, and end the threads. Nothing may be run afterwards."""
        if self._pool.started:
            await deferToThreadPool(
                self._reactor, IReactorThreads(self._reactor).getThreadPool(), self._pool.stop
            )

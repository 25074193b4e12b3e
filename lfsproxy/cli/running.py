"""A coroutine is run in the reactor until it ends; Ctrl-C and SIGTERM cancel it, so that it can clean up."""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from lfsproxy.cli.failures import TERMINATED
from lfsproxy.cli.failures import Failure as Ending

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_until_done(reactor: Any, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What ``work`` returns, or raises. The reactor runs meanwhile, for the only time in this process.

    A signal cancels it; a second one does not wait until it has ended. Then KeyboardInterrupt is raised, or
    for SIGTERM the failure with its status, whatever ``work`` made of it.
    """
    running = _Running(reactor, work)
    with _signals_to(running.signalled):
        reactor.callWhenRunning(running.begin)
        reactor.run(installSignalHandlers=False)
    return cast(T, running.result())


class _Running:
    def __init__(self, reactor: Any, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._reactor = reactor
        self._work = work
        self._done: Deferred[Any] | None = None
        self._outcome: Any = None
        self._signal: int | None = None
        self._stopping = False

    def begin(self) -> None:
        self._done = Deferred.fromCoroutine(self._work())
        self._done.addBoth(self._end)

    def _end(self, outcome: Any) -> None:
        self._outcome = outcome
        self._stop()

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._reactor.stop()

    def signalled(self, number: int, frame: object) -> None:
        # The reactor may be anywhere now, or asleep: this wakes it.
        self._reactor.callFromThread(self._interrupt, number)

    def _interrupt(self, number: int) -> None:
        if self._signal is None and self._done is not None and not self._done.called:
            self._signal = number
            self._done.cancel()
        else:
            self._signal = self._signal or number
            self._stop()

    def result(self) -> Any:
        if isinstance(self._outcome, Failure) and self._signal is None:
            self._outcome.raiseException()
        if self._signal is None:
            return self._outcome
        if self._signal == signal.SIGTERM:
            raise Ending("ended by SIGTERM", TERMINATED)
        raise KeyboardInterrupt


@contextmanager
def _signals_to(handler: Callable[[int, object], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, each in before.items():
            signal.signal(number, each)


@contextmanager
def blocking_for_a_person() -> Iterator[None]:
    """Within it, the reactor's thread waits for a person, and Ctrl-C raises KeyboardInterrupt."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, each in before.items():
            signal.signal(number, each)

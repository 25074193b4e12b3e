"""The reactor's threads, for looking through batches: decompressing and hashing take their time."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool


class InThread(Protocol):
    """Calls in a thread; the Deferred fires in the reactor's with what that returned or raised."""

    def __call__(self, call: Any, /, *args: Any) -> Deferred[Any]: ...


def in_thread(reactor: Any) -> InThread:
    """By the reactor's thread pool."""

    def run(call: Any, *args: Any) -> Deferred[Any]:
        return deferToThreadPool(reactor, reactor.getThreadPool(), call, *args)

    return run

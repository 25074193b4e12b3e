"""The reader for Twisted: its methods return Deferreds. ``await`` works on them in coroutines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import txaio.tx
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads, IReactorInThreads

from lfsproxy.client.reader import BlobReader as BlockingReader
from lfsproxy.client.threaded import ThreadedReader


class _Twisted:
    def __init__(self, reactor: Any) -> None:
        txa = txaio.tx.with_config(loop=reactor)  # type: ignore[no-untyped-call]  # of txaio
        self._reactor = reactor
        self.create_future: Callable[[], Deferred[Any]] = txa.create_future
        self.resolve: Callable[[Any, Any], None] = txa.resolve
        self.reject: Callable[[Any, Exception], None] = txa.reject

    def in_thread(self, work: Callable[[], None]) -> None:
        IReactorInThreads(self._reactor).callInThread(work)

    def from_thread(self, call: Callable[[], None]) -> None:
        IReactorFromThreads(self._reactor).callFromThread(call)

    def is_done(self, future: Deferred[Any]) -> bool:
        return bool(future.called)


class BlobReader(ThreadedReader):
    """``lfsproxy.client.BlobReader`` with Deferreds; takes its arguments, and the reactor by ``reactor``.

    Reads in the reactor's thread pool.
    """

    def __init__(self, *args: Any, reactor: Any = None, **kwargs: Any) -> None:
        if reactor is None:
            from twisted.internet import reactor
        super().__init__(_Twisted(reactor), BlockingReader(*args, **kwargs))

    @classmethod
    def from_environment(cls, *args: Any, reactor: Any = None, **kwargs: Any) -> ThreadedReader:
        """See ``lfsproxy.client.BlobReader.from_environment``."""
        if reactor is None:
            from twisted.internet import reactor
        return ThreadedReader(_Twisted(reactor), BlockingReader.from_environment(*args, **kwargs))

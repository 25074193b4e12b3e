"""The reader for Twisted: its methods return Deferreds. ``await`` works on them in coroutines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import txaio.tx
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads

from lfsproxy.client.reader import BlobReader as BlockingReader
from lfsproxy.client.threaded import THREADS, ThreadedReader


class _Read(Deferred[bytes]):
    """A read's Deferred, which remembers that it was cancelled."""

    def __init__(self) -> None:
        super().__init__(self._cancelled)
        self.was_cancelled = False

    def _cancelled(self, cancelled: Deferred[bytes]) -> None:
        self.was_cancelled = True


class _Twisted:
    def __init__(self, reactor: Any) -> None:
        txa = txaio.tx.with_config(loop=reactor)  # type: ignore[no-untyped-call]  # of txaio
        self._reactor = reactor
        self.resolve: Callable[[Any, Any], None] = txa.resolve
        self.reject: Callable[[Any, Exception], None] = txa.reject

    def create_future(self, cancel: Callable[[], None]) -> Deferred[Any]:
        return Deferred(lambda cancelled: cancel())

    def create_read(self) -> _Read:
        return _Read()

    def take_back(self, future: _Read) -> bytes:
        return b""  # A Deferred hands its result on at once: there is no moment in which it could be lost.

    def from_thread(self, call: Callable[[], None]) -> None:
        IReactorFromThreads(self._reactor).callFromThread(call)

    def is_done(self, future: Deferred[Any]) -> bool:
        return bool(future.called)

    def has_result(self, future: _Read) -> bool:
        return bool(future.called) and not future.was_cancelled


class BlobReader(ThreadedReader):
    """``lfsproxy.client.BlobReader`` with Deferreds; takes its arguments, and the reactor by ``reactor``.

    Reads in threads of its own, at most ``threads``, not in the reactor's thread pool.
    """

    def __init__(self, *args: Any, reactor: Any = None, threads: int = THREADS, **kwargs: Any) -> None:
        if reactor is None:
            from twisted.internet import reactor
        super().__init__(_Twisted(reactor), BlockingReader(*args, **kwargs), threads)

    @classmethod
    def from_environment(
        cls, *args: Any, reactor: Any = None, threads: int = THREADS, **kwargs: Any
    ) -> ThreadedReader:
        """See ``lfsproxy.client.BlobReader.from_environment``."""
        if reactor is None:
            from twisted.internet import reactor
        return ThreadedReader(_Twisted(reactor), BlockingReader.from_environment(*args, **kwargs), threads)

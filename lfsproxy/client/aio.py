"""The reader for asyncio: its methods return futures. Loads no Twisted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

import txaio.aio

from lfsproxy.client.reader import BlobReader as BlockingReader
from lfsproxy.client.threaded import THREADS, ThreadedReader
from lfsproxy.errors import ReadInterrupted


class _Read(asyncio.Future[bytes]):
    """A read's future, which knows whether anybody took its bytes.

    A task that is cancelled after its future was resolved, but before it ran again, gets CancelledError and
    never sees the result. Such bytes can be taken back for the next read; then this future raises.
    """

    _taken = False
    _taken_back = False
    _awaiting = 0

    def result(self) -> bytes:
        if self._taken_back:
            raise ReadInterrupted(
                "these bytes were given to a later read, which began before they were taken"
            )
        data = super().result()
        if not self._awaiting:  # Else it is the task that asks before it runs again: it may yet be cancelled.
            self._taken = True
        return data

    def __await__(self) -> Generator[Any, None, bytes]:
        self._awaiting += 1
        try:
            yield from super().__await__()
        finally:
            self._awaiting -= 1
        return self.result()

    __iter__ = __await__

    def take_back(self) -> bytes:
        if self._taken or self._taken_back or self.cancelled() or self.exception() is not None:
            return b""
        self._taken_back = True
        return super().result()


class _Asyncio:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        txa = txaio.aio.with_config(loop=loop)  # type: ignore[no-untyped-call]  # of txaio
        self._loop = loop
        self.resolve: Callable[[Any, Any], None] = txa.resolve
        self.reject: Callable[[Any, Exception], None] = txa.reject

    def create_future(self, cancel: Callable[[], None]) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        future.add_done_callback(lambda done: cancel() if done.cancelled() else None)
        return future

    def create_read(self) -> _Read:
        return _Read(loop=self._loop)

    def take_back(self, future: _Read) -> bytes:
        return future.take_back()

    def from_thread(self, call: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(call)

    def is_done(self, future: asyncio.Future[Any]) -> bool:
        return future.done()

    def has_result(self, future: _Read) -> bool:
        return future.done() and not future.cancelled()


class BlobReader(ThreadedReader):
    """``lfsproxy.client.BlobReader`` with futures; takes its arguments. Make it where its loop runs.

    Reads in threads of its own, at most ``threads``, not in the loop's default executor.
    """

    def __init__(self, *args: Any, threads: int = THREADS, **kwargs: Any) -> None:
        super().__init__(_Asyncio(asyncio.get_running_loop()), BlockingReader(*args, **kwargs), threads)

    @classmethod
    def from_environment(cls, *args: Any, threads: int = THREADS, **kwargs: Any) -> ThreadedReader:
        """See ``lfsproxy.client.BlobReader.from_environment``."""
        reader = BlockingReader.from_environment(*args, **kwargs)
        return ThreadedReader(_Asyncio(asyncio.get_running_loop()), reader, threads)

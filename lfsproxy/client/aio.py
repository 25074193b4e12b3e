"""The reader for asyncio: its methods return futures. Loads no Twisted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import txaio.aio

from lfsproxy.client.reader import BlobReader as BlockingReader
from lfsproxy.client.threaded import ThreadedReader


class _Asyncio:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        txa = txaio.aio.with_config(loop=loop)  # type: ignore[no-untyped-call]  # of txaio
        self._loop = loop
        self.create_future: Callable[[], asyncio.Future[Any]] = txa.create_future
        self.resolve: Callable[[Any, Any], None] = txa.resolve
        self.reject: Callable[[Any, Exception], None] = txa.reject

    def in_thread(self, work: Callable[[], None]) -> None:
        self._loop.run_in_executor(None, work)

    def from_thread(self, call: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(call)

    def is_done(self, future: asyncio.Future[Any]) -> bool:
        return future.done()


class BlobReader(ThreadedReader):
    """``lfsproxy.client.BlobReader`` with futures; takes its arguments. Make it where its loop runs.

    Reads in the loop's default executor.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(_Asyncio(asyncio.get_running_loop()), BlockingReader(*args, **kwargs))

    @classmethod
    def from_environment(cls, *args: Any, **kwargs: Any) -> ThreadedReader:
        """See ``lfsproxy.client.BlobReader.from_environment``."""
        reader = BlockingReader.from_environment(*args, **kwargs)
        return ThreadedReader(_Asyncio(asyncio.get_running_loop()), reader)

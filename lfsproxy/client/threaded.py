"""One implementation for Twisted and asyncio: the blocking reader in threads, its results as txaio futures.

txaio allows one framework per process and a library does not choose it: ``lfsproxy.client.tx`` and
``lfsproxy.client.aio`` hand in txaio's module for theirs, and how it runs things in and from threads.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Protocol

from lfsproxy.client.reader import BlobReader

CHUNK_BYTES = 1024 * 1024


class Framework(Protocol):
    """An event loop's futures and threads. ``create_future``, ``resolve`` and ``reject`` are txaio's."""

    def create_future(self) -> Any: ...

    def resolve(self, future: Any, result: Any) -> None: ...

    def reject(self, future: Any, error: Exception) -> None: ...

    def in_thread(self, work: Callable[[], None]) -> None:
        """Run ``work`` in a thread."""

    def from_thread(self, call: Callable[[], None]) -> None:
        """In such a thread: have the event loop call ``call`` soon."""

    def is_done(self, future: Any) -> bool:
        """Whether the future has a result, or was cancelled."""


def run_in_thread(framework: Framework, call: Callable[..., Any], *args: Any) -> Any:
    """Call in a thread; the future gets what it returns or raises. Cancelling it does not stop the call."""
    future = framework.create_future()

    def deliver(settle: Callable[[Any, Any], None], result: Any) -> None:
        if not framework.is_done(future):
            settle(future, result)

    def work() -> None:
        try:
            result = call(*args)
        except Exception as error:
            failure = error
            framework.from_thread(lambda: deliver(framework.reject, failure))
        else:
            framework.from_thread(lambda: deliver(framework.resolve, result))

    framework.in_thread(work)
    return future


class ThreadedReader:
    """A BlobReader whose methods return futures of the framework. Takes BlobReader's arguments."""

    def __init__(self, framework: Framework, reader: BlobReader) -> None:
        self._framework = framework
        self._reader = reader

    def fetch(self, value: bytes | None) -> Any:
        """A future of ``BlobReader.fetch``: bytes, or None."""
        return run_in_thread(self._framework, self._reader.fetch, value)

    def resolve(self, value: bytes | None) -> Any:
        """A future of ``BlobReader.resolve``: Resolved."""
        return run_in_thread(self._framework, self._reader.resolve, value)

    def open(self, value: bytes | None) -> Any:
        """A future of a ThreadedStream, or of None where ``BlobReader.open`` returns None."""
        return run_in_thread(self._framework, self._open, value)

    def _open(self, value: bytes | None) -> ThreadedStream | None:
        file = self._reader.open(value)
        return None if file is None else ThreadedStream(self._framework, file)

    def close(self) -> None:
        """Close the connections that are kept for reuse."""
        self._reader.close()


class ThreadedStream:
    """A blob in chunks. Memory: one chunk; the next is asked for when ``read`` is called again."""

    def __init__(self, framework: Framework, file: io.BufferedIOBase) -> None:
        self._framework = framework
        self._file = file

    def read(self, size: int = CHUNK_BYTES) -> Any:
        """A future of up to ``size`` next bytes, empty only at the verified end.

        Fails with ChecksumMismatch, BlobTruncated or StoreUnavailable instead of a wrong end. Wait for one
        read before the next.
        """
        return run_in_thread(self._framework, self._file.read, size)

    def close(self) -> Any:
        """A future that is done when the connection is let go of; also before the end."""
        return run_in_thread(self._framework, self._file.close)

    def __aiter__(self) -> ThreadedStream:
        return self

    async def __anext__(self) -> bytes:
        data: bytes = await self.read()
        if not data:
            raise StopAsyncIteration
        return data

    async def __aenter__(self) -> ThreadedStream:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

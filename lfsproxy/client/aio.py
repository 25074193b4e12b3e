"""The reader for asyncio: its methods return futures. Loads no Twisted.

async with aio.BlobReader.from_environment() as reader:
    payload = await reader.fetch(record.value)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterable, Mapping
from typing import Any, Self, TypeVar, Unpack

import txaio.aio

from lfsproxy.client.blob import CHUNK_BYTES
from lfsproxy.client.chunks import LoopBlob, LoopStream
from lfsproxy.client.loops import resolved_ahead
from lfsproxy.client.options import EnvironmentOptions, ReaderOptions
from lfsproxy.client.reader import BlobReader as BlockingReader
from lfsproxy.client.recognise import DEFAULT_MAX_SIZE
from lfsproxy.client.records import CONCURRENCY, Ahead, ResolvedRecord
from lfsproxy.client.results import Progress, RecordCoordinates, Resolved, Value
from lfsproxy.client.threaded import THREADS, ThreadedReader
from lfsproxy.errors import ReadInterrupted

R = TypeVar("R")


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

    def create_opening(self, cancel: Callable[[], None]) -> Opening:
        future = Opening(loop=self._loop)
        future.add_done_callback(lambda done: cancel() if done.cancelled() else None)
        return future

    def create_read(self) -> _Read:
        return _Read(loop=self._loop)

    def take_back(self, future: _Read) -> bytes:
        return future.take_back()

    def from_thread(self, call: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(call)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._loop.create_task(coroutine)

    def is_done(self, future: asyncio.Future[Any]) -> bool:
        return future.done()

    def has_result(self, future: _Read) -> bool:
        return future.done() and not future.cancelled()


class AsyncStream(LoopStream):
    """A blob in chunks, as a future for each; ``async for`` and ``async with`` work on it."""

    def read(self, size: int | None = CHUNK_BYTES) -> asyncio.Future[bytes]:
        """See ``LoopStream.read``."""
        future: asyncio.Future[bytes] = super().read(size)
        return future

    def close(self) -> asyncio.Future[None]:
        """A future that is done when the connection is let go of; also before the end. Ends a read."""
        future: asyncio.Future[None] = super().close()
        return future


class AsyncBlob(LoopBlob):
    """``lfsproxy.client.Blob`` for asyncio: what it says, with ``await blob.read()`` and ``async for``."""

    stream: AsyncStream | None

    def read(self, size: int | None = CHUNK_BYTES) -> asyncio.Future[bytes]:
        """See ``AsyncStream.read``. Raises ValueError where ``stream`` is None."""
        future: asyncio.Future[bytes] = super().read(size)
        return future


class Opening(asyncio.Future[AsyncBlob]):
    """A future of a blob: ``await`` it, or ``async with`` it, which closes the blob in the end."""

    async def __aenter__(self) -> AsyncBlob:
        return await self

    async def __aexit__(self, *exception: object) -> None:
        await self.result().close()


class BlobReader(ThreadedReader):
    """``lfsproxy.client.BlobReader`` with futures; takes its arguments. Make it where its loop runs.

    Reads in threads of its own, at most ``threads``, not in the loop's default executor. ``on_resolve`` is
    called in these threads, ``on_progress`` in the event loop. An asynchronous context manager.
    """

    _stream_type = AsyncStream
    _blob_type = AsyncBlob

    def __init__(
        self, bucket: str | None = None, *, threads: int = THREADS, **options: Unpack[ReaderOptions]
    ) -> None:
        super().__init__(_framework(), BlockingReader(bucket, **options), threads)

    @classmethod
    def from_environment(
        cls,
        environment: Mapping[str, str] | None = None,
        *,
        threads: int = THREADS,
        **arguments: Unpack[EnvironmentOptions],
    ) -> Self:
        """See ``lfsproxy.client.BlobReader.from_environment``."""
        made = cls.__new__(cls)
        reader = BlockingReader.from_environment(environment, **arguments)
        ThreadedReader.__init__(made, _framework(), reader, threads)
        return made

    def fetch(
        self,
        value: Value | None,
        *,
        record: RecordCoordinates | None = None,
        on_progress: Progress | None = None,
    ) -> asyncio.Future[bytes | None]:
        """See ``lfsproxy.client.BlobReader.fetch``."""
        future: asyncio.Future[bytes | None] = super().fetch(value, record=record, on_progress=on_progress)
        return future

    def resolve(
        self,
        value: Value | None,
        *,
        record: RecordCoordinates | None = None,
        on_progress: Progress | None = None,
    ) -> asyncio.Future[Resolved]:
        """See ``lfsproxy.client.BlobReader.resolve``."""
        future: asyncio.Future[Resolved] = super().resolve(value, record=record, on_progress=on_progress)
        return future

    def open(
        self,
        value: Value | None,
        *,
        record: RecordCoordinates | None = None,
        on_progress: Progress | None = None,
    ) -> Opening:
        """See ``lfsproxy.client.BlobReader.open``: ``async with reader.open(value) as blob``."""
        future: Opening = super().open(value, record=record, on_progress=on_progress)
        return future

    def close(self) -> None:
        """Close the connections that are kept for reuse, and end idle threads."""
        super().close()


def resolve_records(
    reader: BlobReader,
    records: AsyncIterator[R] | Iterable[R],
    *,
    max_bytes: int = DEFAULT_MAX_SIZE,
    concurrency: int = CONCURRENCY,
) -> AsyncGenerator[ResolvedRecord[R], None]:
    """Each record with what ``reader.resolve`` makes of its value, fetched ahead, in order.

    ``records`` is an AIOKafkaConsumer, any asynchronous iterator of records, or those of one poll. At most
    ``concurrency`` blobs are fetched at a time. Memory: at most ``max_bytes`` of blobs, counted by their
    envelopes' content_length from a fetch's begin until its record is handed out, or one blob where that is
    larger. A record that fails is handed out in its place with its ``error``; those after it follow. What the
    consumer raises is raised after all records before it. Leave it by ``aclosing`` (contextlib): that ends
    the fetches.

    With automatic commits, records that were read ahead count as read: commit what was handed out yourself
    (``enable_auto_commit=False``).
    """
    return resolved_ahead(reader, records, Ahead(max_bytes, concurrency))


def _framework() -> _Asyncio:
    return _Asyncio(asyncio.get_running_loop())

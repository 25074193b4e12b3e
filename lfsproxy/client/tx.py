"""The reader and the uploader for Twisted, whose methods return Deferreds: ``await`` works on them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Mapping
from typing import Any, Self, TypeVar, Unpack

import txaio.tx
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads

from lfsproxy.client.blob import CHUNK_BYTES
from lfsproxy.client.chunks import LoopBlob, LoopStream
from lfsproxy.client.loops import resolved_ahead
from lfsproxy.client.options import EnvironmentOptions, ReaderOptions
from lfsproxy.client.reader import BlobReader as BlockingReader
from lfsproxy.client.recognise import DEFAULT_MAX_SIZE
from lfsproxy.client.records import CONCURRENCY, Ahead, ResolvedRecord
from lfsproxy.client.results import Progress, RecordCoordinates, Resolved, Value
from lfsproxy.client.threaded import THREADS, ThreadedReader
from lfsproxy.client.tx_upload import Uploader

__all__ = ["Blob", "BlobReader", "Opening", "Stream", "Uploader", "resolve_records"]

R = TypeVar("R")


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

    def create_opening(self, cancel: Callable[[], None]) -> Opening:
        return Opening(lambda cancelled: cancel())

    def create_read(self) -> _Read:
        return _Read()

    def take_back(self, future: _Read) -> bytes:
        return b""  # A Deferred hands its result on at once: there is no moment in which it could be lost.

    def from_thread(self, call: Callable[[], object]) -> None:
        IReactorFromThreads(self._reactor).callFromThread(call)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> Deferred[None]:
        return Deferred.fromCoroutine(coroutine)

    def is_done(self, future: Deferred[Any]) -> bool:
        return bool(future.called)

    def has_result(self, future: _Read) -> bool:
        return bool(future.called) and not future.was_cancelled


class Stream(LoopStream):
    """A blob in chunks, as a Deferred for each; ``async for`` and ``async with`` work on it."""

    def read(self, size: int | None = CHUNK_BYTES) -> Deferred[bytes]:
        """See ``LoopStream.read``."""
        future: Deferred[bytes] = super().read(size)
        return future

    def close(self) -> Deferred[None]:
        """A Deferred that fires when the connection is let go of; also before the end. Ends a read."""
        future: Deferred[None] = super().close()
        return future


class Blob(LoopBlob):
    """``lfsproxy.client.Blob`` for Twisted: what it says, with Deferreds."""

    stream: Stream | None

    def read(self, size: int | None = CHUNK_BYTES) -> Deferred[bytes]:
        """See ``Stream.read``. Raises ValueError where ``stream`` is None."""
        future: Deferred[bytes] = super().read(size)
        return future


class Opening(Deferred[Blob]):
    """A Deferred of a blob: ``await`` it, or ``async with`` it, which closes the blob in the end."""

    _blob: Blob | None = None

    async def __aenter__(self) -> Blob:
        self._blob = await self
        return self._blob

    async def __aexit__(self, *exception: object) -> None:
        if self._blob is not None:
            await self._blob.close()


class BlobReader(ThreadedReader):
    """``lfsproxy.client.BlobReader`` with Deferreds; takes its arguments, and the reactor by ``reactor``.

    Reads in threads of its own, at most ``threads``, not in the reactor's thread pool. ``on_resolve`` is
    called in these threads, ``on_progress`` in the reactor's. An asynchronous context manager.
    """

    _stream_type = Stream
    _blob_type = Blob

    def __init__(
        self,
        bucket: str | None = None,
        *,
        reactor: Any = None,
        threads: int = THREADS,
        **options: Unpack[ReaderOptions],
    ) -> None:
        super().__init__(_framework(reactor), BlockingReader(bucket, **options), threads)

    @classmethod
    def from_environment(
        cls,
        environment: Mapping[str, str] | None = None,
        *,
        reactor: Any = None,
        threads: int = THREADS,
        **arguments: Unpack[EnvironmentOptions],
    ) -> Self:
        """See ``lfsproxy.client.BlobReader.from_environment``."""
        made = cls.__new__(cls)
        reader = BlockingReader.from_environment(environment, **arguments)
        ThreadedReader.__init__(made, _framework(reactor), reader, threads)
        return made

    def fetch(
        self,
        value: Value | None,
        *,
        record: RecordCoordinates | None = None,
        on_progress: Progress | None = None,
    ) -> Deferred[bytes | None]:
        """See ``lfsproxy.client.BlobReader.fetch``."""
        future: Deferred[bytes | None] = super().fetch(value, record=record, on_progress=on_progress)
        return future

    def resolve(
        self,
        value: Value | None,
        *,
        record: RecordCoordinates | None = None,
        on_progress: Progress | None = None,
    ) -> Deferred[Resolved]:
        """See ``lfsproxy.client.BlobReader.resolve``."""
        future: Deferred[Resolved] = super().resolve(value, record=record, on_progress=on_progress)
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


def resolve_records(
    reader: BlobReader,
    records: AsyncIterator[R] | Iterable[R],
    *,
    max_bytes: int = DEFAULT_MAX_SIZE,
    concurrency: int = CONCURRENCY,
) -> AsyncGenerator[ResolvedRecord[R], None]:
    """See ``lfsproxy.client.aio.resolve_records``: for coroutines of Deferreds."""
    return resolved_ahead(reader, records, Ahead(max_bytes, concurrency))


def _framework(reactor: Any) -> _Twisted:
    if reactor is None:
        from twisted.internet import reactor
    return _Twisted(reactor)

"""The reader and the uploader for Twisted, whose methods return Deferreds: ``await`` works on them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Mapping
from typing import Any, Self, TypeVar, Unpack

import txaio.tx
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.web.iweb import IAgent

from lfsproxy.client.blob import CHUNK_BYTES
from lfsproxy.client.chunks import LoopBlob, LoopStream
from lfsproxy.client.loops import resolved_ahead
from lfsproxy.client.options import EnvironmentOptions, ReaderOptions
from lfsproxy.client.reader import KEPT_CONNECTIONS
from lfsproxy.client.reader import BlobReader as BlockingReader
from lfsproxy.client.recognise import DEFAULT_MAX_SIZE
from lfsproxy.client.records import CONCURRENCY, Ahead, Place, ResolvedRecord
from lfsproxy.client.results import Progress, RecordCoordinates, Resolved, Value
from lfsproxy.client.sources import HTTPSource
from lfsproxy.client.threaded import THREADS, ThreadedReader
from lfsproxy.client.tx_fetch import TreqGets
from lfsproxy.client.tx_read import TreqReader
from lfsproxy.client.tx_stop import Stop
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
        self.reactor = reactor
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
        IReactorFromThreads(self.reactor).callFromThread(call)

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

    def close(self) -> Deferred[None]:  # type: ignore[override]  # a coroutine would do nothing until awaited
        """A Deferred, as ``Stream.close`` gives; it need not be awaited."""
        return succeed(None) if self.stream is None else self.stream.close()


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

    S3, presigned URLs and the proxy are read by treq on the reactor, and so ``on_resolve`` is called there; a
    stream that nobody reads stalls its download. ``agent`` replaces Twisted's own, and with it what is said
    of certificates and connecting. Threads of its own, not those of the reactor, wait for credentials and
    for what signs URLs, and do all for other sources: then they call ``on_resolve``. At most ``threads``
    calls run at a time. ``on_progress`` is called in the reactor's thread. An asynchronous context manager.
    """

    _stream_type = Stream
    _blob_type = Blob
    _framework: _Twisted
    _agent: IAgent | None
    _treq: TreqReader | None

    def __init__(
        self,
        bucket: str | None = None,
        *,
        reactor: Any = None,
        threads: int = THREADS,
        agent: IAgent | None = None,
        **options: Unpack[ReaderOptions],
    ) -> None:
        self._made(BlockingReader(bucket, **options), reactor, threads, agent)

    def _made(self, reader: BlockingReader, reactor: Any, threads: int, agent: IAgent | None) -> None:
        super().__init__(_Twisted(_reactor(reactor)), reader, threads)
        self._agent, self._treq = agent, None

    @classmethod
    def from_environment(
        cls,
        environment: Mapping[str, str] | None = None,
        *,
        reactor: Any = None,
        threads: int = THREADS,
        agent: IAgent | None = None,
        **arguments: Unpack[EnvironmentOptions],
    ) -> Self:
        """See ``lfsproxy.client.BlobReader.from_environment``."""
        made = cls.__new__(cls)
        made._made(BlockingReader.from_environment(environment, **arguments), reactor, threads, agent)
        return made

    def fetch(
        self,
        value: Value | None,
        *,
        record: RecordCoordinates | None = None,
        on_progress: Progress | None = None,
    ) -> Deferred[bytes | None]:
        """See ``lfsproxy.client.BlobReader.fetch``."""
        future: Deferred[Resolved] = self.resolve(value, record=record, on_progress=on_progress)
        return future.addCallback(lambda resolved: resolved.value)

    def resolve(
        self,
        value: Value | None,
        *,
        record: RecordCoordinates | None = None,
        on_progress: Progress | None = None,
    ) -> Deferred[Resolved]:
        """See ``lfsproxy.client.BlobReader.resolve``."""
        treq = self._in_reactor()
        future: Deferred[Resolved] = (
            super().resolve(value, record=record, on_progress=on_progress)
            if treq is None
            else treq.future(lambda stop: treq.resolve(value, record, on_progress, stop))
        )
        return future

    def open(
        self,
        value: Value | None,
        *,
        record: RecordCoordinates | None = None,
        on_progress: Progress | None = None,
    ) -> Opening:
        """See ``lfsproxy.client.BlobReader.open``: ``async with reader.open(value) as blob``."""
        treq = self._in_reactor()
        if treq is None:
            threaded: Opening = super().open(value, record=record, on_progress=on_progress)
            return threaded

        async def opened(stop: Stop) -> Blob:
            found = await treq.open(value, record, on_progress, stop)
            stream = None if found.feed is None else Stream(self._framework, found.feed)
            return Blob(stream, found.envelope, found.missing)

        opening: Opening = treq.future(opened, Opening)
        return opening

    def resolve_place(
        self, place: Place[Any], ended: Callable[[None], None], failed: Callable[[Exception], None]
    ) -> None:
        if self._in_reactor() is None:
            super().resolve_place(place, ended, failed)
            return
        resolving = self.resolve(place.value, record=place.coordinates)
        place.cancel = resolving.cancel
        resolving.addCallback(place.came)
        resolving.addCallbacks(ended, lambda failure: failed(failure.value))

    def close(self) -> Deferred[None]:
        """Close the connections that are kept for reuse, and end idle threads."""
        super().close()
        return succeed(None) if self._treq is None else self._treq.close()

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    def _in_reactor(self) -> TreqReader | None:
        """What reads by treq; None for a source that blocks."""
        source = self._reader._source
        if not isinstance(source, HTTPSource) or not source.sends_question:
            return None
        if self._treq is None:
            reactor, (connect, read) = self._framework.reactor, self._reader._timeouts
            gets = TreqGets(reactor, connect, read, self._reader._ca_bundle, KEPT_CONNECTIONS, self._agent)
            threads = self._threads
            self._treq = TreqReader(self._reader, source, gets, reactor, threads.future, threads.most)
        return self._treq


def resolve_records(
    reader: BlobReader,
    records: AsyncIterator[R] | Iterable[R],
    *,
    max_bytes: int = DEFAULT_MAX_SIZE,
    concurrency: int = CONCURRENCY,
) -> AsyncGenerator[ResolvedRecord[R], None]:
    """See ``lfsproxy.client.aio.resolve_records``: for coroutines of Deferreds."""
    return resolved_ahead(reader, records, Ahead(max_bytes, concurrency))


def _reactor(given: Any) -> Any:
    if given is not None:
        return given
    from twisted.internet import reactor

    return reactor

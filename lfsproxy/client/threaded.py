"""One implementation for Twisted and asyncio: the blocking reader in threads, its results as txaio futures.

txaio allows one framework per process and a library does not choose it: ``lfsproxy.client.tx`` and
``lfsproxy.client.aio`` hand in txaio's module for theirs, and how it calls from threads. They also give the
types: what is Any here is their future.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Self

import attrs

from lfsproxy.client.cancelling import Cancellation
from lfsproxy.client.chunks import LoopBlob, LoopStream
from lfsproxy.client.reader import BlobReader
from lfsproxy.client.records import Place
from lfsproxy.client.results import Progress, RecordCoordinates, Value
from lfsproxy.client.threads import Framework, Threads
from lfsproxy.errors import ReadInterrupted

THREADS = 16


@attrs.frozen
class _ThreadedFeed:
    """A file that is read in threads."""

    threads: Threads
    file: io.BufferedIOBase
    cancellation: Cancellation

    def read(self, size: int, came: Callable[[bytes], None], failed: Callable[[Exception], None]) -> None:
        self.threads.run(lambda: self.file.read(size), came, failed)

    def close(self) -> Any:
        self.cancellation.cancel(closing=True)
        return self.threads.future(self.file.close)


class ThreadedReader:
    """A BlobReader whose methods return futures of the framework.

    At most ``threads`` calls run at a time; others wait for their turn. Cancelling a future of ``fetch``,
    ``resolve`` or ``open`` ends its call: the socket is shut, and nothing is tried again.
    """

    _stream_type: type[LoopStream] = LoopStream
    _blob_type: type[LoopBlob] = LoopBlob

    def __init__(self, framework: Framework, reader: BlobReader, threads: int = THREADS) -> None:
        if type(threads) is not int or threads < 1:
            raise ValueError(f"threads is {threads}, a whole number from 1 is needed")
        self._framework = framework
        self._reader = reader
        self._threads = Threads(framework, threads)

    def fetch(
        self,
        value: Value | None,
        *,
        record: RecordCoordinates | None = None,
        on_progress: Progress | None = None,
    ) -> Any:
        """A future of ``BlobReader.fetch``: bytes, or None. ``on_progress`` is called in the event loop,
        which logs what it raises."""
        told = self._told(on_progress)
        return self._started(
            lambda ends: self._reader.resolve(value, record=record, on_progress=told, cancellation=ends).value
        )

    def resolve(
        self,
        value: Value | None,
        *,
        record: RecordCoordinates | None = None,
        on_progress: Progress | None = None,
    ) -> Any:
        """A future of ``BlobReader.resolve``: Resolved. Arguments as of ``fetch``."""
        told = self._told(on_progress)
        return self._started(
            lambda ends: self._reader.resolve(value, record=record, on_progress=told, cancellation=ends)
        )

    def open(
        self,
        value: Value | None,
        *,
        record: RecordCoordinates | None = None,
        on_progress: Progress | None = None,
    ) -> Any:
        """A future of a blob to read from, as ``BlobReader.open``; also ``async with`` takes it.

        Arguments as of ``fetch``.
        """
        told = self._told(on_progress)

        def opened(ends: Cancellation) -> LoopBlob:
            blob = self._reader.open(value, record=record, on_progress=told, cancellation=ends)
            stream = (
                None
                if blob.stream is None
                else self._stream_type(self._framework, _ThreadedFeed(self._threads, blob.stream, ends))
            )
            return self._blob_type(stream, blob.envelope, blob.missing)

        def unwanted(blob: LoopBlob) -> None:
            if blob.stream is not None:
                blob.stream.close()

        return self._started(opened, unwanted, self._framework.create_opening)

    def resolve_place(
        self, place: Place[Any], ended: Callable[[None], None], failed: Callable[[Exception], None]
    ) -> None:
        """Fetch what is at a place, then call one of the others. ``place.cancel`` ends it."""
        self._threads.run(
            lambda: place.came(
                self._reader.resolve(place.value, record=place.coordinates, cancellation=place.cancellation)
            ),
            ended,
            failed,
        )

    def _told(self, on_progress: Progress | None) -> Progress | None:
        if on_progress is None:
            return None
        tell = on_progress
        return lambda size: self._framework.from_thread(lambda: tell(size))

    def _started(
        self,
        call: Callable[[Cancellation], Any],
        unwanted: Callable[[Any], None] = lambda result: None,
        create: Callable[[Callable[[], None]], Any] | None = None,
    ) -> Any:
        cancellation = Cancellation()

        def work() -> Any:
            if cancellation.cancelled:
                raise ReadInterrupted("cancelled before it began")
            return call(cancellation)

        return self._threads.future(work, cancellation.cancel, unwanted, create)

    def close(self) -> Any:
        """Close the connections that are kept for reuse, and end idle threads."""
        self._reader.close()
        self._threads.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.close()

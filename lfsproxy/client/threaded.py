"""One implementation for Twisted and asyncio: the blocking reader in threads, its results as txaio futures.

txaio allows one framework per process and a library does not choose it: ``lfsproxy.client.tx`` and
``lfsproxy.client.aio`` hand in txaio's module for theirs, and how it calls from threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lfsproxy.client.cancelling import Cancellation
from lfsproxy.client.chunks import ThreadedStream
from lfsproxy.client.reader import BlobReader
from lfsproxy.client.threads import Framework, Threads
from lfsproxy.errors import ReadInterrupted

THREADS = 16


class ThreadedReader:
    """A BlobReader whose methods return futures of the framework. Takes BlobReader's arguments.

    At most ``threads`` calls run at a time; others wait for their turn. Cancelling a future of ``fetch``,
    ``resolve`` or ``open`` ends its call: the socket is shut, and nothing is tried again.
    """

    def __init__(self, framework: Framework, reader: BlobReader, threads: int = THREADS) -> None:
        self._framework = framework
        self._reader = reader
        self._threads = Threads(framework, threads)

    def fetch(self, value: bytes | None) -> Any:
        """A future of ``BlobReader.fetch``: bytes, or None."""
        return self._started(lambda cancellation: self._reader.resolve(value, cancellation).value)

    def resolve(self, value: bytes | None) -> Any:
        """A future of ``BlobReader.resolve``: Resolved."""
        return self._started(lambda cancellation: self._reader.resolve(value, cancellation))

    def open(self, value: bytes | None) -> Any:
        """A future of a ThreadedStream, or of None where ``BlobReader.open`` returns None."""

        def opened(cancellation: Cancellation) -> ThreadedStream | None:
            file = self._reader.open(value, cancellation)
            return (
                None if file is None else ThreadedStream(self._framework, self._threads, file, cancellation)
            )

        return self._started(opened, lambda stream: None if stream is None else stream.close())

    def _started(
        self, call: Callable[[Cancellation], Any], unwanted: Callable[[Any], None] = lambda result: None
    ) -> Any:
        cancellation = Cancellation()

        def work() -> Any:
            if cancellation.cancelled:
                raise ReadInterrupted("cancelled before it began")
            return call(cancellation)

        return self._threads.future(work, cancellation.cancel, unwanted)

    def close(self) -> None:
        """Close the connections that are kept for reuse, and end idle threads."""
        self._reader.close()
        self._threads.close()

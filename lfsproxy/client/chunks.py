"""A blob in chunks, for event loops: no byte is lost to a read that is cancelled.

A thread reads on though the future that waits for it was cancelled; what it brings is the next read's. All of
this runs in the event loop, but for the file's own methods.
"""

from __future__ import annotations

import io
from typing import Any, Self

from lfsproxy.client.blob import CHUNK_BYTES
from lfsproxy.client.cancelling import Cancellation
from lfsproxy.client.threads import Framework, Threads
from lfsproxy.errors import ReadInterrupted


class ThreadedStream:
    """A blob in chunks. Memory: one chunk; the next is asked for when ``read`` is called again."""

    def __init__(
        self, framework: Framework, threads: Threads, file: io.BufferedIOBase, cancellation: Cancellation
    ) -> None:
        self._framework = framework
        self._threads = threads
        self._file = file
        self._cancellation = cancellation
        self._future: Any = None
        """Of the last read, and ``_size`` what it asked for; below 0: everything."""
        self._size = 0
        self._busy = False
        """Whether a thread reads."""
        self._held = memoryview(b"")
        """Read from the file, and given to nobody."""
        self._ended = False
        self._closed = False
        self._giving: Any = None
        """The read for which bytes are on their way between file, ``_held`` and future."""

    def read(self, size: int | None = CHUNK_BYTES) -> Any:
        """A future of the next ``size`` bytes (None or below 0: all); fewer only at the verified end.

        Fails with ChecksumMismatch, BlobTruncated or StoreUnavailable instead of a wrong end; then every
        later read fails, too. A read that is cancelled loses nothing: its bytes are the next one's. One at
        a time: a read while another one is waited for fails with RuntimeError. After an exception that came
        into the event loop from elsewhere, and may have lost bytes, reads fail with ReadInterrupted.
        """
        future = self._framework.create_read()
        if self._closed:
            self._framework.reject(future, ValueError("the blob is closed"))
            return future
        if self._giving is not None and not self._framework.has_result(self._giving):
            lost = "an exception in the event loop broke off a read: this stream cannot be read on"
            self._framework.reject(future, ReadInterrupted(lost))
            return future
        if self._future is not None and not self._framework.is_done(self._future):
            self._framework.reject(future, RuntimeError("another read of this blob is waited for"))
            return future
        last, self._future, self._giving = self._future, future, future
        if last is not None:
            self._hold(self._framework.take_back(last), self._held)
        self._size = -1 if size is None or size < 0 else size
        self._serve()
        self._giving = None
        return future

    def _serve(self) -> None:
        """Give the read what it asked for, if it is there; else have a thread fetch the rest."""
        if self._busy or self._framework.is_done(self._future):
            return
        missing = -1 if self._size < 0 else self._size - len(self._held)
        if self._ended or (self._size >= 0 and missing <= 0):
            end = len(self._held) if self._size < 0 else self._size
            data, self._held = self._held[:end], self._held[end:]
            self._framework.resolve(self._future, _uncopied(data))
            return
        self._busy = True

        def came(data: bytes) -> None:
            self._giving, self._busy = self._future, False
            self._ended = missing < 0 or len(data) < missing
            self._hold(self._held, data)
            self._serve()
            self._giving = None

        self._threads.run(lambda: self._file.read(missing), came, self._failed)

    def _hold(self, first: Any, second: Any) -> None:
        self._held = (
            memoryview(bytes(first) + bytes(second)) if first and second else memoryview(first or second)
        )

    def _failed(self, error: Exception) -> None:
        """The file raises this again at each read: where nobody waits, the next one is told."""
        self._busy = False
        self._held = memoryview(b"")
        if not self._framework.is_done(self._future):
            self._framework.reject(self._future, error)

    def close(self) -> Any:
        """A future that is done when the connection is let go of; also before the end. Ends a read."""
        self._closed = True
        self._cancellation.cancel(closing=True)
        return self._threads.future(self._file.close)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        data: bytes = await self.read()
        if not data:
            raise StopAsyncIteration
        return data

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()


def _uncopied(data: memoryview) -> bytes:
    """The bytes that a view is of all of: a blob that was read at once is not held twice."""
    whole = data.obj
    return whole if isinstance(whole, bytes) and len(whole) == len(data) else bytes(data)

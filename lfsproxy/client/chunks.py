"""A blob in chunks, for event loops: no byte is lost to a read that is cancelled.

What brings the bytes reads on though the future that waits for them was cancelled; what it brings is the next
read's. All of this runs in the event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, Self

import attrs

from lfsproxy.client.blob import CHUNK_BYTES, NO_BYTES
from lfsproxy.client.threads import Framework
from lfsproxy.envelope import Envelope
from lfsproxy.errors import ReadInterrupted


class Feed(Protocol):
    """Where a stream's bytes come from: by blocking reads in threads, or in the event loop itself."""

    def read(self, size: int, came: Callable[[bytes], None], failed: Callable[[Exception], None]) -> None:
        """Have ``came`` called with the next ``size`` bytes (below 0: all), fewer only at the verified end.

        Or ``failed``, and then again at each later read. One at a time.
        """

    def close(self) -> Any:
        """Let go of the connection, also while a read is under way: a future that is done when it is."""


class LoopStream:
    """A blob in chunks. Memory: one chunk; the next is asked for when ``read`` is called again."""

    def __init__(self, framework: Framework, feed: Feed) -> None:
        self._framework = framework
        self._feed = feed
        self._future: Any = None
        """Of the last read, and ``_size`` what it asked for; below 0: everything."""
        self._size = 0
        self._busy = False
        """Whether bytes are asked for."""
        self._held = memoryview(b"")
        """Read from the feed, and given to nobody."""
        self._ended = False
        self._closed = False
        self._giving: Any = None
        """The read for which bytes are on their way between feed, ``_held`` and future."""

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
        """Give the read what it asked for, if it is there; else ask for the rest."""
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

        self._feed.read(missing, came, self._failed)

    def _hold(self, first: Any, second: Any) -> None:
        self._held = (
            memoryview(bytes(first) + bytes(second)) if first and second else memoryview(first or second)
        )

    def _failed(self, error: Exception) -> None:
        """The feed fails so again at each read: where nobody waits, the next one is told."""
        self._busy = False
        self._held = memoryview(b"")
        if not self._framework.is_done(self._future):
            self._framework.reject(self._future, error)

    def close(self) -> Any:
        """A future that is done when the connection is let go of; also before the end. Ends a read."""
        self._closed = True
        return self._feed.close()

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


@attrs.frozen
class LoopBlob:
    """``lfsproxy.client.Blob`` for an event loop: its stream, and ``read``, give futures.

    ``async for`` over it gives chunks of up to 1 MiB, ``async with`` closes it.
    """

    stream: Any
    envelope: Envelope | None = None
    missing: bool = False

    def read(self, size: int | None = CHUNK_BYTES) -> Any:
        """See the stream's ``read``. Raises ValueError where ``stream`` is None."""
        if self.stream is None:
            raise ValueError(NO_BYTES)
        return self.stream.read(size)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        data: bytes = await self.read()
        if not data:
            raise StopAsyncIteration
        return data

    async def __aenter__(self) -> Self:
        return self

    async def close(self) -> None:
        """Let go of the connection; also before the end. Ends a read."""
        if self.stream is not None:
            await self.stream.close()

    async def __aexit__(self, *exception: object) -> None:
        await self.close()


def _uncopied(data: memoryview) -> bytes:
    """The bytes that a view is of all of: a blob that was read at once is not held twice."""
    whole = data.obj
    return whole if isinstance(whole, bytes) and len(whole) == len(data) else bytes(data)

"""The file that a reader's user has in hand: nothing that breaks off a read is followed by a clean end.

A signal handler that raises, MemoryError, KeyboardInterrupt: they come between any two steps, here or in
the io module, which then drops what it had gathered. So a read marks the file first and takes the mark away
as its very last step; a file that is found marked is not read on.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from threading import get_ident
from typing import Any, TypeVar

from lfsproxy.client.stream import BlobStream
from lfsproxy.errors import LfsError

BUFFER_BYTES = 256 * 1024

T = TypeVar("T")


class BlobFile(io.BufferedReader):
    """A blob as a buffered file. Raises as BlobStream does, and goes on raising after a failure.

    After a read that was broken off by any other exception every later one raises ReadInterrupted. One
    thread at a time: a read while another thread reads raises RuntimeError.
    """

    def __init__(self, stream: BlobStream) -> None:
        super().__init__(stream, BUFFER_BYTES)
        self._stream = stream
        self._reading: int | None = None
        """The thread that reads: no read of it that came to its end leaves this behind."""

    def read(self, size: int | None = -1, /) -> bytes:
        return self._whole(super().read, size)

    def read1(self, size: int = -1, /) -> bytes:
        return self._whole(super().read1, size)

    def readinto(self, buffer: Any, /) -> int:
        return self._whole(super().readinto, buffer)

    def readinto1(self, buffer: Any, /) -> int:
        return self._whole(super().readinto1, buffer)

    def peek(self, size: int = 0, /) -> bytes:
        return self._whole(super().peek, size)

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._whole(super().readline, size)

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        return self._whole(self._lines, hint or -1)

    def detach(self) -> io.RawIOBase:
        """Raises io.UnsupportedOperation: what is buffered would be lost."""
        raise io.UnsupportedOperation("detach")

    def _lines(self, hint: int) -> list[bytes]:
        lines: list[bytes] = []
        size = 0
        while (hint <= 0 or size < hint) and (line := super().readline()):
            lines.append(line)
            size += len(line)
        return lines

    def _whole(self, call: Callable[..., T], *arguments: Any) -> T:
        """``call``'s result, or an exception after which nothing can be read."""
        if self._reading not in (None, get_ident()):
            raise RuntimeError("another thread is reading this blob")
        if self._reading is not None:
            raise self._stream.interrupt()
        if self._stream.error is not None and not self.closed:
            raise self._stream.error
        self._reading = get_ident()
        try:
            result = call(*arguments)
        except LfsError:
            self._reading = None  # The stream goes on raising it.
            raise
        except BaseException as error:
            if not self.closed:
                self._stream.interrupt(error)
            self._reading = None
            raise
        # From here to the return Python calls nothing, and so looks for no signal.
        self._reading = None
        return result

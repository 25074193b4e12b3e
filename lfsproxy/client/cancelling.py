"""A blob's read that another thread may end: its socket is shut, and nothing is tried again.

What is not cut short: looking up a name, connecting and greeting by TLS (``connect_timeout`` bounds these),
and botocore's search for credentials.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection


class Cancellation:
    """Ends the read that it was handed to. May be cancelled from any thread, and more than once."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._closing = False
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    @property
    def given_up(self) -> str | None:
        """How it was ended, for the hook: closed by its reader, or cancelled. None: it was not."""
        return ("closed" if self._closing else "cancelled") if self.cancelled else None

    def cancel(self, closing: bool = False) -> None:
        """Shut the socket of the read, and end its pause between two tries. Does not wait for it."""
        with self._lock:
            self._closing = closing if not self.cancelled else self._closing
            self._cancelled.set()
            self._shut()

    def pause(self, seconds: float) -> None:
        """Wait so long, or until it is cancelled."""
        self._cancelled.wait(seconds)

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Inside, the connections of this thread show their sockets to this cancellation."""
        token = _asking.set(self)
        try:
            yield
        finally:
            _asking.reset(token)

    def watch(self, sock: socket.socket | None) -> None:
        """This is the read's socket now; None: the connection was let go of."""
        with self._lock:
            self._socket = sock
            if self.cancelled:
                self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            # Of TLS, too, only the socket: its own shutdown takes the session from under the reading thread.
            with contextlib.suppress(OSError):  # It is closed already.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


_asking: ContextVar[Cancellation | None] = ContextVar("_asking", default=None)


class _Shown:
    """A connection that shows its socket to the cancellation of whoever uses it."""

    sock: socket.socket | None

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]  # of the connection class that is mixed in
        self._show()

    def request(self, *args: Any, **kwargs: Any) -> None:
        self._show()
        super().request(*args, **kwargs)  # type: ignore[misc]  # see above

    def _show(self) -> None:
        cancellation = _asking.get()
        if cancellation is not None and self.sock is not None:
            cancellation.watch(self.sock)


class _ShownHTTP(_Shown, HTTPConnection):
    pass


class _ShownHTTPS(_Shown, HTTPSConnection):
    pass


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _ShownHTTP


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _ShownHTTPS


def cancellable_pool(**arguments: Any) -> urllib3.PoolManager:
    """A PoolManager, whose arguments it takes, with connections that a Cancellation can shut."""
    pool = urllib3.PoolManager(**arguments)
    pool.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
    return pool

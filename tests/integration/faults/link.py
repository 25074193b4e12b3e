"""Stands between two sides of TCP connections, and misbehaves while it is told to."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from random import Random

import attrs

HOST = "127.0.0.1"
PIECE = 64 * 1024
TICK = 0.05


@attrs.frozen
class Trouble:
    """``late`` is seconds for each piece of bytes, ``rate`` bytes a second in each direction (0: any).
    ``cut`` resets a connection once so many bytes at the most have passed, at random. ``mute``: bytes vanish.
    """

    late: float = 0.0
    rate: int = 0
    cut: int = 0
    mute: bool = False


class Link:
    """Listens at ``port`` and forwards to ``target``. ``struck`` counts what it has done wrong.

    ``close`` ends it. ``name`` is how the proxy is to call it.
    """

    name = "localhost"

    def __init__(self, target: int, random: Random) -> None:
        self.target = target
        self.struck = 0
        self._random = random
        self._trouble = Trouble()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server((HOST, 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections, and reset those that are open."""
        # Closing alone would not wake the thread that waits for it.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset()

    def reset(self) -> None:
        """Reset every connection that is open. New ones are taken at once."""
        for each in list(self._open):
            abort(each)

    @contextlib.contextmanager
    def in_trouble(self, trouble: Trouble) -> Iterator[None]:
        """Misbehave meanwhile. Connections whose bytes vanished are reset in the end: the two sides do not
        agree any more on what was said."""
        self._trouble = trouble
        try:
            yield
        finally:
            self._trouble = Trouble()
            if trouble.mute:
                self.reset()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._begin, args=(client,), daemon=True).start()

    def _begin(self, client: socket.socket) -> None:
        """One connection, in a thread of its own."""
        try:
            server = socket.create_connection((HOST, self.target))
        except OSError:
            abort(client)
            return
        self._open |= {client, server}
        pumps = [threading.Thread(target=self._pump, args=(server, client), daemon=True)]
        pumps[0].start()
        self._pump(client, server)
        pumps[0].join()
        self._forget(client, server)

    def _forget(self, *sockets: socket.socket) -> None:
        self._open -= set(sockets)
        for each in sockets:
            each.close()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        left = 0
        seen = Trouble()
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE):
                trouble = self._trouble
                if trouble is not seen:
                    seen, left = trouble, self._random.randint(1, trouble.cut) if trouble.cut else 0
                if trouble.mute:
                    self.struck += 1
                    continue
                if trouble.late or trouble.rate:
                    self.struck += 1
                    time.sleep(trouble.late + (len(data) / trouble.rate if trouble.rate else 0))
                if trouble.cut and len(data) >= left:
                    self.struck += 1
                    sink.sendall(data[:left])
                    abort(source)
                    abort(sink)
                    return
                left -= len(data)
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def abort(one: socket.socket) -> None:
    """End a connection by a reset, as a router does that forgot it; its thread wakes up."""
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # No FIN: only the thread that reads is to know.
        one.shutdown(socket.SHUT_RD)
    with contextlib.suppress(OSError):
        one.close()

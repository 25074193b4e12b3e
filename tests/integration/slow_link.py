"""A slow network, as before the S3 server: forwards connections at so many bytes per second."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

HOST = "127.0.0.1"
TICK = 0.05


class SlowLink:
    """Listens at ``endpoint``; what it takes goes to ``target`` at ``rate`` bytes a second per connection.

    Answers are not slowed down. ``passed`` counts what was forwarded. Use it as a context manager.
    """

    def __init__(self, target: str, rate: int) -> None:
        host, _, port = target.removeprefix("http://").rpartition(":")
        self._target = (host, int(port))
        self._rate = rate
        self.passed = 0
        self._open: set[socket.socket] = set()
        self._listener = socket.socket()
        # Else the kernel would take megabytes at once.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        self._listener.bind((HOST, 0))
        self._listener.listen()
        # By the target's own name: S3Proxy takes any other for a bucket's.
        self.endpoint = f"http://{host}:{self._listener.getsockname()[1]}"

    def __enter__(self) -> SlowLink:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def cut(self) -> None:
        """Break every connection that is open. New ones are taken at once."""
        for each in list(self._open):
            with contextlib.suppress(OSError):
                # A reset, as from a router that forgot the connection.
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # Closing alone would not wake the thread that waits for it.
                each.shutdown(socket.SHUT_RDWR)
                each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._open |= {client, server}
                for pair in ((client, server, self._rate), (server, client, 0)):
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, rate: int) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(int(rate * TICK) if rate else 65536):
                sink.sendall(data)
                if rate:
                    self.passed += len(data)
                    time.sleep(len(data) / rate)
        self._open -= {source, sink}
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

"""A slow network between the proxy and its S3 server: forwards connections at so many bytes per second."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

HOST = "127.0.0.1"
TICK = 0.05


class SlowLink:
    """Listens at ``endpoint``; what it takes goes to ``target`` at ``rate`` bytes a second per connection.

    Answers are not slowed down. Use it as a context manager.
    """

    def __init__(self, target: str, rate: int) -> None:
        host, _, port = target.removeprefix("http://").rpartition(":")
        self._target = (host, int(port))
        self._rate = rate
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

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                for pair in ((client, server, self._rate), (server, client, 0)):
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket, rate: int) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(int(rate * TICK) if rate else 65536):
                sink.sendall(data)
                if rate:
                    time.sleep(len(data) / rate)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

"""Servers that are not what a command expects, each on a free port, in threads of this process."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

from tests.certificates import Issued

QUIET_SECONDS = 0.3
"""So long does a client say nothing when its request is over."""
RESET = b"\1\0\0\0\0\0\0\0"


class Stranger:
    """Serves each connection by ``serve``; ``taken`` counts them. ``close`` ends it."""

    def __init__(self, serve: Callable[[Any], None], certificate: Issued | None = None) -> None:
        self._serve = serve
        self._tls = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate.certificate, certificate.key)
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port: int = self._listening.getsockname()[1]
        self.taken = 0
        Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no connection any more."""
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.taken += 1
            Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        try:
            with (
                connection
                if self._tls is None
                else self._tls.wrap_socket(connection, server_side=True) as met
            ):
                self._serve(met)
        except OSError:
            # The client has seen enough.
            return


def _read_all(connection: socket.socket) -> None:
    connection.settimeout(QUIET_SECONDS)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return


def says(speech: bytes, reads: bool = True) -> Callable[[socket.socket], None]:
    """Says always the same: when the request is over, or at once."""

    def serve(connection: socket.socket) -> None:
        if reads:
            _read_all(connection)
        connection.sendall(speech)
        if not reads:
            _read_all(connection)

    return serve


def page(status: str, body: bytes) -> bytes:
    """An HTTP answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def hangs(connection: socket.socket) -> None:
    """Takes bytes, and never answers."""
    while connection.recv(65536):
        pass


def dies(connection: socket.socket) -> None:
    """Resets the connection in the middle of a request."""
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def hangs_up(connection: socket.socket) -> None:
    """Reads the first bytes, and closes."""
    connection.recv(65536)
    time.sleep(0.05)


def shortens(file: Path, size: int) -> Callable[[socket.socket], None]:
    """Has the file that is being sent cut to ``size`` bytes when the request has begun."""

    def serve(connection: socket.socket) -> None:
        connection.recv(1)
        with open(file, "r+b") as opened:
            opened.truncate(size)
        _read_all(connection)

    return serve

"""A way to the S3 server that holds one request, or its answer: a test can kill the proxy just there."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType

HOST = "127.0.0.1"


class HoldingLink:
    """Listens at ``endpoint`` and forwards to ``target``, a URL, until a request's head has ``marker``.

    With ``answer`` False that request never arrives; with True it does, and its answer never comes back.
    ``held`` is set then, once: every other connection goes on. Use it as a context manager.
    """

    def __init__(self, target: str, marker: bytes, *, answer: bool) -> None:
        host, _, port = target.removeprefix("http://").rpartition(":")
        self.held = threading.Event()
        self._target = (host, int(port))
        self._marker = marker
        self._answer = answer
        self._listener = socket.create_server((HOST, 0))
        # By the target's own name: S3Proxy takes any other for a bucket's.
        self.endpoint = f"http://{host}:{self._listener.getsockname()[1]}"

    def __enter__(self) -> HoldingLink:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                mute = threading.Event()
                threading.Thread(target=self._requests, args=(client, server, mute), daemon=True).start()
                threading.Thread(target=self._answers, args=(server, client, mute), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket, mute: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if self._marker in data and not self.held.is_set():
                    mute.set()
                    if not self._answer:
                        self.held.set()
                        # Nothing more of this connection: its client is about to die.
                        while client.recv(65536):
                            pass
                        break
                server.sendall(data)
        _shut(client, server)

    def _answers(self, server: socket.socket, client: socket.socket, mute: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if mute.is_set():
                    # The store has acted on the request by now.
                    self.held.set()
                else:
                    client.sendall(data)
        _shut(client, server)


def _shut(*sockets: socket.socket) -> None:
    for each in sockets:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)

"""A small HTTP server in the proxy's place, for tests of uploads: it keeps what came, and answers as told."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.client.doubles import envelope_of

DATA = b"0123456789" * 100_000


class Proxy(BaseHTTPRequestHandler):
    """Answers as the test says: ``server.status``, ``server.body``; with ``server.early`` before the body.

    With ``server.hang_up`` it reads the body and closes without an answer.
    """

    server: Any
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = self.server
        server.paths.append(self.path)
        server.headers.append(dict(self.headers.items()))
        self.close_connection = True
        if not server.early:
            body = self.read()
            if body is None or server.hang_up:
                return
            server.bodies.append(body)
        self.send_response(server.status)
        self.send_header("Content-Length", str(len(server.body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(server.body)

    def read(self) -> bytes | None:
        """The body; None where it breaks off."""
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        body = b""
        while size := int(self.rfile.readline() or b"-1", 16):
            if size < 0:
                return None
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def answer(data: bytes, **fields: Any) -> bytes:
    envelope = json.loads(envelope_of(data, **fields).to_bytes())
    place = {"topic": "demo", "partition": 2, "offset": 41, "timestamp": 7}
    return json.dumps({**place, "envelope": envelope}).encode()


class Server(HTTPServer):
    """What the test wants answered, and what came."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.status, self.body, self.early = 201, answer(DATA), False
        self.hang_up = False
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


def start_proxy(test: SynchronousTestCase) -> Server:
    """A server in a thread that ends with the test."""
    server = Server(("127.0.0.1", 0), Proxy)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    test.addCleanup(server.server_close)
    test.addCleanup(thread.join)
    test.addCleanup(server.shutdown)
    return server

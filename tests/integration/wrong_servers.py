"""Servers that are not what an S3 endpoint should be: another web server, a wrong clock, a wrong certificate.

Each runs in threads of this process, on a free port of the loopback interface.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lfsproxy.devstack.ports import HOST
from tests.certificates import Issued

HOUR = 3600


class WrongServer:
    """Answers every request with one status, headers and body, over TLS where it has a certificate."""

    def __init__(
        self,
        status: int,
        body: bytes,
        headers: Mapping[str, str],
        certificate: Issued | None = None,
        now: Callable[[], str] = formatdate,
    ) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response_only(status)
                for name, value in {**headers, "Date": now(), "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: the tests' output is not this server's log."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """Nothing: handshakes that fail are what these servers are for."""

        self._server = Server((HOST, 0), Handler)
        self.port = self._server.server_port
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.certificate, certificate.key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()


def other_web_server(certificate: Issued | None = None) -> WrongServer:
    """A web server that knows nothing of buckets."""
    page = b"<!DOCTYPE html><html><body>Not found</body></html>"
    return WrongServer(404, page, {"Content-Type": "text/html", "Server": "nginx"}, certificate)


def s3_that_refuses(
    code: str, message: str, status: int = 403, hours: float = 0, headers: Mapping[str, str] | None = None
) -> WrongServer:
    """A store that answers everything with one error; its clock is ``hours`` ahead."""
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'

    def now() -> str:
        return formatdate(time.time() + hours * HOUR, usegmt=True)

    shown = {"Content-Type": "application/xml", "x-amz-request-id": "4442587FB7D0A2F9", **(headers or {})}
    return WrongServer(status, body.encode(), shown, now=now)

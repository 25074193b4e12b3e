"""A small OAuth 2.0 token server with keys that brokers verify; a query says what is to be wrong.

    server = TokenServer(SigningKey())
    server.url(seconds="4")            # tokens of four seconds
    server.keys                        # the URL of its keys (RFC 7517), for a broker

| in the query | what |
|---|---|
| seconds | how long a token lives |
| delay | seconds before the answer |
| audience | whom the token is for |
| skew | seconds by which this server's clock is ahead |

It runs in threads of this process, on a port of the loopback interface, which it keeps over restarts.
"""

from __future__ import annotations

import base64
import json
import math
import ssl
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from lfsproxy.devstack.ports import HOST
from tests.certificates import Issued

CLIENT, SECRET, SCOPE, AUDIENCE = "lfsproxy", "c/s+e=t", "kafka", "kafka"
ISSUER = "https://sso.example"
"""Who tokens say has made them (iss): Kafka from 4.4 on wants to be told."""


class SigningKey:
    """Signs tokens with ES256 (RFC 7518)."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())

    def jwk(self) -> dict[str, str]:
        """The public key as JSON."""
        numbers = self._key.public_key().public_numbers()
        x, y = (_base64(number.to_bytes(32)) for number in (numbers.x, numbers.y))
        return {"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "1", "x": x, "y": y}

    def token(self, subject: str, seconds: float = 600, audience: str = AUDIENCE, skew: float = 0) -> str:
        """A token that lives so long."""
        now = time.time() + skew
        begins, ends = math.floor(now), math.ceil(now + seconds)
        claims = {"iss": ISSUER, "sub": subject, "aud": audience, "iat": begins, "nbf": begins, "exp": ends}
        parts = ({"alg": "ES256", "kid": "1", "typ": "JWT"}, claims)
        signed = ".".join(_base64(json.dumps(part).encode()) for part in parts)
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{_base64(r.to_bytes(32) + s.to_bytes(32))}"


class TokenServer:
    """``issued`` are the tokens that were given. It speaks TLS where it has a certificate."""

    def __init__(self, key: SigningKey, certificate: Issued | None = None) -> None:
        self.key = key
        self.issued: list[str] = []
        self._certificate = certificate
        self.port = 0
        self.start()

    def start(self) -> None:
        """Listen, at the same port as before."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(200, {"keys": [server.key.jwk()]})

            def do_POST(self) -> None:
                query = dict(parse_qsl(urlsplit(self.path).query))
                form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                time.sleep(float(query.get("delay", 0)))
                skew = float(query.get("skew", 0))
                self.answer(*server.answer(query, form, self.headers["Authorization"]), skew)

            def answer(self, status: int, members: object, skew: float = 0) -> None:
                body = json.dumps(members).encode()
                self.send_response_only(status)
                self.send_header("Date", formatdate(time.time() + skew, usegmt=True))
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing: the tests' output is not this server's log."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Nothing: clients that leave are part of the tests."""

        self._server = Server((HOST, self.port), Handler)
        self.port = self._server.server_port
        if self._certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._certificate.certificate, self._certificate.key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, query: dict[str, str], form: dict[str, str], authorization: str) -> tuple[int, object]:
        """Status and members of the answer."""
        pair = f"{CLIENT}:{urlencode({'': SECRET})[1:]}"
        if authorization != f"Basic {base64.b64encode(pair.encode()).decode()}":
            return 401, {"error": "invalid_client", "error_description": "no such client, or a wrong secret"}
        if form.get("scope") != SCOPE:
            return 400, {"error": "invalid_scope"}
        seconds = float(query.get("seconds", 600))
        token = self.key.token(CLIENT, seconds, query.get("audience", AUDIENCE), float(query.get("skew", 0)))
        self.issued.append(token)
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": seconds}

    @property
    def keys(self) -> str:
        """Where its keys are."""
        return f"{self._scheme}://{HOST}:{self.port}/keys"

    def url(self, **query: str) -> str:
        """Where tokens are given."""
        return f"{self._scheme}://{HOST}:{self.port}/token?{urlencode(query)}"

    @property
    def _scheme(self) -> str:
        return "http" if self._certificate is None else "https"

    def stop(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")

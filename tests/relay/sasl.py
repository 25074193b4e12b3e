"""SASL for the scripted cluster: a server that checks passwords, and the requests of clients that sign in."""

from __future__ import annotations

import struct
from collections import deque

from lfsproxy.wire.apis import KafkaApi
from tests.relay.broker import Request
from tests.relay.records import batch, lfs, produce, request
from tests.relay.rig import RelayTestCase

SASL_HANDSHAKE, SASL_AUTHENTICATE = KafkaApi.SASL_HANDSHAKE, KafkaApi.SASL_AUTHENTICATE
UNSUPPORTED_MECHANISM, AUTHENTICATION_FAILED = 33, 58


class SaslServer:
    """The brokers' side, for ``Cluster.sasl``.

    PLAIN is checked against ``password``; of other mechanisms the test says the ``steps``: error code and
    auth bytes of each answer to come. ``attempts`` counts handshakes.
    """

    def __init__(self) -> None:
        self.mechanisms: tuple[str, ...] = ("PLAIN", "SCRAM-SHA-256", "OAUTHBEARER", "GSSAPI")
        self.password = b"hunter2"
        self.lifetime_ms = 0
        self.attempts = 0
        self.steps: deque[tuple[int, bytes]] = deque()

    def __call__(self, request: Request) -> bytes:
        if request.api_key == SASL_HANDSHAKE:
            return self._handshake(request.body)
        if request.version < 2:
            token = request.body[4:]
            return self._authenticated(request.version, *self._step(token))
        return b"\0" + self._authenticated(request.version, *self._step(request.body[2:-1])) + b"\0"

    def _handshake(self, body: bytes) -> bytes:
        self.attempts += 1
        self._mechanism = body[2:].decode()
        code = 0 if self._mechanism in self.mechanisms else UNSUPPORTED_MECHANISM
        names = b"".join(struct.pack(">h", len(each)) + each.encode() for each in self.mechanisms)
        return struct.pack(">hi", code, len(self.mechanisms)) + names

    def _step(self, token: bytes) -> tuple[int, bytes]:
        if self.steps:
            return self.steps.popleft()
        right = token.split(b"\0")[-1] == self.password
        return (0, b"") if right else (AUTHENTICATION_FAILED, b"")

    def _authenticated(self, version: int, code: int, auth_bytes: bytes) -> bytes:
        message = b"wrong password" if code else None
        if version < 2:
            text = struct.pack(">h", -1) if message is None else struct.pack(">h", len(message)) + message
            data = struct.pack(">i", len(auth_bytes)) + auth_bytes
        else:
            text = b"\0" if message is None else bytes([len(message) + 1]) + message
            data = bytes([len(auth_bytes) + 1]) + auth_bytes
        lifetime = struct.pack(">q", self.lifetime_ms) if version >= 1 else b""
        return struct.pack(">h", code) + text + data + lifetime


def handshake(correlation_id: int, mechanism: str = "PLAIN") -> bytes:
    """SaslHandshake version 1."""
    name = mechanism.encode()
    return request(SASL_HANDSHAKE, 1, correlation_id, struct.pack(">h", len(name)) + name)


def authenticate(correlation_id: int, token: bytes = b"\0user\0hunter2", version: int = 1) -> bytes:
    """SaslAuthenticate, without the tagged fields of a version 2 header's end but with its own."""
    if version < 2:
        return request(SASL_AUTHENTICATE, version, correlation_id, struct.pack(">i", len(token)) + token)
    return request(
        SASL_AUTHENTICATE, version, correlation_id, b"\0" + bytes([len(token) + 1]) + token + b"\0"
    )


OWN = {
    "kafka_security_protocol": "SASL_PLAINTEXT",
    "kafka_sasl_mechanism": "PLAIN",
    "kafka_sasl_username": "proxy",
    "kafka_sasl_password": "hunter2",
}
BLOB = produce(9, batch(lfs(b"blob")))


class SignInTestCase(RelayTestCase):
    """A relay in front of brokers that ask for a sign-in."""

    def prepare(self) -> None:
        self.sasl = self.cluster.sasl = SaslServer()

    def asked(self) -> list[int]:
        """The API keys of what the broker got on the last connection, in order."""
        return [each.api_key for each in self.broker.requests]

"""Signing in: the frames of the proxy's own, and the sight of a client's that is relayed.

SaslHandshake version 1 and SaslAuthenticate, each within ordinary frames (KIP-152); the latter's versions 0
and 1 and, with compact lengths and tagged fields, 2::

    SaslHandshake    request   mechanism:string
                     response  error_code:int16 [mechanism:string]
    SaslAuthenticate request   auth_bytes:bytes
                     response  error_code:int16 error_message:nullable_string auth_bytes:bytes
                               session_lifetime_ms:int64 (from version 1, KIP-368)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import attrs
from kafka.net.sasl import get_sasl_mechanism
from kafka.net.sasl.oauth import AbstractTokenProvider

from lfsproxy.errors import SignInRefused
from lfsproxy.quoting import quoted
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.asking import own_request
from lfsproxy.wire.oauth import refusal_words
from lfsproxy.wire.primitives import INT16, INT32, Reader
from lfsproxy.words import error_text

REFUSED_SECONDS: Final = 30.0
"""How long credentials that a broker has refused are not shown to it again."""
_OWN_VERSION = 1
"""Of SaslHandshake and SaslAuthenticate, as the proxy itself asks."""
_FIRST_FLEXIBLE = 2
"""Of SaslAuthenticate: the first version with compact strings and tagged fields."""


@attrs.frozen
class Authenticated:
    """An answer to SaslAuthenticate. ``lifetime_ms`` is in milliseconds, 0 is unlimited."""

    error_code: int
    error_message: str | None
    auth_bytes: bytes
    lifetime_ms: int


def handshake_request(correlation_id: int, mechanism: str) -> bytes:
    """The whole frame of the proxy's own SaslHandshake."""
    name = mechanism.encode()
    return own_request(KafkaApi.SASL_HANDSHAKE, _OWN_VERSION, correlation_id, INT16.pack(len(name)) + name)


def authenticate_request(correlation_id: int, auth_bytes: bytes) -> bytes:
    """The whole frame of the proxy's own SaslAuthenticate."""
    return own_request(
        KafkaApi.SASL_AUTHENTICATE, _OWN_VERSION, correlation_id, INT32.pack(len(auth_bytes)) + auth_bytes
    )


def handshake_mechanism(body: bytes) -> str:
    """The mechanism that a client's SaslHandshake names. Raises FramingError."""
    return Reader(body, flexible=False).string()


def decode_handshake(body: bytes) -> tuple[int, list[str]]:
    """Error code and the mechanisms that the broker has. Raises FramingError."""
    reader = Reader(body, flexible=False)
    return reader.int16(), [reader.string() for _ in range(reader.count(2))]


def decode_authenticate(body: bytes, version: int = _OWN_VERSION) -> Authenticated:
    """The answer to a SaslAuthenticate of ``version``; ``body`` follows its correlation id. FramingError."""
    reader = Reader(body, flexible=version >= _FIRST_FLEXIBLE)
    reader.tags()
    error_code = reader.int16()
    message = reader.nullable_string()
    auth_bytes = reader.byte_string()
    lifetime_ms = reader.int64() if version >= 1 else 0
    return Authenticated(error_code, message, auth_bytes, lifetime_ms)


class SaslClient(Protocol):
    """One exchange from the client's side, as kafka-python's mechanisms (kafka.net.sasl) have it."""

    def auth_bytes(self) -> bytes: ...

    def receive(self, auth_bytes: bytes, /) -> object: ...

    def is_done(self) -> bool: ...


class TokenProvider(AbstractTokenProvider):  # type: ignore[misc]  # of kafka-python, which has no types
    """A bearer token that is at hand, or is asked for at each sign-in, and the extensions that go with it."""

    def __init__(self, token: Callable[[], str], extensions: Sequence[str] = ()) -> None:
        super().__init__()
        self._token = token
        self._extensions = dict(each.split("=", 1) for each in extensions)

    def token(self) -> str:
        """The token as it is now."""
        return self._token()

    def extensions(self) -> dict[str, str]:
        """By their names (RFC 7628, section 3.1)."""
        return self._extensions


class _Checked:
    """A mechanism whose own failures (a server's wrong proof, no ticket) are SignInRefused."""

    def __init__(self, mechanism: str, client: SaslClient) -> None:
        self._mechanism = mechanism
        self._client = client

    def auth_bytes(self) -> bytes:
        try:
            return self._client.auth_bytes()
        except Exception as error:
            raise _unusable(self._mechanism, error) from None

    def receive(self, auth_bytes: bytes, /) -> None:
        try:
            self._client.receive(auth_bytes)
        except Exception as error:
            raise SignInRefused(
                f"the broker's {self._mechanism} answer is not right: {error_text(error)}"
            ) from None

    def is_done(self) -> bool:
        return self._client.is_done()


def _unusable(mechanism: str, error: Exception) -> SignInRefused:
    return SignInRefused(f"{mechanism} (LFS_KAFKA_SASL_MECHANISM) cannot be used here: {error_text(error)}")


def client_name(mechanism: str, username: str) -> str:
    """The user's name as kafka-python has to get it: its SCRAM escapes nothing (RFC 5802, saslname)."""
    if mechanism.startswith("SCRAM-"):
        return username.replace("=", "=3D").replace(",", "=2C")
    return username


def new_client(
    mechanism: str, username: str, password: str, host: str, protocol: str, extensions: Sequence[str] = ()
) -> SaslClient:
    """One sign-in by ``mechanism``. May block, as may the client's methods; all raise SignInRefused.

    ``password`` is the token of OAUTHBEARER; ``host`` is the broker's, which AWS_MSK_IAM and GSSAPI sign;
    ``protocol`` is the security protocol, as AWS_MSK_IAM is for SASL_SSL only; ``extensions``, each
    ``name=value``, go with a token.
    """
    config = {
        "sasl_mechanism": mechanism,
        "sasl_plain_username": client_name(mechanism, username),
        "sasl_plain_password": password,
        "sasl_oauth_token_provider": TokenProvider(lambda: password, extensions),
        "sasl_kerberos_service_name": "kafka",
        "security_protocol": protocol,
        "host": host,
    }
    try:
        client = get_sasl_mechanism(mechanism)(**config)
    except Exception as error:
        raise _unusable(mechanism, error) from None
    return _Checked(mechanism, client)


def refusal_text(who: str, mechanism: str, username: str, said: str) -> str:
    """What is told of a sign-in that a broker has refused; ``said`` are its own words."""
    name = f" as {quoted(username)}" if username else ""
    words = refusal_words(said) if mechanism == "OAUTHBEARER" else said
    return f"the broker refuses {who}'s sign-in by {mechanism}{name}: {words}"


@attrs.frozen
class Refusal:
    """Until when, in seconds, credentials are not shown to a broker again, and why."""

    credentials: tuple[str, ...] = attrs.field(repr=False)
    until: float
    why: str


class RefusedSignIns:
    """Remembers by broker which credentials were refused, so that they are not tried again and again.

    Accounts are locked by too many wrong passwords. Other credentials, as from a file that has changed, may
    be tried at once.
    """

    def __init__(self) -> None:
        self._refusals: dict[object, Refusal] = {}

    def find(self, broker: object, credentials: tuple[str, ...], now: float) -> Refusal | None:
        """The refusal of these by the broker, where there was one lately; ``now`` is in seconds."""
        refusal = self._refusals.get(broker)
        if refusal is None or refusal.credentials != credentials or now >= refusal.until:
            return None
        return refusal

    def check(self, broker: object, credentials: tuple[str, ...], now: float) -> None:
        """Raise SignInRefused where there was one lately."""
        refusal = self.find(broker, credentials, now)
        if refusal is not None:
            raise SignInRefused(refusal.why)

    def refused(self, broker: object, credentials: tuple[str, ...], now: float, why: str) -> None:
        """The broker has refused them: leave it alone for REFUSED_SECONDS."""
        self._refusals[broker] = Refusal(credentials, now + REFUSED_SECONDS, why)


class SignInWatch:
    """Whether a relayed client has signed in, by the broker's own positive last answer.

    SCRAM's first answer is positive too and OAUTHBEARER's refusal begins with one: only what ends the
    exchange counts. Other mechanisms have no positive answer for a client without credentials. A new
    exchange on the same connection (KIP-368) changes nothing unless it fails.
    """

    def __init__(self) -> None:
        self.done = False
        self._mechanism = ""
        self._within = False

    @property
    def is_settled(self) -> bool:
        """Whether the client has signed in, and no further exchange goes on."""
        return self.done and not self._within

    def handshake(self, mechanism: str) -> None:
        """The client begins an exchange. Requests come long before their answers, so one that begins before
        another has ended could lend its name to the other's answers: then neither counts."""
        self._mechanism = "" if self._within else mechanism
        self._within = True

    def answered(self, answer: Authenticated) -> None:
        """The broker has answered a step of it."""
        if answer.error_code:
            self.done = False
        elif _is_last(self._mechanism, answer.auth_bytes):
            self.done = True
            self._within = False


def _is_last(mechanism: str, auth_bytes: bytes) -> bool:
    """Whether a positive answer with these bytes ends an exchange."""
    if mechanism.startswith("SCRAM-"):
        return auth_bytes.startswith(b"v=")
    if mechanism == "OAUTHBEARER":
        return not auth_bytes
    return bool(mechanism)

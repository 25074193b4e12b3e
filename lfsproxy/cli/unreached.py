"""Why no Kafka broker was reached: each address is asked once more, and what is there instead is heard.

kafka-python says only that it took too long. An ApiVersions request, version 0, is answered by every broker,
before any sign-in; its frame begins with a length and the request's correlation id.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence

from lfsproxy.errors import SettingError
from lfsproxy.quoting import quoted
from lfsproxy.settings import Settings
from lfsproxy.settings.hosts import Address
from lfsproxy.wire.metadata import api_versions_request
from lfsproxy.words import error_text

SECONDS = 4.0
"""How long one step may take: connecting, the handshake, the answer."""

REQUEST = api_versions_request()
_HEAD_BYTES = 16
_TLS_RECORDS = (b"\x15\x03", b"\x16\x03")


def why_unreached(addresses: Sequence[Address], settings: Settings, seconds: float = SECONDS) -> str:
    """One sentence, with what is wrong at each address."""
    return "; ".join(f"{address} {_trouble(address, settings, seconds)}" for address in addresses)


def _trouble(address: Address, settings: Settings, seconds: float) -> str:
    try:
        connection = socket.create_connection((address.host or "localhost", address.port), seconds)
    except socket.gaierror as error:
        return f"cannot be reached: its host name is not known ({error_text(error)})"
    except TimeoutError:
        return "cannot be reached: nobody answers there (a wrong address, or a firewall)"
    except OSError as error:
        return f"cannot be reached: {error_text(error)}"
    with connection:
        return _met(connection, address, settings)


def _met(connection: socket.socket, address: Address, settings: Settings) -> str:
    """What is wrong with what listens there."""
    protocol = f"(the security protocol is {settings.kafka_security_protocol})"
    if not settings.uses_tls:
        return _heard(connection, protocol)
    name = address.host or "localhost"
    try:
        secured = tls_context(settings).wrap_socket(connection, server_hostname=name)
    except ssl.SSLCertVerificationError as error:
        return f"is not trusted: {error_text(error)} (LFS_KAFKA_TLS_CA names the authorities to trust)"
    except OSError as error:
        why = "no answer" if isinstance(error, TimeoutError) else error_text(error)
        return f"does not complete the TLS handshake, {why}: is that port for TLS? {protocol}"
    with secured:
        return _heard(secured, protocol)


def _heard(connection: socket.socket, protocol: str) -> str:
    """What is wrong with what answers there."""
    try:
        head = _answer(connection)
    except TimeoutError:
        return f"takes connections but gives no answer: is it a broker's port? {protocol}"
    except OSError:
        head = b""
    return f"{_other_than_kafka(head)} {protocol}"


def _answer(connection: socket.socket) -> bytes:
    """What comes back first; nothing where the connection is closed. Raises TimeoutError."""
    connection.sendall(REQUEST)
    try:
        return connection.recv(_HEAD_BYTES)
    except TimeoutError:
        # An HTTP server waits for the end of a line.
        connection.sendall(b"\r\n\r\n")
        return connection.recv(_HEAD_BYTES)


def _other_than_kafka(head: bytes) -> str:
    """Which server begins an answer with these bytes; none where the connection was closed instead."""
    if not head:
        return "closes the connection without an answer: is it a broker's port, and is that for TLS?"
    if head.startswith(_TLS_RECORDS):
        return "speaks TLS: LFS_KAFKA_SECURITY_PROTOCOL has to be SSL or SASL_SSL"
    if head.startswith(b"HTTP/"):
        return "is an HTTP server, not a Kafka broker: --bootstrap needs the Kafka port"
    if len(head) >= 8 and head[4:8] == REQUEST[8:12]:
        return "answers, but gave no list of brokers in time: it is a controller, or busy"
    text = head.decode("latin-1").strip()
    return (
        f"is no Kafka broker, as it begins with {quoted(text)}"
        if text.isprintable()
        else "is no Kafka broker"
    )


def tls_context(settings: Settings) -> ssl.SSLContext:
    """How TLS is spoken to brokers. Raises SettingError where its files are not usable."""
    try:
        context = ssl.create_default_context(cafile=settings.kafka_tls_ca or None)
    except OSError as error:
        raise _not_usable("LFS_KAFKA_TLS_CA", error) from None
    if settings.kafka_tls_cert:
        try:
            context.load_cert_chain(settings.kafka_tls_cert, settings.kafka_tls_key or None)
        except OSError as error:
            raise _not_usable("LFS_KAFKA_TLS_CERT with LFS_KAFKA_TLS_KEY", error) from None
    return context


def _not_usable(name: str, error: OSError) -> SettingError:
    return SettingError(f"{name}: not usable as PEM ({error_text(error)})")

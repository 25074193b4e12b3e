"""Why no Kafka broker was reached: each address is asked once more, in a way that hears what is there instead.

kafka-python says only that it took too long. An ApiVersions request, version 0, is answered by every broker,
before any sign-in; its frame begins with a length and the request's correlation id.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence

from lfsproxy.quoting import quoted
from lfsproxy.settings import Settings
from lfsproxy.settings.hosts import Address
from lfsproxy.wire.metadata import api_versions_request
from lfsproxy.words import error_text

SECONDS = 5.0
"""How long one step may take: connecting, the handshake, the answer."""

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
    protocol = f"the security protocol is {settings.kafka_security_protocol}"
    if settings.uses_tls:
        try:
            connection = _context(settings).wrap_socket(
                connection, server_hostname=address.host or "localhost"
            )
        except ssl.SSLCertVerificationError as error:
            return f"is not trusted: {error_text(error)} (LFS_KAFKA_TLS_CA names the authorities to trust)"
        except TimeoutError:
            return f"does not answer the TLS handshake: is that port for TLS? ({protocol})"
        except OSError as error:
            return f"does not complete the TLS handshake ({error_text(error)}): is that port for TLS? ({protocol})"
    request = api_versions_request()
    try:
        connection.sendall(request)
        head = connection.recv(_HEAD_BYTES)
    except TimeoutError:
        return f"takes connections but gives no answer: is it a broker's port? ({protocol})"
    except OSError as error:
        return f"ends the connection ({error_text(error)}): is it a broker's port? ({protocol})"
    if not head:
        return f"closes the connection without an answer: is it a broker's port, and for TLS or not? ({protocol})"
    if head.startswith(_TLS_RECORDS):
        return f"speaks TLS: set LFS_KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL ({protocol})"
    if head.startswith(b"HTTP/"):
        return "is an HTTP server, not a Kafka broker: --bootstrap needs the Kafka port"
    if len(head) < 8 or head[4:8] != request[8:12]:
        begins = f": its answer begins with {quoted(head.strip())}" if head[:4].isalnum() else ""
        return f"is no Kafka broker{begins}"
    return f"answers, but gave no list of brokers in time (a controller, or a busy broker; {protocol})"


def _context(settings: Settings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.kafka_tls_ca or None)
    if settings.kafka_tls_cert:
        context.load_cert_chain(settings.kafka_tls_cert, settings.kafka_tls_key or None)
    return context

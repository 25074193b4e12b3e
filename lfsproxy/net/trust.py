"""Whether a server's certificate is to be trusted, and if not, why, in words that name the way out.

OpenSSL says only "certificate verify failed", and Twisted's check of the name gives Python's notation. Both
checks are the same here; what they find wrong ends the connection as an UntrustedServer.
"""

from __future__ import annotations

import datetime
from ipaddress import ip_address
from typing import Any, cast

from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from lfsproxy.net.tls_errors import UntrustedServer

MOST_NAMES = 5
"""Names of a certificate that a message shows."""
_NOT_YET_VALID = 9
_EXPIRED = 10
_UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21, 27})
"""X509_V_ERR_*: no issuer, self-signed, self-signed in the chain, no local issuer, no first signature, not
trusted."""


class _Untrusted(UntrustedServer, SSL.Error):
    """An UntrustedServer that Twisted takes for an error of TLS, which it is."""


@implementer(IOpenSSLClientConnectionCreator)
class Explaining:
    """TLS connections to ``host`` made by ``creator``, whose certificates are verified here.

    ``setting`` names the file of authorities to trust.
    """

    def __init__(self, creator: IOpenSSLClientConnectionCreator, host: str, setting: str) -> None:
        self._creator = creator
        self._host = host
        self._setting = setting

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection: SSL.Connection = self._creator.clientConnectionForTLS(tlsProtocol)

        def verify(_: SSL.Connection, certificate: crypto.X509, code: int, depth: int, ok: int) -> bool:
            trouble = self._trouble(certificate, code, depth, bool(ok))
            if trouble:
                cast(Any, tlsProtocol).failVerification(Failure(_Untrusted(trouble)))
            return not trouble

        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, verify)
        return connection

    def _trouble(self, certificate: crypto.X509, code: int, depth: int, ok: bool) -> str:
        """What is wrong with one certificate of the chain (the server's own at depth 0); "" for nothing."""
        if not ok:
            return self._chain_trouble(certificate, code)
        return self._name_trouble(certificate) if depth == 0 else ""

    def _chain_trouble(self, certificate: crypto.X509, code: int) -> str:
        read = certificate.to_cryptography()
        if code in _UNKNOWN_AUTHORITY:
            issuer = read.issuer.rfc4514_string() or "no name"
            return (
                f"its certificate is signed by an authority that is not trusted ({issuer}): put that "
                f"authority's certificate into the PEM file that {self._setting} names"
            )
        if code == _EXPIRED:
            return f"its certificate has expired, on {_day(read.not_valid_after_utc)}"
        if code == _NOT_YET_VALID:
            begin = _day(read.not_valid_before_utc)
            return f"its certificate is not valid before {begin}: is this machine's clock right?"
        return f"its certificate is refused (error {code} of OpenSSL's verification)"

    def _name_trouble(self, certificate: crypto.X509) -> str:
        try:
            patterns = extract_patterns(certificate)
            verify_service_identity(patterns, [_service(self._host)], [])
        except CertificateError:
            return f"its certificate names no host in its subjectAltName, where {self._host} has to stand"
        except VerificationError:
            names = names_of(certificate)
            shown = ", ".join(names[:MOST_NAMES]) + (", …" if len(names) > MOST_NAMES else "")
            return f"its certificate is for {shown or 'no host at all'}, not for {self._host}"
        return ""


def names_of(certificate: crypto.X509) -> list[str]:
    """The hosts that a certificate is for, by its subjectAltName."""
    try:
        return [_pattern(each) for each in extract_patterns(certificate)]
    except CertificateError:
        return []


def _service(host: str) -> DNS_ID | IPAddress_ID:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return DNS_ID(host if host.isascii() else host.encode("idna").decode("ascii"))
    return IPAddress_ID(host.partition("%")[0])


def _pattern(pattern: Any) -> str:
    value = pattern.pattern
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)


def _day(when: datetime.datetime) -> str:
    return when.date().isoformat()

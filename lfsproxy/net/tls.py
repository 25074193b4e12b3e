"""Certificates for TLS: read from PEM files, and read anew when the files change, without a restart.

What becomes of files that turn bad is in lfsproxy.net.reread.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import Any, cast

from OpenSSL import SSL, crypto
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    KeyPair,
    PrivateCertificate,
    TLSVersion,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from lfsproxy.ending import TlsEndpoint
from lfsproxy.net.reread import Reread
from lfsproxy.net.trust import Explaining
from lfsproxy.words import error_text

_BEGIN = b"-----BEGIN CERTIFICATE-----"


class _Files(Reread[Any]):
    """PEM files. ``make`` may raise OpenSSL's errors."""

    what = "certificates"
    needed = "PEM certificates and key"

    def reason(self, error: Exception) -> str | None:
        return error_text(error) if isinstance(error, SSL.Error | crypto.Error) else super().reason(error)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _certificates(path: str) -> list[Certificate]:
    """Every certificate of a PEM file. Raises ValueError where there is none."""
    blocks = _read(path).split(_BEGIN)[1:]
    if not blocks:
        raise ValueError(f"no certificate in {path}")
    return [Certificate.loadPEM(_BEGIN + block) for block in blocks]


def certificate_expiry(path: str) -> float:
    """When the first certificate of a PEM file expires, in seconds since the epoch; NaN if there is none."""
    try:
        first = cast(Any, _certificates(path)[0]).original
        return float(first.to_cryptography().not_valid_after_utc.timestamp())
    except (OSError, ValueError, SSL.Error, crypto.Error):
        return nan


def _key(path: str) -> crypto.PKey:
    # A passphrase that is asked for at the terminal would hang a service.
    return crypto.load_privatekey(crypto.FILETYPE_PEM, _read(path), b"")


class _ClientFiles(_Files):
    def __init__(self, settings: dict[str, str], ca: str, cert: str, key: str) -> None:
        super().__init__(settings)
        self._ca, self._cert, self._key = ca, cert, key
        if not cert:
            self.needed = "PEM certificates"

    def make(self) -> dict[str, Any]:
        """The arguments of optionsForClientTLS besides the host."""
        trust = trustRootFromCertificates(_certificates(self._ca)) if self._ca else platformTrust()
        if not self._cert:
            return {"trustRoot": trust}
        first, *chain = _certificates(self._cert)
        key = _key(self._key)
        # Tells now whether the two belong together, not at the first connection.
        CertificateOptions(privateKey=key, certificate=cast(Any, first).original).getContext()
        return {
            "trustRoot": trust,
            "clientCertificate": PrivateCertificate.fromCertificateAndKeyPair(first, KeyPair(key)),
            "extraCertificateOptions": {"extraCertChain": [cast(Any, each).original for each in chain]},
        }


class ClientTls:
    """TLS towards servers whose names are verified. ``prefix`` is the settings', as LFS_KAFKA_TLS.

    ``ca_setting`` is what names the authorities' file, where that is not the prefix with _CA.
    """

    def __init__(self, prefix: str, ca: str, cert: str = "", key: str = "", ca_setting: str = "") -> None:
        self._ca_setting = ca_setting or f"{prefix}_CA"
        settings = {self._ca_setting: ca, f"{prefix}_CERT": cert, f"{prefix}_KEY": key}
        self._files = _ClientFiles(settings, ca, cert, key)

    def check(self) -> None:
        """Raise SettingError where the files cannot be used."""
        self._files.current()

    def over(self, endpoint: IStreamClientEndpoint, host: str, clock: IReactorTime) -> IStreamClientEndpoint:
        """``endpoint``, which connects to ``host``, with TLS over it."""
        return TlsEndpoint(self.creator(host), endpoint, clock)

    def creator(self, host: str) -> IOpenSSLClientConnectionCreator:
        """What a TLS endpoint needs for one connection to ``host``."""
        return Explaining(optionsForClientTLS(host, **self._files.current()), host, self._ca_setting)


class _ServerFiles(_Files):
    def __init__(
        self, settings: dict[str, str], cert: str, key: str, client_ca: str, protocols: Sequence[bytes]
    ) -> None:
        super().__init__(settings)
        self._cert, self._key, self._client_ca = cert, key, client_ca
        self._protocols = protocols

    def make(self) -> SSL.Context:
        first, *chain = _certificates(self._cert)
        trust = trustRootFromCertificates(_certificates(self._client_ca)) if self._client_ca else None
        options = CertificateOptions(
            privateKey=_key(self._key),
            certificate=cast(Any, first).original,
            extraCertChain=[cast(Any, each).original for each in chain],
            trustRoot=trust,
            raiseMinimumTo=TLSVersion.TLSv1_2,
            acceptableProtocols=list(self._protocols) or None,
        )
        return options.getContext()


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """TLS of a listening port. With ``client_ca`` clients need a certificate that it signed.

    ``protocols`` are offered by ALPN; a client that does not ask for one is served as well.
    """

    def __init__(
        self, prefix: str, cert: str, key: str, client_ca: str, protocols: Sequence[bytes] = ()
    ) -> None:
        settings = {f"{prefix}_CERT": cert, f"{prefix}_KEY": key, f"{prefix}_CLIENT_CA": client_ca}
        self._files = _ServerFiles(settings, cert, key, client_ca, protocols)

    def check(self) -> None:
        """Raise SettingError where the files cannot be used."""
        self._files.current()

    def context(self) -> SSL.Context:
        """What the next connection is made of, by the files as they are now."""
        current: SSL.Context = self._files.current()
        return current

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return SSL.Connection(self.context(), None)

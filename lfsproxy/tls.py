"""Certificates for TLS: read from PEM files, and read anew when the files change, without a restart.

A file that cannot be read at start stops the start; one that turns bad later is logged, and the certificate
that was read last stays in use.
"""

from __future__ import annotations

import os
from typing import Any, cast

from OpenSSL import SSL, crypto
from service_identity import VerificationError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
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
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from lfsproxy.errors import SettingError

_log = Logger()
_BEGIN = b"-----BEGIN CERTIFICATE-----"

_Stamp = tuple[tuple[int, int, int], ...]


class _Files:
    """PEM files that are read anew when one of them changes. ``settings`` name them: variable to path."""

    def __init__(self, settings: dict[str, str]) -> None:
        self._settings = {name: path for name, path in settings.items() if path}
        self._seen: _Stamp | None = None
        self._options: Any = None

    def options(self) -> Any:
        """What ``make`` made of the files as they are now, or as they last were usable."""
        stamp = self._stamp()
        if self._options is None or stamp != self._seen:
            try:
                made = self.make()
            except (OSError, ValueError, SSL.Error, crypto.Error) as error:
                self._complain(error)
            else:
                if self._options is not None:
                    _log.info("read the certificates anew: {files}", files=", ".join(self._settings.values()))
                self._options = made
            self._seen = stamp
        return self._options

    def make(self) -> Any:
        raise NotImplementedError

    def _complain(self, error: Exception) -> None:
        names = ", ".join(f"{name} is {path!r}" for name, path in self._settings.items())
        why = _openssl_text(error) if isinstance(error, SSL.Error | crypto.Error) else str(error)
        if self._options is None:
            raise SettingError(f"{names}: not usable as PEM certificates and key ({why})") from None
        _log.error("{names}: not usable now, the ones read before stay ({why})", names=names, why=why)

    def _stamp(self) -> _Stamp:
        return tuple(_identity(path) for path in self._settings.values())


def _identity(path: str) -> tuple[int, int, int]:
    """What changes when a file does, also where a link is set to another one."""
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _certificates(path: str) -> list[Certificate]:
    """Every certificate of a PEM file. Raises ValueError where there is none."""
    blocks = _read(path).split(_BEGIN)[1:]
    if not blocks:
        raise ValueError(f"no certificate in {path}")
    return [Certificate.loadPEM(_BEGIN + block) for block in blocks]


def _key(path: str) -> crypto.PKey:
    # A passphrase that is asked for at the terminal would hang a service.
    return crypto.load_privatekey(crypto.FILETYPE_PEM, _read(path), b"")


class _ClientFiles(_Files):
    def __init__(self, settings: dict[str, str], ca: str, cert: str, key: str) -> None:
        super().__init__(settings)
        self._ca, self._cert, self._key = ca, cert, key

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
    """TLS towards servers whose names are verified. ``prefix`` is the settings', as LFS_KAFKA_TLS."""

    def __init__(self, prefix: str, ca: str, cert: str, key: str) -> None:
        settings = {f"{prefix}_CA": ca, f"{prefix}_CERT": cert, f"{prefix}_KEY": key}
        self._files = _ClientFiles(settings, ca, cert, key)

    def check(self) -> None:
        """Raise SettingError where the files cannot be used."""
        self._files.options()

    def creator(self, host: str) -> IOpenSSLClientConnectionCreator:
        """What a TLS endpoint needs for one connection to ``host``."""
        return optionsForClientTLS(host, **self._files.options())


class _ServerFiles(_Files):
    def __init__(self, settings: dict[str, str], cert: str, key: str, client_ca: str) -> None:
        super().__init__(settings)
        self._cert, self._key, self._client_ca = cert, key, client_ca

    def make(self) -> SSL.Context:
        first, *chain = _certificates(self._cert)
        trust = trustRootFromCertificates(_certificates(self._client_ca)) if self._client_ca else None
        options = CertificateOptions(
            privateKey=_key(self._key),
            certificate=cast(Any, first).original,
            extraCertChain=[cast(Any, each).original for each in chain],
            trustRoot=trust,
            raiseMinimumTo=TLSVersion.TLSv1_2,
        )
        return options.getContext()


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """TLS of a listening port. With ``client_ca`` clients need a certificate that it signed."""

    def __init__(self, prefix: str, cert: str, key: str, client_ca: str) -> None:
        settings = {f"{prefix}_CERT": cert, f"{prefix}_KEY": key, f"{prefix}_CLIENT_CA": client_ca}
        self._files = _ServerFiles(settings, cert, key, client_ca)

    def check(self) -> None:
        """Raise SettingError where the files cannot be used."""
        self._files.options()

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return SSL.Connection(self._files.options(), None)


def tls_trouble(reason: Failure | None) -> str:
    """What a lost connection's reason says of TLS, for people; "" where it says nothing of TLS."""
    error = None if reason is None else reason.value
    if isinstance(error, VerificationError):
        return "the certificate is for another name"
    if isinstance(error, SSL.Error):
        return f"TLS: {_openssl_text(error)}"
    return ""


def _openssl_text(error: Exception) -> str:
    """OpenSSL's own words, without the places in its source."""
    entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return "; ".join(entry[-1] for entry in entries if entry[-1]) or str(error) or type(error).__name__

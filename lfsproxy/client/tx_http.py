"""What uploads and downloads by treq have in common: whom to trust, silence that ends, URLs as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import attrs
from hyperlink import EncodedURL
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IDelayedCall, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.ssl import (
    Certificate,
    PrivateCertificate,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.python.failure import Failure
from twisted.web.client import URI, HTTPConnectionPool
from twisted.web.error import SchemeNotSupported
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

from lfsproxy.cuttable import CuttableFactory
from lfsproxy.ending import TlsEndpoint
from lfsproxy.quoting import quoted

READ_BYTES = 256 * 1024
"""Bytes of one read of a socket, at most: fewer turns for as many bytes than with Twisted's 64 KiB."""
_BEGIN = b"-----BEGIN CERTIFICATE-----"


class ExactURL(EncodedURL):
    """A URL that treq sends as it is: it may be signed, and a host may be [::1] or have an underscore."""

    def to_uri(self) -> Self:
        return self


class Watch:
    """Ends what is waited for when nothing has moved for so long; ``is_late`` tells that from a cancel."""

    def __init__(self, clock: Any, seconds: float) -> None:
        self.is_late = False
        self._clock = clock
        self._seconds = seconds
        self._waiting: Deferred[Any] | None = None
        self._call: IDelayedCall | None = None
        self.begin()

    def begin(self) -> None:
        """Watch from now on."""
        self.end()
        self._call = self._clock.callLater(self._seconds, self._late)

    def progressed(self) -> None:
        """Something has moved."""
        if self._call is not None and self._call.active():
            self._call.reset(self._seconds)

    def over(self, working: Deferred[Any]) -> Deferred[Any]:
        """The result of ``working``; cancelled, it raises CancelledError, whatever Agent makes of that."""
        self._waiting = waiting = Deferred[Any]()
        working.chainDeferred(waiting)

        def given_up(failure: Failure) -> Failure:
            working.cancel()
            return failure

        return waiting.addErrback(given_up)

    def _late(self) -> None:
        self.is_late = True
        if self._waiting is not None:
            self._waiting.cancel()

    def end(self) -> None:
        """Watch no longer."""
        if self._call is not None and self._call.active():
            self._call.cancel()


@implementer(IPolicyForHTTPS)
class Trust:
    """TLS by PEM files: authorities, or the system's; a client's certificate with its key."""

    def __init__(self, ca: str | None, cert: str | None = None, key: str | None = None) -> None:
        self._options: dict[str, Any] = {"trustRoot": platformTrust() if ca is None else _authorities(ca)}
        if cert is not None:
            pem = _read(cert) + b"\n" + (b"" if key is None else _read(key))
            self._options["clientCertificate"] = PrivateCertificate.loadPEM(pem)

    def creatorForNetloc(self, hostname: bytes, port: int) -> Any:
        return optionsForClientTLS(hostname.decode("ascii"), **self._options)


@implementer(IAgentEndpointFactory)
@attrs.frozen
class Endpoints:
    """Connects within ``seconds``, for which ``watch`` looks away. ``trust`` is asked for https alone."""

    reactor: Any
    trust: Callable[[], Trust]
    seconds: float
    watch: Watch | None = None

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        endpoint: Any = _HostEndpoint(self.reactor, uri.host, uri.port, timeout=self.seconds)
        if uri.scheme == b"https":
            creator = self.trust().creatorForNetloc(uri.host, uri.port)
            endpoint = TlsEndpoint(creator, endpoint, self.reactor)
        elif uri.scheme != b"http":
            raise SchemeNotSupported(f"{quoted(uri.scheme)} is neither http nor https")
        return _Endpoint(endpoint, self.watch)


class _HostEndpoint(HostnameEndpoint):
    """One for every name: Twisted's own sends names through IDNA 2008, which refuses ``my_proxy``."""

    @staticmethod
    def _hostAsBytesAndText(host: bytes | str) -> tuple[bool, bytes, str]:
        if isinstance(host, bytes) and host.isascii():
            return False, host, host.decode("ascii")
        return HostnameEndpoint._hostAsBytesAndText(host)


@implementer(IStreamClientEndpoint)
@attrs.frozen
class _Endpoint:
    endpoint: Any
    watch: Watch | None

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        if self.watch is not None:
            self.watch.end()
        connecting: Deferred[Any] = self.endpoint.connect(protocolFactory)
        return connecting.addCallback(self._connected)

    def _connected(self, protocol: Any) -> Any:
        if self.watch is not None:
            self.watch.begin()
        # Over TLS the socket is one transport below.
        socket = getattr(protocol.transport, "transport", protocol.transport)
        if hasattr(socket, "bufferSize"):
            socket.bufferSize = READ_BYTES
        return protocol


def kept_connections(reactor: Any) -> HTTPConnectionPool:
    """Connections for requests one after the other. To close them waits for no server."""
    pool = HTTPConnectionPool(reactor)
    pool._factory = CuttableFactory
    return pool


def innermost(error: BaseException) -> BaseException:
    """What went wrong on a connection: Agent wraps it."""
    causes = getattr(error, "reasons", None)
    return innermost(causes[-1].value) if causes else error


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _authorities(path: str) -> Any:
    blocks = _read(path).split(_BEGIN)[1:]
    if not blocks:
        raise ValueError(f"there is no certificate in {path}")
    return trustRootFromCertificates([Certificate.loadPEM(_BEGIN + block) for block in blocks])

"""What an HTTP client needs besides Twisted's Agent: where a URL's host is, answers with a bound, and an end
that no peer holds up.

The same for S3 and for a token server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import URI, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from lfsproxy.cuttable import CuttableFactory
from lfsproxy.net.connecting import host_endpoint

if TYPE_CHECKING:
    from lfsproxy.net.tls import ClientTls


@implementer(IAgentEndpointFactory)
class HttpEndpoints:
    """Where a URL's host is. ``timeout`` bounds one connection attempt, in seconds; ``tls`` is for https.

    ``*.localhost`` is the own machine (RFC 6761), so that virtual-host style works without DNS.
    """

    def __init__(self, reactor: object, tls: ClientTls | None, timeout: float) -> None:
        self._reactor = reactor
        self._tls = tls
        self._timeout = timeout

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        host = uri.host.decode("ascii")
        if host.endswith(".localhost"):
            host = "localhost"
        endpoint: IStreamClientEndpoint
        if isIPAddress(host):
            endpoint = TCP4ClientEndpoint(self._reactor, host, uri.port, self._timeout)
        elif isIPv6Address(host):
            endpoint = TCP6ClientEndpoint(self._reactor, host, uri.port, self._timeout)
        else:
            endpoint = host_endpoint(self._reactor, host, uri.port, self._timeout)
        if uri.scheme == b"https":
            assert self._tls is not None  # as whoever names an https URL gives it
            return self._tls.over(endpoint, uri.host.decode("ascii"), cast(IReactorTime, self._reactor))
        return endpoint


def single_use(clock: IReactorTime) -> HTTPConnectionPool:
    """Connections for one request each, of which nothing is logged."""
    pool = HTTPConnectionPool(clock, persistent=False)
    pool._factory = CuttableFactory
    return pool


class BodyTooLong(Exception):
    """An answer with a body beyond the limit."""


class BodyCollector(Protocol):
    """Collects an answer's body of at most ``limit`` bytes; ``done`` fires with it."""

    def __init__(self, limit: int, progressed: Callable[[], None]) -> None:
        self.done: Deferred[bytes] = Deferred(lambda _: self._close())
        self.received = bytearray()
        self._limit = limit
        self._progressed = progressed

    def dataReceived(self, data: bytes) -> None:
        self._progressed()
        if len(self.received) + len(data) <= self._limit:
            self.received += data
        elif not self.done.called:
            self.done.errback(BodyTooLong(f"an answer of more than {self._limit} bytes"))
            self._close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(bytes(self.received))
        else:
            self.done.errback(reason)

    def _close(self) -> None:
        if self.transport is not None:
            # Agents that are not ours have only the orderly end.
            getattr(self.transport, "abortConnection", self.transport.loseConnection)()

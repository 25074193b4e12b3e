"""Connections over TLS to servers, which end in an orderly way or are cut.

Twisted's wait for the server's answer to the end as long as it takes: one that hangs would keep a descriptor.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IDelayedCall,
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

END_SECONDS = 30.0
"""Within which a server has to take what was written, and to answer the end."""


class _Ending(BufferingTLSTransport):
    _late: IDelayedCall | None = None

    def loseConnection(self) -> None:
        super().loseConnection()
        if self._late is None and self.connected:
            self._late = cast(_Factory, self.factory)._clock.callLater(END_SECONDS, self.abortConnection)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._late is not None and self._late.active():
            self._late.cancel()
        super().connectionLost(reason)


class _Factory(TLSMemoryBIOFactory):
    protocol = _Ending


@implementer(IStreamClientEndpoint)
class TlsEndpoint:
    """As Twisted's ``wrapClientTLS`` makes them."""

    def __init__(
        self, creator: IOpenSSLClientConnectionCreator, endpoint: IStreamClientEndpoint, clock: IReactorTime
    ) -> None:
        self._creator = creator
        self._endpoint = endpoint
        self._clock = clock

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        factory = _Factory(self._creator, True, protocolFactory, self._clock)
        connecting: Deferred[Any] = self._endpoint.connect(factory)
        return connecting.addCallback(lambda tls: tls.wrappedProtocol)

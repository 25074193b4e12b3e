"""HTTP connections of Twisted's clients that may be cut: an orderly end waits until the peer has taken what
was written, and over TLS for its answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.web._newclient import HTTP11ClientProtocol, Request, TransportProxyProducer
from twisted.web.client import _HTTP11ClientFactory
from twisted.web.iweb import IResponse


class _Cuttable(TransportProxyProducer):
    """What Twisted hands to the reader of a body, and ``abortConnection`` besides."""

    def __init__(self, transport: TransportProxyProducer, cut: Callable[[], None]) -> None:
        super().__init__(transport)  # type: ignore[no-untyped-call]  # of Twisted
        self.abortConnection = cut


class CuttableClient(HTTP11ClientProtocol):
    """One connection. Whoever reads an answer's body may cut it."""

    def request(self, request: Request) -> Deferred[IResponse]:
        return super().request(request).addCallback(self.make_cuttable, request)

    def make_cuttable(self, response: IResponse, request: Request) -> IResponse:
        """Before the body is delivered: give its reader a transport that has ``abortConnection``."""
        of_twisted = cast(Any, response)
        of_twisted._transport = _Cuttable(of_twisted._transport, partial(self._cut_answer, request))
        return response

    def _cut_answer(self, request: Request) -> None:
        """While it is still read: what is parsed next must not put the connection into the pool."""
        if self._currentRequest is request:
            request.persistent = False
            self.cut()

    def cut(self) -> None:
        """Close at once, whatever is still to be written or read."""
        cast(Any, self.transport).abortConnection()

    def abort(self) -> Deferred[None]:
        """Close at once, which a pool does with those that it keeps. Fires when the socket is closed."""
        is_gone = self._state == "CONNECTION_LOST"
        ended: Deferred[None] = super().abort()  # type: ignore[no-untyped-call]  # of Twisted
        if not is_gone:
            self.cut()
        return ended


class CuttableFactory(_HTTP11ClientFactory):
    """What a pool of these makes its connections by: ``HTTPConnectionPool._factory``."""

    noisy = False

    def buildProtocol(self, addr: object) -> CuttableClient:
        return CuttableClient(self._quiescentCallback)  # type: ignore[no-untyped-call]  # of Twisted

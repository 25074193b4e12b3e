"""HTTP over TLS: the site's connections wrapped, and an answer for plain HTTP that comes to the port."""

# twisted.protocols.tls is not annotated:
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from typing import Any, cast

from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import ServerFactory
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory

from lfsproxy.logs import Logger
from lfsproxy.net.peers import plain_host
from lfsproxy.net.tls import ServerTls

_SAID = b"This port speaks HTTPS: use https:// in the URL.\n"
ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_SAID), _SAID)
)


class _Connection(BufferingTLSTransport):
    """A connection whose first byte tells whether it is TLS: a request line begins with a letter."""

    _log = Logger()
    _looked = False

    def dataReceived(self, data: bytes) -> None:
        if not self._looked:
            self._looked = True
            if data[:1].isalpha():
                self._turn_away()
                return
        if not self.disconnecting:
            super().dataReceived(data)

    def _turn_away(self) -> None:
        transport = cast(Any, self.transport)
        peer = transport.getPeer()
        self._log.info(
            "an HTTP client ({peer}) is turned away: it speaks plain HTTP to the port of HTTPS",
            peer=plain_host(getattr(peer, "host", str(peer))),
        )
        # It has been told of already, and is no probe.
        cast(Any, self.wrappedProtocol).asked = True
        transport.write(ANSWER)
        self.disconnecting = True
        transport.loseConnection()


def over_tls(site: ServerFactory[Any], tls: ServerTls, reactor: IReactorTime) -> ServerFactory[Any]:
    """The factory to listen with in place of ``site``, for connections that speak TLS."""
    factory = TLSMemoryBIOFactory(tls, False, site, reactor)
    factory.protocol = _Connection
    return cast(ServerFactory[Any], factory)

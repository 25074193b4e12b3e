"""Looks up a host, or connects to it and closes again: whether that works, and what certificate it shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import IAddress, IHandshakeListener, IHostResolution, IResolutionReceiver
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from lfsproxy.net.connecting import connected
from lfsproxy.probing import Certificate

if TYPE_CHECKING:
    from OpenSSL import SSL


@implementer(IResolutionReceiver)
class _Addresses:
    def __init__(self) -> None:
        self.found: list[str] = []
        self.complete: Deferred[None] = Deferred()

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """It tells nothing yet."""

    def addressResolved(self, address: IAddress) -> None:
        self.found.append(cast("IPv4Address | IPv6Address", address).host)

    def resolutionComplete(self) -> None:
        if not self.complete.called:
            self.complete.callback(None)


async def resolve(reactor: Any, host: str) -> Sequence[str]:
    """Every IP address of a host, as connections are made to it. Raises DNSLookupError where it has none."""
    receiver = _Addresses()
    reactor.nameResolver.resolveHostName(receiver, host)
    await receiver.complete
    if not receiver.found:
        raise DNSLookupError(host)
    return list(dict.fromkeys(receiver.found))


@implementer(IHandshakeListener)
class _Greeting(Protocol):
    """``shaken`` fires with the certificate, or fails with what ended the connection before."""

    def __init__(self) -> None:
        self.shaken: Deferred[Certificate] = Deferred()

    def handshakeCompleted(self) -> None:
        if not self.shaken.called:
            self.shaken.callback(shown_certificate(self.transport))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.shaken.called:
            self.shaken.errback(reason)


async def connect(endpoint: Any) -> None:
    """Connect to an endpoint of TCP, and close again. Raises what the endpoint raises."""
    greeting = await _greet(endpoint)
    greeting.shaken.addErrback(lambda _: None)
    cast(Any, greeting.transport).abortConnection()


async def handshake(endpoint: Any) -> Certificate:
    """Complete a TLS handshake, and close again. Raises also what ended the connection, such as
    UntrustedServer."""
    greeting = await _greet(endpoint)
    try:
        return await greeting.shaken
    finally:
        if not greeting.shaken.called:
            greeting.shaken.addErrback(lambda _: None)
        cast(Any, greeting.transport).abortConnection()


async def _greet(endpoint: Any) -> _Greeting:
    factory = cast(Any, Factory).forProtocol(_Greeting)
    factory.noisy = False
    return cast(_Greeting, await connected(endpoint.connect(factory)))


def shown_certificate(transport: Any) -> Certificate:
    """The certificate of the server at the other end of a TLS transport whose handshake is complete."""
    from lfsproxy.net.trust import names_of

    connection: SSL.Connection = transport.getHandle()
    shown = connection.get_peer_certificate()
    assert shown is not None  # a server without one completes no handshake
    read = shown.to_cryptography()
    return Certificate(
        names_of(shown),
        read.issuer.rfc4514_string(),
        read.not_valid_after_utc.timestamp(),
        len(connection.get_peer_cert_chain() or ()),
    )

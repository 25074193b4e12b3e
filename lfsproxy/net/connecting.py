"""Connects to a host by its name, whatever name DNS or Docker Compose gave it, or says why it could not.

The same for S3 and for brokers.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectionRefusedError, DNSLookupError, TCPTimedOutError, TimeoutError
from twisted.internet.interfaces import IProtocol

from lfsproxy.settings.hosts import is_host
from lfsproxy.words import error_text


class _HostEndpoint(HostnameEndpoint):
    """A HostnameEndpoint for every ASCII name that a setting may have.

    Twisted's own sends names through IDNA 2008, which refuses ``my_kafka`` and ``ab--kafka``.
    """

    @staticmethod
    def _hostAsBytesAndText(host: bytes | str) -> tuple[bool, bytes, str]:
        if isinstance(host, str) and host.isascii() and is_host(host):
            return False, host.encode("ascii"), host
        return HostnameEndpoint._hostAsBytesAndText(host)


def host_endpoint(reactor: Any, host: str, port: int, timeout: float) -> HostnameEndpoint:
    """Where the host is. ``timeout`` bounds one connection attempt, in seconds.

    Its ``connect`` fails with ValueError where that cannot be a host's name.
    """
    return _HostEndpoint(reactor, host, port, timeout)


async def connected(connecting: Deferred[IProtocol]) -> IProtocol:
    """Wait for a connection. Given up, it raises CancelledError: an endpoint that is cancelled while it looks
    up the name says that there is no such host."""
    waiting: Deferred[IProtocol] = Deferred()
    connecting.chainDeferred(waiting)
    try:
        return await waiting
    except CancelledError:
        connecting.cancel()
        raise


def why_unreached(error: BaseException) -> str:
    """What follows "cannot be reached: "."""
    if isinstance(error, DNSLookupError):
        return "its host name is not known"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused, nothing listens at that port"
    if isinstance(error, TimeoutError | TCPTimedOutError):
        return "nobody answers there (a wrong address, or a firewall)"
    return error_text(error)

"""Binds a listening port so that a port in use, or one that may not be bound, stops whoever asked.

An empty host listens on every IPv4 and IPv6 address: on one dual-stack socket where the machine has IPv6,
else on IPv4 alone.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorTCP
from twisted.internet.protocol import ServerFactory

from lfsproxy.errors import SettingError
from lfsproxy.settings import Address
from lfsproxy.words import error_text

BACKLOG = 1024


def listen(
    reactor: IReactorTCP, address: Address, factory: ServerFactory[Any], setting: str
) -> IListeningPort:
    """Listen at ``address``. Raises SettingError, one line that names ``setting``, where that cannot be."""
    try:
        if address.host:
            return reactor.listenTCP(address.port, factory, backlog=BACKLOG, interface=address.host)
        if socket.has_dualstack_ipv6():
            try:
                return reactor.listenTCP(address.port, factory, backlog=BACKLOG, interface="::")
            except CannotListenError as error:
                if _number(error) not in {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}:
                    raise
        return reactor.listenTCP(address.port, factory, backlog=BACKLOG, interface="")
    except CannotListenError as error:
        raise SettingError(
            f"cannot listen at {address}: {_reason(error)}; {setting} says where to listen instead"
        ) from None


def _number(error: CannotListenError) -> int | None:
    return error.socketError.errno if isinstance(error.socketError, OSError) else None


def _reason(error: CannotListenError) -> str:
    number = _number(error)
    if number == errno.EADDRINUSE:
        return "the port is already in use"
    if number == errno.EACCES:
        return "this user may not bind that port"
    return error_text(error.socketError)

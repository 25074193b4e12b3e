"""Where listening ports come from: bound here, or adopted from the process that bound them before.

A port in use, or one that may not be bound, is an error that names the setting. An empty host listens on
every IPv4 and IPv6 address: on one dual-stack socket where the machine has IPv6, else on IPv4 alone.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorSocket, IReactorTCP
from twisted.internet.protocol import ServerFactory
from zope.interface import Interface, implementer

from lfsproxy.errors import SettingError
from lfsproxy.settings import Address
from lfsproxy.words import error_text

BACKLOG = 1024
"""Connections that the kernel keeps until they are accepted; Linux's own limit is 4096 (somaxconn)."""
_EVERY_HOST = frozenset({"", "0.0.0.0", "::"})


class IListener(Interface):
    """Where listening ports come from: they are bound here, or were bound by another process."""

    def listen(address: Address, factory: ServerFactory[Any], setting: str) -> IListeningPort:
        """Listen at ``address``. Raises SettingError, a line that names ``setting``, where that cannot be."""


@implementer(IListener)
class BoundPorts:
    """Binds each port when it is asked for."""

    def __init__(self, reactor: IReactorTCP) -> None:
        self._reactor = reactor

    def listen(self, address: Address, factory: ServerFactory[Any], setting: str) -> IListeningPort:
        try:
            return self._bind(address, factory)
        except CannotListenError as error:
            way_out = f"{setting} says where to listen instead"
            raise SettingError(
                f"cannot listen at {address}: {_reason(error)}; {way_out}", way_out=way_out
            ) from None

    def _bind(self, address: Address, factory: ServerFactory[Any]) -> IListeningPort:
        listen = self._reactor.listenTCP
        if address.host:
            return listen(address.port, factory, backlog=BACKLOG, interface=address.host)
        if socket.has_dualstack_ipv6():
            try:
                return listen(address.port, factory, backlog=BACKLOG, interface="::")
            except CannotListenError as error:
                if _number(error) not in {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}:
                    raise
        return listen(address.port, factory, backlog=BACKLOG, interface="")


@implementer(IListener)
class AdoptedPorts:
    """Takes sockets that listen already, given by file descriptor, as systemd and a parent process do.

    A socket serves the address that it is bound to. An address that none is bound to is asked of
    ``otherwise``. A socket is taken once, and is closed with the port that took it; ``close`` closes those
    that nobody took. Raises SettingError for a descriptor that is no listening TCP socket.
    """

    def __init__(self, reactor: IReactorSocket, descriptors: Iterable[int], otherwise: IListener) -> None:
        self._reactor = reactor
        self._otherwise = otherwise
        self._sockets = [_listening_socket(number) for number in descriptors]

    @property
    def left(self) -> int:
        """How many sockets nobody has taken."""
        return len(self._sockets)

    @property
    def addresses(self) -> list[Address]:
        """Where the sockets are bound that nobody has taken."""
        return [_bound_to(each) for each in self._sockets]

    def listen(self, address: Address, factory: ServerFactory[Any], setting: str) -> IListeningPort:
        found = next((each for each in self._sockets if serves(_bound_to(each), address)), None)
        if found is None:
            return self._otherwise.listen(address, factory, setting)
        self._sockets.remove(found)
        with found:
            # The reactor makes a descriptor of its own of it.
            return self._reactor.adoptStreamPort(found.fileno(), found.family, factory)

    def close(self) -> None:
        """Close what nobody took."""
        for each in self._sockets:
            each.close()
        self._sockets.clear()


def _listening_socket(number: int) -> socket.socket:
    try:
        found = socket.socket(fileno=number)
    except OSError as error:
        raise SettingError(f"file descriptor {number} cannot be adopted: {error_text(error)}") from None
    is_tcp = found.family in {socket.AF_INET, socket.AF_INET6} and found.type == socket.SOCK_STREAM
    if not is_tcp or not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        found.detach()
        raise SettingError(f"file descriptor {number} cannot be adopted: it is no listening TCP socket")
    found.setblocking(False)
    # An inherited descriptor is one that every child would inherit in its turn.
    found.set_inheritable(False)
    return found


def _bound_to(found: socket.socket) -> Address:
    return Address(*found.getsockname()[:2])


def serves(bound: Address, wanted: Address) -> bool:
    """Whether who is to listen at ``wanted`` may do so by a socket that is bound to ``bound``."""
    same = bound.host == wanted.host or {bound.host, wanted.host} <= _EVERY_HOST
    return same and bound.port == wanted.port and wanted.port != 0


def _number(error: CannotListenError) -> int | None:
    return error.socketError.errno if isinstance(error.socketError, OSError) else None


def _reason(error: CannotListenError) -> str:
    number = _number(error)
    if number == errno.EADDRINUSE:
        return "the port is already in use"
    if number == errno.EACCES:
        return "this user may not bind that port"
    return error_text(error.socketError)

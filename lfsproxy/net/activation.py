"""Listening ports of systemd's socket activation: it has bound them, and keeps them over a restart.

Which socket is whose is told by the address that it is bound to: all sockets of one unit have the same name.
Source: sd_listen_fds(3).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IListeningPort, IReactorSocket
from twisted.internet.protocol import ServerFactory
from zope.interface import implementer

from lfsproxy.errors import SettingError
from lfsproxy.logs import Logger
from lfsproxy.net.listening import AdoptedPorts, IListener, serves
from lfsproxy.settings import Address

FIRST = 3
"""The first descriptor; the others follow it."""


def environment_at_exec() -> dict[str, str]:
    """The environment that the process began with; empty where the system does not keep it."""
    try:
        entries = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    pairs = (os.fsdecode(entry).partition("=") for entry in entries)
    return {name: value for name, _, value in pairs}


def take_descriptors(environment: MutableMapping[str, str], began_with: Mapping[str, str]) -> list[int]:
    """The descriptors that systemd gave to this process, and to nobody that is started later.

    The import of twisted.internet.endpoints takes LISTEN_PID and LISTEN_FDS out of the environment, so they
    are looked for in that which the process ``began_with`` too.
    """
    given = {**began_with, **environment}
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        environment.pop(name, None)
    count = given.get("LISTEN_FDS", "")
    if given.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal():
        return []
    return list(range(FIRST, FIRST + int(count)))


@implementer(IListener)
class ActivatedPorts(Service):
    """systemd's sockets, each for the address that it is bound to; others are asked of ``otherwise``.

    As a service, it says at the start which sockets nobody has taken, and closes those at the end. A broker's
    socket may wait: ``broker_ports`` is the address of broker 0's. Raises SettingError for a descriptor that
    is no listening TCP socket.
    """

    _log = Logger()

    def __init__(
        self, reactor: IReactorSocket, descriptors: list[int], otherwise: IListener, broker_ports: Address
    ) -> None:
        self._adopted = AdoptedPorts(reactor, descriptors, otherwise)
        self._broker_ports = broker_ports

    def listen(self, address: Address, factory: ServerFactory[Any], setting: str) -> IListeningPort:
        try:
            return self._adopted.listen(address, factory, setting)
        except SettingError:
            for bound in self._adopted.addresses:
                if bound.port == address.port:
                    raise SettingError(
                        f"cannot listen at {address}: systemd has a socket at {bound}; {setting} and "
                        "ListenStream= must be the same address"
                    ) from None
            raise

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]  # of Twisted
        for bound in self._adopted.addresses:
            node = bound.port - self._broker_ports.port
            if node >= 0 and serves(bound, Address(self._broker_ports.host, bound.port)):
                self._log.info(
                    "systemd's socket at {bound} is for broker {node}, once that is known",
                    bound=bound,
                    node=node,
                )
            else:
                self._log.warn(
                    "systemd's socket at {bound} is for nobody, as no setting has that address: who connects "
                    "there is never answered",
                    bound=bound,
                )

    def stopService(self) -> None:
        super().stopService()  # type: ignore[no-untyped-call]  # of Twisted
        self._adopted.close()

"""How many clients may be connected to a door: in all, from one address, and as descriptors are left.

A client beyond that is refused before anything is made for it: its connection is closed as soon as it is
accepted. Some file descriptors are kept for what the clients who are there need: S3, brokers, files.

An address is that of the connection. What a load balancer says of the client behind it (the PROXY protocol,
X-Forwarded-For) is not looked at.
"""

# twisted.internet's factories are not annotated:
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import os
import resource
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol, ServerFactory

from lfsproxy.interfaces import IMetrics
from lfsproxy.logs import Logger
from lfsproxy.net.peers import plain_host

LEAST_KEPT: Final = 32
MOST_KEPT: Final = 1024
"""File descriptors that no client gets: an eighth of all, between these."""


def kept_descriptors(limit: int) -> int:
    """How many of ``limit`` file descriptors are kept from clients."""
    return max(LEAST_KEPT, min(limit // 8, MOST_KEPT))


def kept_now() -> int:
    """How many file descriptors of this process are kept from clients."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST_KEPT if limit == resource.RLIM_INFINITY else kept_descriptors(limit)


def free_descriptors() -> int | None:
    """How many file descriptors this process can still give to clients; None: there is no limit.

    A new descriptor is the lowest that is free, so all below it are taken. Those above may be taken too,
    which the ones that are kept make up for.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    try:
        lowest = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    os.close(lowest)
    return limit - kept_descriptors(limit) - lowest


class Admission:
    """Counts the connections of one door, which tells of each by ``entered`` and ``left``.

    ``door`` is its name in the metrics, ``setting`` that of LFS_…_MAX_CONNECTIONS. ``most`` in all and
    ``most_per_ip``: 0 for any number. ``each`` connection takes so many file descriptors, and ``owed``
    says how many those that are there will still take. ``make_room`` ends a connection that nobody needs,
    and says whether there was one.
    """

    _log = Logger()

    def __init__(
        self,
        door: str,
        setting: str,
        most: int,
        most_per_ip: int,
        metrics: IMetrics,
        each: int = 1,
        owed: Callable[[], int] = lambda: 0,
        make_room: Callable[[], bool] = lambda: False,
        free: Callable[[], int | None] = free_descriptors,
    ) -> None:
        self._door = door
        self._setting = setting
        self._most = most
        self._most_per_ip = most_per_ip
        self._metrics = metrics
        self._each = each
        self._owed = owed
        self._make_room = make_room
        self._free = free
        self._hosts = Counter[str]()
        self.connected = 0

    def entered(self, host: str) -> None:
        """A client at this address has connected."""
        self.connected += 1
        self._hosts[host] += 1

    def left(self, host: str) -> None:
        """Its connection is gone."""
        self.connected -= 1
        self._hosts[host] -= 1
        if not self._hosts[host]:
            del self._hosts[host]

    def admits(self, host: str) -> bool:
        """Whether one more client may connect from this address. A refusal is logged and counted."""
        if 0 < self._most_per_ip <= self._hosts[host]:
            why = f"{self._hosts[host]} connections are open from there ({self._setting}_PER_IP)"
            return self._refuse(host, "address", why)
        if 0 < self._most <= self.connected and not self._make_room():
            return self._refuse(
                host, "all", f"{self.connected} connections are open in all ({self._setting})"
            )
        free = self._free()
        if free is not None and free < self._each + self._owed() and not self._make_room():
            return self._refuse(
                host,
                "descriptors",
                f"the process runs out of file descriptors, with {self.connected} connections at this door",
            )
        return True

    def _refuse(self, host: str, reason: str, why: str) -> bool:
        self._metrics.refused(self._door, reason)
        self._log.warn(
            "a client of the {door} port ({peer}) is turned away: {why}",
            door=self._door.upper() if self._door == "http" else self._door.capitalize(),
            why=why,
            peer=host,
            kind=reason,
        )
        return False


class Admitting(ServerFactory[Any]):
    """Makes the connections of another factory, for clients that are admitted."""

    noisy = False

    def __init__(self, admission: Admission, factory: ServerFactory[Any]) -> None:
        self._admission = admission
        self._factory = factory

    def logPrefix(self) -> str:
        """What Twisted calls the port."""
        return str(self._factory.logPrefix())

    def doStart(self) -> None:
        self._factory.doStart()

    def doStop(self) -> None:
        self._factory.doStop()

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        if not self._admission.admits(host_at(addr)):
            return None
        made: Protocol | None = self._factory.buildProtocol(addr)
        return made


def host_at(address: Any) -> str:
    """The host of a transport's address, as people write it."""
    return plain_host(str(getattr(address, "host", address)))

"""Which broker has which address, and the proxy's own port for each.

Clients are told the proxy's address instead of a broker's: node N is at the broker port base + N, on every
replica alike. Every answer that names brokers comes through here before it is forwarded, so that a broker
that is new, or has moved, is listened for and followed in time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import ServerFactory

from lfsproxy.errors import SettingError
from lfsproxy.logs import Logger
from lfsproxy.net.broker_ports import advertised_base, port_trouble
from lfsproxy.net.listening import IListener
from lfsproxy.settings import Address, Settings

NO_NODE = -1
"""The node of an answer that names none, as FindCoordinator's errors."""


class BrokerDirectory:
    """Node id to the broker's address, with one listening port of ours per node.

    ``make_factory(node)`` makes what serves node N's port. Ports stay open once opened: a broker that went
    away may come back, and its clients then find the proxy where it was.
    """

    _log = Logger()

    def __init__(
        self, listener: IListener, settings: Settings, make_factory: Callable[[int], ServerFactory[Any]]
    ) -> None:
        self._listener = listener
        self._settings = settings
        self._make_factory = make_factory
        self._addresses: dict[int, Address] = {}
        self._ports: dict[int, IListeningPort] = {}
        self._unreachable: dict[int, str] = {}

    @property
    def ports(self) -> list[IListeningPort]:
        """Every broker port that is open."""
        return list(self._ports.values())

    def unreachable(self, nodes: Iterable[int]) -> list[str]:
        """Why those of the nodes that have no port here have none, one line each."""
        return [self._unreachable[node] for node in nodes if node in self._unreachable]

    @property
    def addresses(self) -> list[Address]:
        """Where every broker is, as last heard."""
        return list(self._addresses.values())

    def address(self, node: int) -> Address | None:
        """Where the broker is, as last heard."""
        return self._addresses.get(node)

    def follow(self, named: Mapping[int, tuple[str, int]]) -> None:
        """An answer names these brokers (node id to host and port): listen for each, remember where it is."""
        for node, (host, port) in named.items():
            if node == NO_NODE:
                continue
            address = Address(host, port)
            if self._addresses.get(node) not in {None, address}:
                self._log.info("broker {node} has moved to {address}", node=node, address=address)
            self._addresses[node] = address
            if node not in self._ports:
                self._open(node)

    def advertised(self, node: int, connected_to: str) -> tuple[str, int]:
        """Host and port that a client, itself connected to ``connected_to``, is told for a node.

        A node whose port could not be opened is told as port 0: a connection to it fails at once.
        """
        host = self._settings.kafka_advertised_host or connected_to
        if node not in self._ports:
            return host, 0
        return host, advertised_base(self._settings) + node

    def _open(self, node: int) -> None:
        trouble = port_trouble(self._settings, node)
        if trouble is not None:
            self._complain(node, str(trouble))
            return
        address = Address(self._settings.kafka_addr.host, self._settings.broker_port_base + node)
        try:
            port = self._listener.listen(address, self._make_factory(node), "LFS_KAFKA_BROKER_PORT_BASE")
        except SettingError as error:
            self._complain(node, f"broker {node} cannot be reached through the proxy: {error}")
            return
        self._unreachable.pop(node, None)
        self._ports[node] = port
        self._log.info(
            "broker {node} ({broker}) is served at {address}",
            node=node,
            broker=self._addresses[node],
            address=address,
        )

    def _complain(self, node: int, text: str) -> None:
        if node not in self._unreachable:
            self._log.error("{text}", text=text)
        self._unreachable[node] = text


class Advertised:
    """The brokers' addresses as one client is told them, which is itself connected to ``connected_to``."""

    def __init__(self, directory: BrokerDirectory, connected_to: str) -> None:
        self.follow = directory.follow
        self._directory = directory
        self._connected_to = connected_to

    def replace(self, node: int, host: str, port: int) -> tuple[str, int]:
        """Where the client reaches a node: at the proxy's own address for it. Node -1 is none."""
        if node < 0:
            return host, port
        return self._directory.advertised(node, self._connected_to)

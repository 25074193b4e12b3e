"""Connections to brokers by their addresses: one each, opened when it is needed, shared by all who ask."""

from __future__ import annotations

from functools import partial
from typing import Final

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

from lfsproxy.errors import BrokerUnavailable
from lfsproxy.kafka.connection import Connection
from lfsproxy.kafka.messages import API_VERSIONS, ranges_of
from lfsproxy.kafka.upstream import Upstream
from lfsproxy.settings import Address
from lfsproxy.shared import Shared

OPEN_SECONDS: Final = 4.0
"""How long a connection may take to be there, signed in: less than half of a question's time, as another
broker may lead by then."""


class Pool:
    """Signed-in connections. One that is lost, or whose sign-in soon expires, gives way to a new one."""

    def __init__(self, clock: IReactorTime, upstream: Upstream) -> None:
        self._clock = clock
        self._upstream = upstream
        self._open: dict[Address, Connection] = {}
        self._all: set[Connection] = set()
        self._opening = Shared(clock, self._connect)
        self._is_stopped = False

    def ready(self, address: Address) -> Connection | None:
        """The connection to a broker that takes questions now."""
        found = self._open.get(address)
        return found if found is not None and found.is_open else None

    async def get(self, address: Address) -> Connection:
        """The connection to a broker, or a new one. Raises BrokerUnavailable, SignInRefused."""
        return self.ready(address) or await self._opening.get(address)

    async def _connect(self, address: Address) -> Connection:
        if self._is_stopped:
            raise BrokerUnavailable("the proxy is shutting down")
        bootstrap = self._upstream.bootstrap
        connecting = Deferred.fromCoroutine(self._upstream.connect_signed_in([address]))
        try:
            stream, seconds = await connecting.addTimeout(OPEN_SECONDS, self._clock)
        except TimeoutError:
            bootstrap.hung(address)
            raise BrokerUnavailable(f"{address} is not connected to within {OPEN_SECONDS:g} s") from None
        connection = Connection(
            self._clock,
            stream,
            seconds,
            on_closed=lambda: self._closed(connection),
            on_answer=partial(bootstrap.answered, address),
            on_silence=partial(bootstrap.hung, address),
        )
        self._all.add(connection)
        try:
            connection.ranges = ranges_of(await connection.ask(API_VERSIONS, lambda version: {}))
        except BaseException:
            connection.abort("it was given up")
            raise
        self._open[address] = connection
        return connection

    def _closed(self, connection: Connection) -> None:
        self._all.discard(connection)
        if self._open.get(connection.address) is connection:
            del self._open[connection.address]

    async def stop(self) -> None:
        """Close all of them."""
        self._is_stopped = True
        self._opening.stop()
        for connection in list(self._all):
            connection.abort("the proxy is shutting down")
            await connection.over

"""Tells in the log of uploads that take longer than clients wait: each may end in a new attempt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime

from lfsproxy.logs import Logger
from lfsproxy.relay.produce.batches import Batch
from lfsproxy.relay.produce.connection import Connection

LONG_SECONDS: Final = 25.0
"""Below the shortest time, 30 s, after which clients give up a request by default."""


class Slowness:
    """Measures one request of ``size`` bytes from now on."""

    _log = Logger()

    def __init__(self, reactor: IReactorTime, connection: Connection, size: int) -> None:
        self._reactor = reactor
        self._connection = connection
        self._size = size
        self._began_at = reactor.seconds()
        self._uploads_any = False

    def look_at(self, batches: Sequence[Batch]) -> None:
        """Note whether something is uploaded for these batches, before their claims are told their fate."""
        self._uploads_any = self._uploads_any or any(batch.claims for batch in batches)

    def tell(self, what: str) -> None:
        """Say so where it took long; ``what`` stands before the seconds."""
        seconds = self._reactor.seconds() - self._began_at
        if seconds >= LONG_SECONDS and self._uploads_any:
            self._log.warn(
                "a Produce request of {client} ({peer}) of {size} bytes {what} {seconds:.0f} s: its "
                "request.timeout.ms (librdkafka: socket.timeout.ms) must be above that, and "
                "delivery.timeout.ms (message.timeout.ms) several times that",
                client=self._connection.client_name,
                peer=self._connection.peer,
                size=self._size,
                what=what,
                seconds=seconds,
            )

"""Which brokers there are: asked again and again as the proxy itself, so that each has a port here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from lfsproxy.errors import BrokerUnavailable, LfsError
from lfsproxy.kafka.stream import ConnectionGone, uncancelled
from lfsproxy.kafka.upstream import Upstream
from lfsproxy.logs import Logger
from lfsproxy.readiness import KnownTrouble
from lfsproxy.relay.brokers import BrokerDirectory
from lfsproxy.settings import Address, Settings
from lfsproxy.words import error_text

ASK_SECONDS: Final = 30.0
"""Between two questions while all is well. What is new in between is learnt from clients' answers."""
RETRY_SECONDS: Final = 1.0
"""Between two questions while no broker's address is known, and the proxy is not ready."""


class Cluster:
    """Learns the brokers' addresses, where there is an identity to ask with; ``trouble``: why it did not."""

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        settings: Settings,
        directory: BrokerDirectory,
        upstream: Upstream,
        trouble: KnownTrouble,
    ) -> None:
        self._has_identity = settings.has_identity
        self._directory = directory
        self._upstream = upstream
        self._trouble = trouble
        self._known = False
        self._has_bound = False
        self._told_controllers: set[Address] = set()
        self._asks = LoopingCall(self._begin_ask)
        self._asks.clock = clock
        self._asking: Deferred[None] | None = None

    def start(self) -> None:
        """Begin to ask."""
        if self._has_identity:
            self._asks.start(RETRY_SECONDS)

    def stop(self) -> None:
        """Ask no more."""
        if self._asks.running:
            self._asks.stop()
        if self._asking is not None:
            self._asking.cancel()

    async def check(self) -> None:
        """Raise BrokerUnavailable where no broker's address is known yet; without an identity, where no
        broker answers."""
        if not self._has_identity:
            await self._upstream.ping(self.bootstrap_targets())
            return
        if self._asking is not None and not (self._known or self._trouble.text):
            await uncancelled(self._asking)
        if not self._known:
            raise BrokerUnavailable(self._trouble.text or "the brokers were not asked yet")

    def bootstrap_targets(self) -> Sequence[Address]:
        """Where a client that bootstraps is connected to, in the order in which they are tried."""
        return self._upstream.bootstrap.targets()

    def _begin_ask(self) -> Deferred[None]:
        self._asking = Deferred.fromCoroutine(self._ask_brokers())
        self._asking.addErrback(self._ask_failed)
        return self._asking

    def _ask_failed(self, failure: Failure) -> None:
        # Only a stop cancels it; anything else that is not foreseen must not end the asking.
        if not failure.check(CancelledError, ConnectingCancelledError):
            self._log.failure("asking for the brokers' addresses failed", failure=failure)
            self._set_known(False, "the brokers' addresses could not be learnt")

    async def _ask_brokers(self) -> None:
        """Learn every broker's address, so that their ports are open before clients are sent there."""
        try:
            named = await self._upstream.fetch_brokers(self.bootstrap_targets())
        except (LfsError, ConnectionGone, OSError) as error:
            self._set_known(False, error_text(error))
            self._asks.interval = RETRY_SECONDS
            return
        self._warn_of_controllers()
        self._directory.follow(named)
        unreachable = self._directory.unreachable(named)
        if unreachable and not self._has_bound:
            # Later on, one broker that cannot be served is no reason to turn the clients of all others away.
            self._set_known(False, "; ".join(unreachable))
            self._asks.interval = RETRY_SECONDS
            return
        self._has_bound = True
        self._set_known(True, "")
        self._asks.interval = ASK_SECONDS

    def _warn_of_controllers(self) -> None:
        for address in self._upstream.bootstrap.controllers - self._told_controllers:
            self._log.warn(
                "{address} in LFS_KAFKA_BROKERS is a Kafka controller, not a broker: it is not used; name "
                "only brokers there",
                address=address,
            )
        self._told_controllers = set(self._upstream.bootstrap.controllers)

    def _set_known(self, known: bool, trouble: str) -> None:
        if known and not self._known:
            self._log.info("the brokers' addresses are known")
        self._known, self._trouble.text = known, trouble

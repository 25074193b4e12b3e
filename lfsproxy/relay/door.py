"""The Kafka door as a service: its ports, and a session for each client, from the start to the stop."""

from __future__ import annotations

import random as random_source
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IListeningPort, IReactorTCP, IReactorTime
from twisted.internet.protocol import ServerFactory
from twisted.internet.task import LoopingCall

from lfsproxy.budget import MemoryBudget
from lfsproxy.claimcheck import ClaimCheck
from lfsproxy.interfaces import IBlobSource, IMetrics
from lfsproxy.kafka.bootstrap import Bootstrap
from lfsproxy.kafka.stream import FrameStream, uncancelled
from lfsproxy.kafka.upstream import BrokerStream, Upstream
from lfsproxy.logs import Logger
from lfsproxy.net.admission import Admission
from lfsproxy.net.listening import IListener
from lfsproxy.net.peers import CHECK_SECONDS
from lfsproxy.readiness import KnownTrouble
from lfsproxy.relay.accepting import Accepting, Targets
from lfsproxy.relay.brokers import BrokerDirectory
from lfsproxy.relay.cluster import Cluster
from lfsproxy.relay.context import RelayContext
from lfsproxy.relay.fetch.shared import Shared as FetchShared
from lfsproxy.relay.produce.shared import Shared
from lfsproxy.relay.session import Session
from lfsproxy.settings import Address, Settings

NO_IDENTITY: Final = (
    "LFS_KAFKA_SASL_MECHANISM is not set, so the proxy has no identity of its own: only the bootstrap port "
    "is up until a client's answers name the brokers, and the HTTP API cannot publish"
)
CLEAN_UP_SECONDS: Final = 5.0
"""How long a stop waits for blobs that are being removed. What is not removed by then stays."""


class RelayService(Service):
    """The relay as a Twisted service.

    Call ``open`` before the service starts; it raises SettingError where the bootstrap port cannot be bound.
    ``check`` raises BrokerUnavailable until the cluster's brokers are known and their ports are open; why
    they are not is in ``trouble`` for others to tell.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        claims: ClaimCheck,
        source: IBlobSource,
        budget: MemoryBudget,
        metrics: IMetrics,
        listener: IListener,
        trouble: KnownTrouble | None = None,
        upstream: Upstream | None = None,
        random: Callable[[], float] = random_source.random,
    ) -> None:
        self._settings = settings
        self._listener = listener
        self._port: IListeningPort | None = None
        self._sessions: dict[Session, Deferred[None]] = {}
        directory = BrokerDirectory(listener, settings, self._node_factory)
        self._upstream = upstream or Upstream(cast(IReactorTCP, reactor), settings)
        clock = cast(IReactorTime, reactor)
        produce = Shared(clock, settings, claims, budget, metrics)
        fetch = FetchShared(clock, settings, source, budget, metrics, produce.scans)
        self._context = RelayContext(
            clock, settings, metrics, directory, self._upstream, produce, fetch, random
        )
        self._tls = None
        if settings.kafka_listener_tls_cert:
            from lfsproxy.net.tls import ServerTls

            self._tls = ServerTls(
                "LFS_KAFKA_LISTENER_TLS",
                settings.kafka_listener_tls_cert,
                settings.kafka_listener_tls_key,
                settings.kafka_listener_tls_client_ca,
            )
        self._connecting = 0
        admission = Admission(
            "kafka",
            "LFS_KAFKA_MAX_CONNECTIONS",
            settings.kafka_max_connections,
            settings.kafka_max_connections_per_ip,
            metrics,
            each=2,
            owed=lambda: self._connecting + self._accepting.handshakes,
        )
        self._accepting = Accepting(clock, self._tls, metrics, admission, self._begin)
        self._cluster = Cluster(clock, settings, directory, self._upstream, trouble or KnownTrouble())
        self._looks = LoopingCall(self._look)
        self._looks.clock = reactor

    # Start and stop

    @property
    def bootstrap(self) -> Bootstrap:
        """Which broker is asked first."""
        return self._upstream.bootstrap

    def open(self) -> None:
        """Bind the bootstrap port. Raises SettingError, also where a certificate cannot be used."""
        self._upstream.check_files()
        if self._tls is not None:
            self._tls.check()
        factory = self._accepting.factory(self._cluster.bootstrap_targets)
        self._port = self._listener.listen(self._settings.kafka_addr, factory, "LFS_KAFKA_ADDR")
        self._say_identity()

    def notes(self) -> list[str]:
        """What to know of a relay that is ready."""
        return self._upstream.identity.notes() if self._settings.has_identity else [NO_IDENTITY]

    def _say_identity(self) -> None:
        settings = self._settings
        for note in self.notes():
            self._log.warn("{note}", note=note)
        if settings.kafka_oauth_token_url and not settings.oauth_uses_tls:
            self._log.warn(
                "LFS_KAFKA_OAUTH_TOKEN_URL is http: the client's secret travels in the clear; use https, or "
                "a trusted network"
            )
        lent = ""
        if settings.kafka_client_identity == "proxy":
            lent = "LFS_KAFKA_CLIENT_IDENTITY is proxy"
        elif settings.kafka_tls_cert and not settings.uses_sasl:
            lent = "LFS_KAFKA_TLS_CERT is the sign-in, and a client's own certificate cannot be relayed"
        if lent and not settings.kafka_listener_tls_client_ca:
            self._log.warn(
                "{lent}: whoever reaches the Kafka port acts with the proxy's rights; use a trusted network, "
                "or LFS_KAFKA_LISTENER_TLS_CLIENT_CA",
                lent=lent,
            )

    @property
    def bootstrap_port(self) -> int:
        """The port that clients bootstrap from, once open."""
        return cast(int, cast(Any, self._port).getHost().port)

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]  # of Twisted
        self._cluster.start()
        self._looks.start(CHECK_SECONDS, now=False)

    async def check(self) -> None:
        """Raise BrokerUnavailable where no broker's address is known yet; without an identity, where no
        broker answers."""
        await self._cluster.check()

    def stop_listening(self) -> Deferred[Any]:
        """Take no new connections."""
        ports = [self._port] if self._port is not None else []
        stops = [port.stopListening() for port in [*ports, *self._context.directory.ports]]
        return gatherResults([stop for stop in stops if stop is not None])

    def drain(self) -> Deferred[Any]:
        """Read no new requests; fires when every session has answered what it was asked, and is closed."""
        self._accepting.end_handshakes()
        for session in list(self._sessions):
            session.drain()
        return gatherResults([uncancelled(over) for over in self._sessions.values()])

    async def stopService(self) -> None:
        """Close everything at once, as ``drain`` may have been given its time before."""
        super().stopService()  # type: ignore[no-untyped-call]  # of Twisted
        if self._looks.running:
            self._looks.stop()
        self._cluster.stop()
        self._upstream.identity.stop()
        await self.stop_listening()
        self._accepting.end_handshakes()
        sessions = list(self._sessions.items())
        for session, _ in sessions:
            session.give_up()
        await gatherResults([over for _, over in sessions])
        await self._context.produce.cleaned_up(CLEAN_UP_SECONDS)

    # Sessions

    @property
    def sessions(self) -> list[Session]:
        """Those that are not over."""
        return list(self._sessions)

    def _begin(self, client: FrameStream, targets: Targets) -> None:
        """A client has connected, and its handshake is done."""

        async def connect() -> tuple[BrokerStream, float | None]:
            # Whose descriptor is not taken yet.
            self._connecting += 1
            try:
                if self._settings.kafka_client_identity == "proxy":
                    return await self._upstream.connect_signed_in(targets())
                return await self._upstream.connect(targets()), None
            finally:
                self._connecting -= 1

        session = Session(self._context, client, connect)
        self._sessions[session] = over = Deferred.fromCoroutine(session.run())
        over.addErrback(lambda failure: self._log.failure("a Kafka session failed", failure=failure))

        def done(_: object) -> None:
            self._sessions.pop(session, None)

        over.addCallback(done)

    def _look(self) -> None:
        for session in list(self._sessions):
            session.look_for_hang_up()
            session.look_at_age()
            session.look_at_silence()

    def _node_factory(self, node: int) -> ServerFactory[Any]:
        def targets() -> Sequence[Address]:
            address = self._context.directory.address(node)
            return [address] if address is not None else []

        return self._accepting.factory(targets)

"""The Kafka door: listens at the bootstrap port and one port per broker, and makes a session per client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IListeningPort,
    IReactorTCP,
    IReactorTime,
)
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.task import LoopingCall
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from lfsproxy.budget import MemoryBudget
from lfsproxy.claimcheck import ClaimCheck
from lfsproxy.errors import BrokerUnavailable, LfsError
from lfsproxy.interfaces import IMetrics
from lfsproxy.logs import Logger
from lfsproxy.net.listening import listen
from lfsproxy.net.peers import CHECK_SECONDS
from lfsproxy.net.tls import ServerTls, tls_trouble
from lfsproxy.readiness import KnownTrouble
from lfsproxy.relay.brokers import BrokerDirectory
from lfsproxy.relay.context import RelayContext
from lfsproxy.relay.produce.shared import Shared
from lfsproxy.relay.session import Session
from lfsproxy.relay.stream import ConnectionGone, FrameStream, uncancelled
from lfsproxy.relay.upstream import BrokerStream, Upstream
from lfsproxy.settings import Address, Settings
from lfsproxy.wire.frames import RequestFrames
from lfsproxy.words import error_text

METADATA_SECONDS = 30.0
METADATA_RETRY_SECONDS = 1.0
HANDSHAKE_SECONDS = 10.0
NO_IDENTITY = (
    "LFS_KAFKA_SASL_MECHANISM is not set, so the proxy has no identity of its own: only the bootstrap port "
    "is up until a client's answers name the brokers, and the HTTP API cannot publish"
)
CLEAN_UP_SECONDS = 5.0


class _ClientFactory(ServerFactory[Any]):
    """Makes the client's side of a session; ``targets`` says where its broker's side connects to."""

    noisy = False

    def __init__(self, door: RelayService, targets: Callable[[], Sequence[Address]], tls: bool) -> None:
        self._door = door
        self._targets = targets
        self._make = _TlsClientStream if tls else _ClientStream

    def logPrefix(self) -> str:
        """What Twisted calls the port."""
        return "the Kafka port"

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return self._make(self._door, self._targets)


class _ClientStream(FrameStream):
    """A client's connection, which begins its session when it is made."""

    def __init__(self, door: RelayService, targets: Callable[[], Sequence[Address]]) -> None:
        super().__init__(RequestFrames(), door.reactor)
        self._door = door
        self._targets = targets

    def connectionMade(self) -> None:
        super().connectionMade()
        self._begin()

    def _begin(self) -> None:
        self._door.begin(self, self._targets)


@implementer(IHandshakeListener)
class _TlsClientStream(_ClientStream):
    """The same over TLS: the session begins when the handshake is done, a client's certificate verified."""

    def _begin(self) -> None:
        self._door.handshakes.add(self)
        self._late = self._door.reactor.callLater(HANDSHAKE_SECONDS, self.abort)

    def handshakeCompleted(self) -> None:
        self._end_handshake()
        self._door.begin(self, self._targets)

    def connectionLost(self, reason: Failure | None = None) -> None:
        if self in self._door.handshakes:
            self._end_handshake()
            self._door.handshake_failed(self.peer, tls_trouble(reason))
        super().connectionLost(reason)

    def _end_handshake(self) -> None:
        self._door.handshakes.discard(self)
        if self._late.active():
            self._late.cancel()


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
        budget: MemoryBudget,
        metrics: IMetrics,
        trouble: KnownTrouble | None = None,
    ) -> None:
        self.reactor = reactor
        self._trouble = trouble or KnownTrouble()
        self.handshakes: set[FrameStream] = set()
        self._settings = settings
        self._port: IListeningPort | None = None
        self._sessions: dict[Session, Deferred[None]] = {}
        self._next_bootstrap = 0
        self._known = False
        self._has_bound = False
        self._told_controllers: set[Address] = set()
        directory = BrokerDirectory(cast(IReactorTCP, reactor), settings, self._node_factory)
        self._upstream = Upstream(cast(IReactorTCP, reactor), settings)
        clock = cast(IReactorTime, reactor)
        produce = Shared(clock, settings, claims, budget, metrics)
        self._context = RelayContext(clock, settings, metrics, directory, self._upstream, produce)
        self._tls = None
        if settings.kafka_listener_tls_cert:
            self._tls = ServerTls(
                "LFS_KAFKA_LISTENER_TLS",
                settings.kafka_listener_tls_cert,
                settings.kafka_listener_tls_key,
                settings.kafka_listener_tls_client_ca,
            )
        self._asks = LoopingCall(self._begin_ask)
        self._asks.clock = reactor
        self._asking: Deferred[None] | None = None
        self._looks = LoopingCall(self._look_for_hang_ups)
        self._looks.clock = reactor

    # Start and stop

    def open(self) -> None:
        """Bind the bootstrap port. Raises SettingError, also where a certificate cannot be used."""
        self._upstream.check_files()
        if self._tls is not None:
            self._tls.check()
        factory = self._factory(self._bootstrap_targets)
        self._port = listen(self.reactor, self._settings.kafka_addr, factory, "LFS_KAFKA_ADDR")
        self._say_identity()

    def notes(self) -> list[str]:
        """What to know of a relay that is ready."""
        return [] if self._settings.has_identity else [NO_IDENTITY]

    def _say_identity(self) -> None:
        settings = self._settings
        for note in self.notes():
            self._log.warn("{note}", note=note)
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

    def _factory(self, targets: Callable[[], Sequence[Address]]) -> ServerFactory[Any]:
        factory = _ClientFactory(self, targets, self._tls is not None)
        if self._tls is None:
            return factory
        return cast(ServerFactory[Any], TLSMemoryBIOFactory(self._tls, False, factory, self.reactor))

    @property
    def bootstrap_port(self) -> int:
        """The port that clients bootstrap from, once open."""
        return cast(int, cast(Any, self._port).getHost().port)

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]  # of Twisted
        if self._settings.has_identity:
            self._asks.start(METADATA_RETRY_SECONDS)
        self._looks.start(CHECK_SECONDS, now=False)

    async def check(self) -> None:
        """Raise BrokerUnavailable where no broker's address is known yet; without an identity, where no
        broker answers."""
        if not self._settings.has_identity:
            await self._upstream.ping(self._bootstrap_targets())
            return
        if self._asking is not None and not (self._known or self._trouble.text):
            await uncancelled(self._asking)
        if not self._known:
            raise BrokerUnavailable(self._trouble.text or "the brokers were not asked yet")

    def stop_listening(self) -> Deferred[Any]:
        """Take no new connections."""
        ports = [self._port] if self._port is not None else []
        stops = [port.stopListening() for port in [*ports, *self._context.directory.ports]]
        return gatherResults([stop for stop in stops if stop is not None])

    def drain(self) -> Deferred[Any]:
        """Read no new requests; fires when every session has answered what it was asked, and is closed."""
        self._end_handshakes()
        for session in list(self._sessions):
            session.drain()
        return gatherResults([uncancelled(over) for over in self._sessions.values()])

    async def stopService(self) -> None:
        """Close everything at once, as ``drain`` may have been given its time before."""
        super().stopService()  # type: ignore[no-untyped-call]  # of Twisted
        for loop in (self._asks, self._looks):
            if loop.running:
                loop.stop()
        if self._asking is not None:
            self._asking.cancel()
        await self.stop_listening()
        self._end_handshakes()
        sessions = list(self._sessions.items())
        for session, _ in sessions:
            session.give_up()
        await gatherResults([over for _, over in sessions])
        await self._context.produce.cleaned_up(CLEAN_UP_SECONDS)

    def _end_handshakes(self) -> None:
        for stream in list(self.handshakes):
            stream.abort()

    # Sessions

    @property
    def sessions(self) -> list[Session]:
        """Those that are not over."""
        return list(self._sessions)

    def handshake_failed(self, peer: str, trouble: str) -> None:
        """A client's connection ended before its session began; ``trouble`` is "" where it just went away."""
        if not trouble:
            self._log.debug("a Kafka client ({peer}) left without a request", peer=peer)
        else:
            self._log.warn("a Kafka client ({peer}) is turned away: {trouble}", peer=peer, trouble=trouble)
            self._context.metrics.kafka_closed("tls")

    def begin(self, client: FrameStream, targets: Callable[[], Sequence[Address]]) -> None:
        """A client has connected."""

        async def connect() -> tuple[BrokerStream, float | None]:
            if self._settings.kafka_client_identity == "proxy":
                return await self._upstream.connect_signed_in(targets())
            return await self._upstream.connect(targets()), None

        session = Session(self._context, client, connect)
        self._sessions[session] = over = Deferred.fromCoroutine(session.run())
        over.addErrback(lambda failure: self._log.failure("a Kafka session failed", failure=failure))

        def done(_: object) -> None:
            self._sessions.pop(session, None)

        over.addCallback(done)

    def _look_for_hang_ups(self) -> None:
        for session in list(self._sessions):
            session.look_for_hang_up()

    # Where brokers are

    def _bootstrap_targets(self) -> Sequence[Address]:
        """Each of LFS_KAFKA_BROKERS comes first in turn; where none answers, a broker that is known may.

        A controller among them is asked last: no client can be served by it.
        """
        controllers = self._upstream.controllers
        brokers = self._settings.kafka_brokers
        self._next_bootstrap = (self._next_bootstrap + 1) % len(brokers)
        named = [*brokers[self._next_bootstrap :], *brokers[: self._next_bootstrap]]
        named.sort(key=lambda each: each in controllers)
        return [*named, *(each for each in self._context.directory.addresses if each not in named)]

    def _node_factory(self, node: int) -> ServerFactory[Any]:
        def targets() -> Sequence[Address]:
            address = self._context.directory.address(node)
            return [address] if address is not None else []

        return self._factory(targets)

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
            named = await self._upstream.fetch_brokers(self._bootstrap_targets())
        except (LfsError, ConnectionGone, OSError) as error:
            self._set_known(False, error_text(error))
            self._asks.interval = METADATA_RETRY_SECONDS
            return
        self._warn_of_controllers()
        directory = self._context.directory
        directory.follow(named)
        unreachable = directory.unreachable(named)
        if unreachable and not self._has_bound:
            # Later on, one broker that cannot be served is no reason to turn the clients of all others away.
            self._set_known(False, "; ".join(unreachable))
            self._asks.interval = METADATA_RETRY_SECONDS
            return
        self._has_bound = True
        self._set_known(True, "")
        self._asks.interval = METADATA_SECONDS

    def _warn_of_controllers(self) -> None:
        for address in self._upstream.controllers - self._told_controllers:
            self._log.warn(
                "{address} in LFS_KAFKA_BROKERS is a Kafka controller, not a broker: it is not used; name "
                "only brokers there",
                address=address,
            )
        self._told_controllers = set(self._upstream.controllers)

    def _set_known(self, known: bool, trouble: str) -> None:
        if known and not self._known:
            self._log.info("the brokers' addresses are known")
        self._known, self._trouble.text = known, trouble

"""Clients' connections until their sessions begin: what listens at a port, and TLS handshakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from twisted.internet.interfaces import IAddress, IDelayedCall, IHandshakeListener, IReactorTime
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from lfsproxy.interfaces import IMetrics
from lfsproxy.kafka.stream import FrameStream
from lfsproxy.logs import Logger
from lfsproxy.net.admission import Admission, Admitting, host_at
from lfsproxy.net.tls_errors import tls_trouble
from lfsproxy.settings import Address
from lfsproxy.wire.frames import RequestFrames

if TYPE_CHECKING:
    from lfsproxy.net.tls import ServerTls

HANDSHAKE_SECONDS: Final = 10.0
"""Within which a client completes its TLS handshake. Nothing else is done for it before."""

Targets = Callable[[], Sequence[Address]]
"""Where the broker's side of a session connects to: the first of these that answers."""
Begin = Callable[[FrameStream, Targets], None]
"""Begins a session with a client's connection."""


class Accepting:
    """Makes what listens at a port. ``tls`` None: clients connect without it. ``admission`` is told of all
    connections, and which clients get one."""

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        tls: ServerTls | None,
        metrics: IMetrics,
        admission: Admission,
        begin: Begin,
    ) -> None:
        self.begin = begin
        self.admission = admission
        self._reactor = reactor
        self._tls = tls
        self._metrics = metrics
        self._handshakes: dict[FrameStream, IDelayedCall] = {}

    def factory(self, targets: Targets) -> ServerFactory[Any]:
        """What makes the connections of a port, whose sessions go to ``targets``."""
        factory: Any = _ClientFactory(self, self._reactor, targets, self._tls is not None)
        if self._tls is not None:
            from twisted.protocols.tls import TLSMemoryBIOFactory

            factory = TLSMemoryBIOFactory(self._tls, False, factory, self._reactor)
        return Admitting(self.admission, factory)

    @property
    def handshakes(self) -> int:
        """How many clients have not completed theirs."""
        return len(self._handshakes)

    def end_handshakes(self) -> None:
        """Close the connections whose sessions have not begun."""
        for stream in list(self._handshakes):
            stream.abort()

    def handshake_begins(self, stream: FrameStream) -> None:
        """A client has connected, and has to complete its handshake."""
        self._handshakes[stream] = self._reactor.callLater(HANDSHAKE_SECONDS, self._late, stream)

    def _late(self, stream: FrameStream) -> None:
        self._log.info(
            "a Kafka client ({peer}) is turned away: its TLS handshake takes more than {seconds:g} s",
            peer=stream.peer,
            seconds=HANDSHAKE_SECONDS,
        )
        self._metrics.kafka_closed("handshake")
        stream.abort()

    def handshake_ends(self, stream: FrameStream) -> None:
        """It has, or its connection is closed."""
        late = self._handshakes.pop(stream)
        if late.active():
            late.cancel()

    def lost(self, stream: FrameStream, reason: Failure | None) -> None:
        """A client's connection is closed. Where its handshake was still going on, no session tells why."""
        if stream not in self._handshakes:
            return
        self.handshake_ends(stream)
        trouble = tls_trouble(reason)
        if not trouble:
            self._log.debug("a Kafka client ({peer}) left without a request", peer=stream.peer)
        else:
            self._log.warn(
                "a Kafka client ({peer}) is turned away: {trouble}", peer=stream.peer, trouble=trouble
            )
            self._metrics.kafka_closed("tls")


class _ClientFactory(ServerFactory[Any]):
    """Makes the clients' side of sessions."""

    noisy = False

    def __init__(self, accepting: Accepting, clock: IReactorTime, targets: Targets, tls: bool) -> None:
        self._accepting = accepting
        self._clock = clock
        self._targets = targets
        self._make = _TlsClientStream if tls else _ClientStream

    def logPrefix(self) -> str:
        """What Twisted calls the port."""
        return "the Kafka port"

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return self._make(self._accepting, self._clock, self._targets)


class _ClientStream(FrameStream):
    """A client's connection, which begins its session when it is made."""

    def __init__(self, accepting: Accepting, clock: IReactorTime, targets: Targets) -> None:
        super().__init__(RequestFrames(), clock)
        self._accepting = accepting
        self._targets = targets
        self._host = ""

    def connectionMade(self) -> None:
        self.enter()
        self._accepting.begin(self, self._targets)

    def enter(self) -> None:
        """The client is connected, whatever comes of it."""
        super().connectionMade()
        self._host = host_at(cast(Any, self.transport).getPeer())
        self._accepting.admission.entered(self._host)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._accepting.admission.left(self._host)
        super().connectionLost(reason)


@implementer(IHandshakeListener)
class _TlsClientStream(_ClientStream):
    """The same over TLS: the session begins when the handshake is done, a client's certificate verified."""

    def connectionMade(self) -> None:
        self.enter()
        self._accepting.handshake_begins(self)

    def handshakeCompleted(self) -> None:
        self._accepting.handshake_ends(self)
        self._accepting.begin(self, self._targets)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._accepting.lost(self, reason)
        super().connectionLost(reason)

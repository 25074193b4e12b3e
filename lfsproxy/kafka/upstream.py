"""The brokers' side of the relay: connections to them, and the questions that the proxy has by itself.

TLS and sign-in follow LFS_KAFKA_SECURITY_PROTOCOL. A connection that is opened for a client is signed in here
only with LFS_KAFKA_CLIENT_IDENTITY=proxy; else the client's own exchange is relayed on it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IAddress, IHandshakeListener, IReactorTCP, IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from lfsproxy.errors import BrokerUnavailable, FramingError, SettingError
from lfsproxy.kafka.bootstrap import Bootstrap
from lfsproxy.kafka.identity import Identity
from lfsproxy.kafka.race import Race
from lfsproxy.kafka.stream import ConnectionGone, FrameStream
from lfsproxy.net.connecting import connected, host_endpoint, why_unreached
from lfsproxy.net.tls_errors import UntrustedServer, tls_trouble
from lfsproxy.settings import Address, Settings
from lfsproxy.wire import addresses, metadata
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.frames import FrameBytes, ResponseFrames

CONNECT_SECONDS: Final = 10.0
"""Within which a broker takes a connection, and again within which it completes the TLS handshake."""
ANSWER_SECONDS: Final = 8.0
"""Less than readiness waits for, so that it hears what is wrong."""

BROKERS_ONLY: Final = frozenset({KafkaApi.METADATA, KafkaApi.PRODUCE})
"""APIs that a broker has, and a controller has not."""

_API_VERSIONS = metadata.api_versions_request()

T = TypeVar("T")


@implementer(IHandshakeListener)
class BrokerStream(FrameStream):
    """A connection to the broker at ``address``. ``trouble`` is what ended it, where TLS knows that;
    ``untrusted``: the broker's certificate; ``silent``: it was given up as nothing came."""

    def __init__(self, address: Address, clock: IReactorTime) -> None:
        super().__init__(ResponseFrames(), clock)
        self.address = address
        self.trouble = ""
        self.untrusted = False
        self.silent = False
        self._is_shaken = False
        self._shaken: Deferred[None] | None = None

    async def shaken(self) -> None:
        """Wait until the TLS handshake is done, or has failed: then the connection is closed."""
        if not self._is_shaken and not self.closed:
            self._shaken = Deferred()
            await self._shaken

    def give_up(self) -> None:
        """End it, as nothing comes."""
        self.silent = True
        self.abort()

    def handshakeCompleted(self) -> None:
        self._is_shaken = True
        self._fire_shaken()

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.trouble = tls_trouble(reason)
        self.untrusted = reason is not None and bool(reason.check(UntrustedServer))
        super().connectionLost(reason)
        self._fire_shaken()

    def _fire_shaken(self) -> None:
        waiting, self._shaken = self._shaken, None
        if waiting is not None:
            waiting.callback(None)


class _BrokerFactory(Factory):
    noisy = False

    def __init__(self, address: Address, clock: IReactorTime) -> None:
        self._address = address
        self._clock = clock

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return BrokerStream(self._address, self._clock)


class Upstream:
    """Opens connections to brokers. Raises BrokerUnavailable where none can be had.

    ``bootstrap`` tells which address is asked first; ``identity`` signs in at brokers.
    """

    def __init__(self, reactor: IReactorTCP, settings: Settings) -> None:
        self.bootstrap = Bootstrap(cast(IReactorTime, reactor), settings.kafka_brokers)
        self._reactor = reactor
        self._settings = settings
        self.identity = Identity(reactor, settings, self._named)
        self._tls = None
        if settings.uses_tls:
            from lfsproxy.net.tls import ClientTls

            self._tls = ClientTls(
                "LFS_KAFKA_TLS", settings.kafka_tls_ca, settings.kafka_tls_cert, settings.kafka_tls_key
            )

    def check_files(self) -> None:
        """Raise SettingError where the certificates or the password cannot be read."""
        if self._tls is not None:
            self._tls.check()
        self.identity.check_files()

    async def connect(self, targets: Sequence[Address]) -> BrokerStream:
        """Connect to the first of the addresses that answers. Where there is a choice, it has to answer a
        question: a process that hangs still has its connections taken by its system."""
        return await self._first(targets, self._open_alive if len(targets) > 1 else self._open)

    async def connect_signed_in(self, targets: Sequence[Address]) -> tuple[BrokerStream, float | None]:
        """Connect and sign in with the proxy's own identity; seconds until that has to be done again."""
        is_choice = len(targets) > 1 and not self._settings.uses_sasl

        async def open(address: Address) -> tuple[BrokerStream, float | None]:
            if is_choice:
                return await self._open_alive(address), None
            return await self._open_signed_in(address)

        return await self._first(targets, open)

    async def fetch_brokers(self, targets: Sequence[Address]) -> dict[int, tuple[str, int]]:
        """Every broker's host and port by node id, asked with the proxy's own identity."""
        named = await self._first(targets, self._brokers_by)
        self.bootstrap.follow(Address(host, port) for host, port in named.values())
        return named

    async def _brokers_by(self, address: Address) -> dict[int, tuple[str, int]]:
        stream, _ = await self._open_signed_in(address)
        try:
            body = await self._ask_once(stream, metadata.metadata_request())
        except ConnectionGone:
            if stream.silent:
                raise BrokerUnavailable(self._silence(stream)) from None
            raise await self._why_no_metadata(stream) from None
        named = addresses.brokers_named(KafkaApi.METADATA, metadata.VERSION, body)
        if not named:
            raise BrokerUnavailable(f"{self._named(address)} knows no broker: its metadata is empty")
        self.bootstrap.controllers.discard(address)
        return named

    async def _why_no_metadata(self, stream: BrokerStream) -> BrokerUnavailable:
        """Why a connection ended that was asked for metadata: a controller has none, and a port for SASL
        gives none before a sign-in. Both tell anybody which APIs they have."""
        named = self._named(stream.address)
        try:
            apis = metadata.apis_of(await self._ask_once(await self._open(stream.address), _API_VERSIONS))
        except (ConnectionGone, BrokerUnavailable):
            apis = frozenset()
        if apis and not apis & BROKERS_ONLY:
            self.bootstrap.controllers.add(stream.address)
            return self.controller(stream.address)
        if apis and not self._settings.uses_sasl:
            protocol = self._settings.kafka_security_protocol
            signed_in = "SASL_SSL" if self._settings.uses_tls else "SASL_PLAINTEXT"
            way_out = (
                f"if that port is for SASL, set LFS_KAFKA_SECURITY_PROTOCOL={signed_in} (it is {protocol})"
            )
            return BrokerUnavailable(
                f"{named} closes the connection when it is asked without a sign-in: {way_out}",
                way_out=way_out,
            )
        return BrokerUnavailable(self._gone(stream, "when asked for metadata"))

    async def ping(self, targets: Sequence[Address]) -> bytes:
        """Ask for what a broker answers to anybody: a sign of life without an identity. The answer to
        ApiVersions, version 0."""
        stream = await self.connect(targets)
        try:
            return await self._ask_once(stream, _API_VERSIONS)
        except ConnectionGone:
            raise BrokerUnavailable(self._gone(stream, "when asked for its versions")) from None

    # Connecting

    async def _first(
        self, targets: Sequence[Address], open: Callable[[Address], Coroutine[Deferred[Any], Any, T]]
    ) -> T:
        clock = cast(IReactorTime, self._reactor)
        return await Race(clock, targets, open, self.bootstrap.hung).result

    async def _open_alive(self, address: Address) -> BrokerStream:
        """A connection to a broker that has answered something lately, or does so now."""
        stream = await self._open(address)
        if self.bootstrap.is_alive(address):
            return stream
        try:
            if self._settings.uses_sasl:
                # The client's own sign-in comes on this connection, and may begin with the same question.
                await self._ask_once(await self._open(address), _API_VERSIONS)
            else:
                await self._ask(stream, _API_VERSIONS)
        except ConnectionGone:
            stream.abort()
            raise BrokerUnavailable(self._gone(stream, "when asked for its versions")) from None
        except BaseException:
            stream.abort()
            raise
        return stream

    async def _open(self, address: Address) -> BrokerStream:
        host = address.host or "localhost"
        endpoint: Any = host_endpoint(self._reactor, host, address.port, CONNECT_SECONDS)
        if self._tls is not None:
            endpoint = self._tls.over(endpoint, host, cast(IReactorTime, self._reactor))
        factory = _BrokerFactory(address, cast(IReactorTime, self._reactor))
        try:
            protocol = await connected(endpoint.connect(factory))
        except (ConnectError, OSError, ValueError) as error:
            raise self.unreached(address, error) from None
        stream = cast(BrokerStream, protocol)
        if self._tls is not None:
            await self._within(CONNECT_SECONDS, stream, stream.shaken())
            if stream.closed:
                raise BrokerUnavailable(f"{self._named(address)} {self._no_tls(stream)}")
        return stream

    async def _open_signed_in(self, address: Address) -> tuple[BrokerStream, float | None]:
        try:
            await self.identity.check(address)
        except SettingError as error:
            raise BrokerUnavailable(str(error)) from None
        stream = await self._open(address)

        def ask(frame: bytes) -> Awaitable[bytes]:
            return self._ask(stream, frame)

        try:
            seconds = await self.identity.sign_in_first(ask, address)
        except ConnectionGone:
            raise BrokerUnavailable(self._gone(stream, "during sign-in")) from None
        except SettingError as error:
            # The password file went since the look above.
            stream.abort()
            raise BrokerUnavailable(str(error)) from None
        except BaseException:
            stream.abort()
            raise
        return stream, seconds

    async def _ask_once(self, stream: BrokerStream, frame: bytes) -> bytes:
        """The only question on a connection."""
        try:
            return await self._ask(stream, frame)
        finally:
            stream.close()

    async def _ask(self, stream: BrokerStream, frame: bytes) -> bytes:
        """One question on a connection that has no other. Raises ConnectionGone, also where it takes long."""

        async def answer() -> bytes:
            stream.write(frame)
            await stream.next_event()
            body = bytearray()
            while isinstance(event := await stream.next_event(), FrameBytes):
                body += event.data
            return bytes(body)

        try:
            found = await self._within(ANSWER_SECONDS, stream, answer())
        except FramingError as error:
            protocol = f"LFS_KAFKA_SECURITY_PROTOCOL is {self._settings.kafka_security_protocol}"
            raise BrokerUnavailable(f"{self._named(stream.address)}: {error} ({protocol})") from None
        self.bootstrap.answered(stream.address)
        return found

    async def _within(self, seconds: float, stream: BrokerStream, steps: Awaitable[T]) -> T:
        """Close the connection where the steps take longer, or are given up."""

        def give_up() -> None:
            self.bootstrap.hung(stream.address)
            stream.give_up()

        late = cast(Any, self._reactor).callLater(seconds, give_up)
        try:
            return await steps
        except CancelledError:
            stream.abort()
            raise
        finally:
            if late.active():
                late.cancel()

    # What is wrong

    def unreached(self, address: Address, error: Exception) -> BrokerUnavailable:
        """What an endpoint's error says."""
        why = "it is no host name" if isinstance(error, ValueError) else why_unreached(error)
        return BrokerUnavailable(f"{self._named(address)} cannot be reached: {why}")

    def controller(self, address: Address) -> BrokerUnavailable:
        """What is wrong with an address that has none of BROKERS_ONLY."""
        return BrokerUnavailable(
            f"{self._named(address)} is a Kafka controller, not a broker: name only brokers in "
            "LFS_KAFKA_BROKERS",
            way_out="name only brokers in LFS_KAFKA_BROKERS",
        )

    def _named(self, address: Address) -> str:
        """An address, and where it comes from."""
        source = "LFS_KAFKA_BROKERS" if address in self._settings.kafka_brokers else "as the brokers name it"
        return f"{address} ({source})"

    def _gone(self, stream: BrokerStream, when: str) -> str:
        if stream.silent:
            return self._silence(stream)
        why = f" ({stream.trouble})" if stream.trouble else ""
        return f"{self._named(stream.address)} closed the connection {when}{why}"

    def _silence(self, stream: BrokerStream) -> str:
        return (
            f"{self._named(stream.address)} takes connections but gives no answer within "
            f"{ANSWER_SECONDS:g} s: the broker hangs, or that port is not a broker's"
        )

    def _no_tls(self, stream: BrokerStream) -> str:
        protocol = f"LFS_KAFKA_SECURITY_PROTOCOL is {self._settings.kafka_security_protocol}"
        if stream.silent:
            return f"does not answer the TLS handshake: is that port for TLS? {protocol}"
        if stream.untrusted:
            return f"is not trusted: {stream.trouble}"
        why = f" ({stream.trouble})" if stream.trouble else ""
        return f"does not complete the TLS handshake{why}: is that port for TLS? {protocol}"

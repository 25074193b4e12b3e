"""The proxy's own sign-in on kafka-python's connections: a password that changes, and one that is refused.

kafka-python takes a password once, for as long as a client lives, and tries a refused one again and again.
Here each connection gets the password as it is now, and credentials that a broker has refused are left alone
for a while, which is told at once to every question.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from kafka import errors as kafka_errors
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.protocol.consumer import FetchRequest

from lfsproxy.cli.kafka_words import reason
from lfsproxy.cli.tokens import CommandTokens
from lfsproxy.errors import LfsError
from lfsproxy.logs import Logger
from lfsproxy.settings import Settings
from lfsproxy.wire.sasl import RefusedSignIns, refusal_text

READ_SECONDS = 1.0
"""How old the password may be that was read from a file."""
_REFUSALS = (
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedSaslMechanismError,
    kafka_errors.IllegalSaslStateError,
    kafka_errors.KafkaConfigurationError,
)


class SignInWithheld(kafka_errors.SaslAuthenticationFailedError):  # type: ignore[misc]  # untyped
    """The broker has refused the credentials lately, and is not asked again yet. Its text says it all."""


class Identity:
    """The credentials of LFS_KAFKA_SASL_*, and which broker has refused them. For any number of threads.

    ``name`` is what messages call it.
    """

    _log = Logger()

    def __init__(
        self, settings: Settings, name: str = "the proxy", seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self.signs_in = settings.uses_sasl
        self._settings = settings
        self._name = name
        self._seconds = seconds
        self._refused = RefusedSignIns()
        self._credentials = ("", "", "")
        self._read_at: float | None = None
        self._told = ""
        self._tokens = CommandTokens(settings) if settings.kafka_oauth_token_url else None

    def credentials(self) -> tuple[str, str, str]:
        """Mechanism, user name and password or token as they are now. A token may have to be fetched.

        Those read last where they cannot be had now; SettingError, SignInRefused or BrokerUnavailable where
        they never could.
        """
        now = self._seconds()
        if self._read_at is None or now - self._read_at >= READ_SECONDS:
            try:
                self._credentials = self._read()
                self._told = ""
            except LfsError as error:
                if self._read_at is None:
                    raise
                if self._told != str(error):
                    self._told = str(error)
                    self._log.error("{error}; the one read before stays", error=error)
            self._read_at = now
        return self._credentials

    def _read(self) -> tuple[str, str, str]:
        if self._tokens is None:
            return self._settings.sasl_credentials()
        settings = self._settings
        return settings.kafka_sasl_mechanism, settings.kafka_oauth_client_id, self._tokens.current()

    def refusal(self, broker: object) -> tuple[float, str] | None:
        """For how many seconds ``broker`` is left alone, and why; None where it is not."""
        if not self.signs_in:
            return None
        found = self._refused.find(broker, self.credentials(), self._seconds())
        return None if found is None else (found.until - self._seconds(), found.why)

    def refused(self, broker: object, credentials: tuple[str, str, str], error: BaseException) -> None:
        """The sign-in to ``broker`` has failed with ``error``."""
        mechanism, username, _ = credentials
        why = refusal_text(self._name, mechanism, username, reason(error))
        trouble = "" if self._tokens is None else self._tokens.clock_trouble
        why += f" ({trouble})" if trouble else ""
        self._refused.refused(broker, credentials, self._seconds(), why)


class SigningManager(KafkaConnectionManager):  # type: ignore[misc]  # kafka-python is untyped
    """Makes kafka-python's connections with an identity; reads answers with null for no records.

    The protocol allows that (https://kafka.apache.org/protocol, Fetch: ``records`` is nullable). Apache Kafka
    sends an empty byte string instead, KafScale's broker sends null, and kafka-python's consumer fails on it.
    """

    def __init__(self, net: Any, identity: Identity, **configs: Any) -> None:
        self.identity = identity
        super().__init__(net, **configs)

    def send(self, request: Any, *args: Any, **named: Any) -> Any:
        """Send a request; its answer comes as kafka-python's future."""
        answer = super().send(request, *args, **named)
        if isinstance(request, FetchRequest):
            # Called before what the consumer adds.
            answer.add_callback(_no_null_records)
        return answer

    def connection_delay(self, node_id: Any) -> float:
        """Seconds until a connection may be tried."""
        delay: float = super().connection_delay(node_id)
        refusal = self.identity.refusal(self._place(node_id))
        return delay if refusal is None else max(delay, refusal[0])

    def get_connection(self, node_id: Any, *args: Any, **named: Any) -> Any:
        """The connection to a node, or a new one."""
        place = self._place(node_id)
        # Only the bootstrap asks so; it would wait for its own end instead of telling.
        if place is not None and named.get("pop_on_close") is False:
            refusal = self.identity.refusal(place)
            if refusal is not None:
                raise SignInWithheld(refusal[1])
        known = self._conns.get(node_id)
        credentials = self.identity.credentials()
        self.config["sasl_plain_password"] = credentials[2]
        connection = super().get_connection(node_id, *args, **named)
        # Also for when it signs in again (KIP-368).
        connection.config["sasl_plain_password"] = credentials[2]
        if connection is not known and place is not None:
            connection.init_future.add_errback(lambda error: self._failed(place, credentials, error, True))
            connection.close_future.add_errback(lambda error: self._failed(place, credentials, error, False))
        return connection

    def _failed(
        self, place: tuple[str, int], credentials: tuple[str, str, str], error: BaseException, at_first: bool
    ) -> None:
        """A connection has ended. Where it never began, what is neither Kafka's nor the network's is the
        mechanism's own: the broker's wrong proof, no ticket."""
        is_own = at_first and not isinstance(error, kafka_errors.KafkaError | OSError)
        if self.identity.signs_in and (is_own or isinstance(error, _REFUSALS)):
            self.identity.refused(place, credentials, error)

    async def _build_transport(self, *args: Any, **named: Any) -> Any:
        """A connected socket.

        kafka-python drops what it has read when the end of the stream is read with it. A broker that refuses
        a sign-in answers and closes at once: its answer must be heard, or it looks like a lost connection.
        """
        transport = await super()._build_transport(*args, **named)
        receive = transport._sock_recv

        def receive_all() -> tuple[bytes, Exception | None]:
            data, error = receive()
            return data, None if data else error

        transport._sock_recv = receive_all
        return transport

    def _place(self, node_id: Any) -> tuple[str, int] | None:
        """What a refusal is remembered by: a broker has one id to bootstrap from and another later."""
        broker = None if node_id is None else self.cluster.broker_metadata(node_id)
        return None if broker is None else (broker.host, broker.port)


def _no_null_records(response: Any) -> None:
    for topic in response.responses:
        for partition in topic.partitions:
            if partition.records is None:
                partition.records = b""


class SigningClient(KafkaNetClient):  # type: ignore[misc]  # kafka-python is untyped
    """The network client of producers and consumers, with an identity."""

    def __init__(self, identity: Identity, **configs: Any) -> None:
        net = NetworkSelector(**configs)
        super().__init__(net=net, manager=SigningManager(net, identity, **configs), **configs)

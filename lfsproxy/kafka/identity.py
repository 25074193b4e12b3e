"""The proxy's own identity at the brokers: its sign-in, and where that was refused or taken lately."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.threads import deferToThreadPool

from lfsproxy.errors import SignInRefused
from lfsproxy.kafka.tokens import Tokens
from lfsproxy.settings import Address, Settings
from lfsproxy.wakeups import Semaphore
from lfsproxy.wire import sasl

if TYPE_CHECKING:
    from lfsproxy.kafka.token_server import TokenClient

SIGN_IN_AGAIN: Final = 0.85
"""At which part of a session's lifetime the proxy signs in again."""

T = TypeVar("T")
Ask = Callable[[bytes], Awaitable[bytes]]
"""Sends a request's whole frame and gives its answer, from behind the correlation id on."""


class Identity:
    """Signs in by LFS_KAFKA_SASL_MECHANISM; without one there is nothing to do.

    ``named`` gives an address with where it comes from, for people.
    """

    def __init__(self, reactor: Any, settings: Settings, named: Callable[[Address], str]) -> None:
        self._reactor = reactor
        self._settings = settings
        self._named = named
        self._tokens: Tokens | None = None
        self._token_client: TokenClient | None = None
        if settings.kafka_oauth_token_url:
            from lfsproxy.kafka.token_server import TokenClient

            self._token_client = TokenClient(reactor, settings)
            self._tokens = Tokens(reactor, self._token_client)
        self._refused = sasl.RefusedSignIns()
        self._trusted: set[Address] = set()
        self._first_sign_ins: dict[Address, Semaphore] = {}

    def check_files(self) -> None:
        """Raise SettingError where the password, or what a token is fetched with, cannot be read."""
        if self._token_client is None:
            self._settings.sasl_credentials()
        else:
            self._token_client.check_files()

    async def check(self, address: Address) -> None:
        """Raise SignInRefused where the broker has refused these credentials lately.

        Waits for the first token, where one is fetched. Raises SignInRefused and BrokerUnavailable where
        there is none, SettingError where the password's file cannot be read.
        """
        if self._settings.kafka_sasl_mechanism:
            self._refused.check(address, await self._credentials(), self._now())

    async def _credentials(self) -> tuple[str, str, str]:
        """Mechanism, user name and password or token, as they are now. Raises as ``check`` does."""
        if self._tokens is None:
            return self._settings.sasl_credentials()
        token = await self._tokens.current()
        return self._settings.kafka_sasl_mechanism, self._settings.kafka_oauth_client_id, token

    def notes(self) -> list[str]:
        """What to know of an identity that can sign in."""
        return [] if self._tokens is None else self._tokens.notes()

    def stop(self) -> None:
        """Fetch no token any more."""
        if self._tokens is not None:
            self._tokens.stop()

    async def sign_in_first(self, ask: Ask, address: Address) -> float | None:
        """Sign in on a new connection: one at a time, for as long as the broker has taken none."""
        if address in self._trusted:
            return await self.sign_in(ask, address)
        clock = cast(IReactorTime, self._reactor)
        async with self._first_sign_ins.setdefault(address, Semaphore(clock, 1)):
            return await self.sign_in(ask, address)

    async def sign_in(self, ask: Ask, address: Address) -> float | None:
        """Sign in, where there is an identity to sign in with. Seconds until it has to be done again.

        Raises SignInRefused where the broker, or the broker's own proof, is not right, or was not lately:
        then it is not asked.
        """
        settings = self._settings
        mechanism = settings.kafka_sasl_mechanism
        if not mechanism:
            return None
        credentials = await self._credentials()
        self._refused.check(address, credentials, self._now())
        try:
            lifetime_ms = await self._exchange(ask, mechanism, credentials, address)
        except SignInRefused as error:
            self._trusted.discard(address)
            self._refused.refused(address, credentials, self._now(), str(error))
            if self._tokens is not None:
                self._tokens.refused(credentials[2])
            raise
        self._trusted.add(address)
        return lifetime_ms / 1000 * SIGN_IN_AGAIN if lifetime_ms > 0 else None

    async def _exchange(
        self, ask: Ask, mechanism: str, credentials: tuple[str, str, str], address: Address
    ) -> int:
        """The steps of a sign-in; the session's lifetime in milliseconds, 0 is unlimited."""
        _, username, password = credentials
        client = await self._in_thread(
            sasl.new_client,
            mechanism,
            username,
            password,
            address.host or "localhost",
            self._settings.kafka_security_protocol,
            self._settings.kafka_oauth_extensions,
        )
        error, offered = sasl.decode_handshake(await ask(sasl.handshake_request(0, mechanism)))
        if error and not offered:
            protocol = "SSL" if self._settings.uses_tls else "PLAINTEXT"
            way_out = f"set LFS_KAFKA_SECURITY_PROTOCOL={protocol}, or name a port for SASL"
            raise SignInRefused(f"{self._named(address)} takes no sign-in: {way_out}", way_out=way_out)
        if error:
            raise SignInRefused(
                f"the broker does not offer {mechanism} (LFS_KAFKA_SASL_MECHANISM), but {', '.join(offered)}"
            )
        lifetime_ms = 0
        while not client.is_done():
            token = await self._in_thread(client.auth_bytes)
            answer = sasl.decode_authenticate(await ask(sasl.authenticate_request(0, token)))
            if answer.error_code:
                said = answer.error_message or f"error {answer.error_code}"
                refusal = sasl.refusal_text("the proxy", mechanism, username, said)
                raise SignInRefused(refusal + self._clock_trouble())
            lifetime_ms = answer.lifetime_ms
            await self._in_thread(client.receive, answer.auth_bytes)
        return lifetime_ms

    def _clock_trouble(self) -> str:
        """What else may be wrong where a token is refused."""
        trouble = "" if self._tokens is None else self._tokens.clock_trouble
        return f" ({trouble})" if trouble else ""

    def _in_thread(self, call: Callable[..., T], *args: Any) -> Deferred[T]:
        """Key derivation takes a while, and some mechanisms ask other services."""
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), call, *args)

    def _now(self) -> float:
        return cast(float, self._reactor.seconds())

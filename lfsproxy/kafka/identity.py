"""The proxy's own identity at the brokers: its sign-in, and where that was refused or taken lately."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.threads import deferToThreadPool

from lfsproxy.errors import SignInRefused
from lfsproxy.quoting import quoted
from lfsproxy.settings import Address, Settings
from lfsproxy.wakeups import Semaphore
from lfsproxy.wire import sasl

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
        self._refused = sasl.RefusedSignIns()
        self._trusted: set[Address] = set()
        self._first_sign_ins: dict[Address, Semaphore] = {}

    def check_files(self) -> None:
        """Raise SettingError where the password cannot be read."""
        self._settings.sasl_credentials()

    def check(self, address: Address) -> None:
        """Raise SignInRefused where the broker has refused these credentials lately."""
        if self._settings.kafka_sasl_mechanism:
            self._refused.check(address, self._settings.sasl_credentials(), self._now())

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
        self.check(address)
        credentials = settings.sasl_credentials()
        try:
            lifetime_ms = await self._exchange(ask, mechanism, credentials, address)
        except SignInRefused as error:
            self._trusted.discard(address)
            self._refused.refused(address, credentials, self._now(), str(error))
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
                name = f" as {quoted(username)}" if username else ""
                raise SignInRefused(
                    f"the broker refuses the proxy's sign-in by {mechanism}{name}: "
                    f"{answer.error_message or f'error {answer.error_code}'}"
                )
            lifetime_ms = answer.lifetime_ms
            await self._in_thread(client.receive, answer.auth_bytes)
        return lifetime_ms

    def _in_thread(self, call: Callable[..., T], *args: Any) -> Deferred[T]:
        """Key derivation takes a while, and some mechanisms ask other services."""
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), call, *args)

    def _now(self) -> float:
        return cast(float, self._reactor.seconds())

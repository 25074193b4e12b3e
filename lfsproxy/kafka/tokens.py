"""The token of the proxy's own sign-in: fetched at its first use, renewed in time, off everybody's path.

A connection takes the token that is there. Only the first ones wait for it, for FIRST_SECONDS at most. A
token that cannot be renewed is used to its end; without one, every sign-in is told why there is none.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from lfsproxy.errors import BrokerUnavailable, LfsError, SettingError, SignInRefused
from lfsproxy.logs import Logger
from lfsproxy.wakeups import Condition
from lfsproxy.wire.oauth import Token, TokenServer, renew_after
from lfsproxy.wire.sasl import REFUSED_SECONDS
from lfsproxy.words import error_text

FIRST_SECONDS: Final = 3.0
"""How long a connection waits for the first token: less than it may take in all (``pool.OPEN_SECONDS``)."""
RETRY_SECONDS: Final = 1.0
"""After which a token is asked for again at first; twice as long each time."""
MOST_RETRY_SECONDS: Final = 30.0


class ITokenClient(Protocol):
    """What asks the token server (``token_server.TokenClient``)."""

    server: TokenServer

    def secret(self) -> str: ...

    def fetch(self, secret: str) -> Coroutine[Any, Any, Token]: ...


class Tokens:
    """``chance`` gives numbers from 0 up to 1, so that many proxies do not renew in the same moment."""

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, client: ITokenClient, chance: Callable[[], float] = random.random
    ) -> None:
        self._clock = clock
        self._client = client
        self._chance = chance
        self._token: Token | None = None
        self._asked_at = 0.0
        self._trouble: LfsError | None = None
        self._told = ""
        self._tries = 0
        self._refused_secret: str | None = None
        self._refused_at = self._failed_at = 0.0
        self._changed = Condition(clock)
        self._next: IDelayedCall | None = None
        self._fetching: Deferred[None] | None = None
        self._is_stopped = False

    # Who signs in

    async def current(self) -> str:
        """The token of now. Raises SignInRefused or BrokerUnavailable that say why there is none."""
        text = self.known()
        if text is None:
            try:
                await self._changed.wait().addTimeout(FIRST_SECONDS, self._clock)
            except TimeoutError:
                raise self._client.server.slow(FIRST_SECONDS) from None
            text = self.known()
        if text is None:
            raise BrokerUnavailable("the proxy is shutting down")
        return text

    def known(self) -> str | None:
        """The token of now, None while one is on its way. Raises as ``current`` does."""
        # Timers are late where the clock was set back, by as much.
        is_timer_late = not self._lately(self._failed_at, MOST_RETRY_SECONDS * 2)
        if not self._is_good() and (self._trouble is None or is_timer_late):
            self._renew()
        if self._token is not None and self._is_good():
            return self._token.text
        if self._trouble is not None:
            raise type(self._trouble)(str(self._trouble))
        return None

    def refused(self, text: str) -> None:
        """A broker does not take the token: perhaps it takes the next one, as keys are changed too."""
        is_current = self._token is not None and self._token.text == text
        if is_current and not self._lately(self._asked_at, REFUSED_SECONDS):
            self._renew()

    @property
    def clock_trouble(self) -> str:
        """What is wrong with this machine's clock, as far as the token shows; else empty."""
        return "" if self._token is None else self._token.clock_trouble

    def notes(self) -> list[str]:
        """What to know while there is a token."""
        if not self._is_good():
            return []
        trouble = "" if self._trouble is None else f"the proxy's token cannot be renewed: {self._trouble}"
        return [each for each in (trouble, self.clock_trouble) if each]

    def stop(self) -> None:
        """Fetch no more. The token that is there stays."""
        self._is_stopped = True
        self._cancel_next()
        if self._fetching is not None:
            self._fetching.cancel()
        self._changed.wake()

    # Renewing

    def _is_good(self) -> bool:
        """Whether there is a token that has not expired."""
        return self._token is not None and self._lately(self._asked_at, self._token.lifetime)

    def _lately(self, at: float, seconds: float) -> bool:
        """Whether that was less than so many seconds ago. What is yet to come was before the clock was set
        back, and nobody knows how long."""
        return 0 <= self._clock.seconds() - at < seconds

    def _cancel_next(self) -> None:
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = None

    def _renew_in(self, seconds: float) -> None:
        self._cancel_next()
        if not self._is_stopped:
            self._next = self._clock.callLater(seconds, self._renew)

    def _renew(self) -> None:
        if self._is_stopped or self._fetching is not None:
            return
        self._cancel_next()
        self._fetching = Deferred.fromCoroutine(self._fetch())
        self._fetching.addBoth(self._over)

    def _over(self, result: Failure | None) -> None:
        self._fetching = None
        if isinstance(result, Failure) and not result.check(CancelledError):
            self._log.failure("fetching a token failed", failure=result)
            self._failed(self._client.server.strange(f"cannot be followed: {error_text(result.value)}"))

    async def _fetch(self) -> None:
        asked_at = self._clock.seconds()
        try:
            secret = self._client.secret()
            if secret == self._refused_secret and self._lately(self._refused_at, REFUSED_SECONDS):
                self._renew_in(RETRY_SECONDS)
                return
            try:
                token = await self._client.fetch(secret)
            except SignInRefused:
                # Clients are locked by too many wrong secrets; a new one is tried at once.
                self._refused_secret, self._refused_at = secret, self._clock.seconds()
                raise
        except (SettingError, BrokerUnavailable) as error:
            self._failed(error)
        else:
            self._fetched(token, asked_at)

    def _failed(self, error: LfsError) -> None:
        self._trouble = error if isinstance(error, BrokerUnavailable) else BrokerUnavailable(str(error))
        self._failed_at = self._clock.seconds()
        wait = min(MOST_RETRY_SECONDS, RETRY_SECONDS * 2 ** min(self._tries, 10))
        wait *= 0.8 + 0.4 * self._chance()
        self._tries += 1
        self._renew_in(RETRY_SECONDS if isinstance(error, SignInRefused) else wait)
        # Without a token, readiness says it.
        if self._is_good() and self._told != str(error):
            self._told = str(error)
            self._log.warn(
                "the proxy's token cannot be renewed, and is used while it lives: {error}", error=str(error)
            )
        self._changed.wake()

    def _fetched(self, token: Token, asked_at: float) -> None:
        if self._told:
            self._log.info("the proxy's token is renewed again")
        if token.clock_trouble and (self._token is None or not self._token.clock_trouble):
            self._log.warn(
                "{server}: {trouble}; brokers may refuse its tokens",
                server=str(self._client.server),
                trouble=token.clock_trouble,
            )
        self._token, self._asked_at = token, asked_at
        self._trouble, self._told, self._tries, self._refused_secret = None, "", 0, None
        passed = self._clock.seconds() - asked_at
        self._renew_in(max(0, renew_after(token.lifetime, self._chance()) - passed))
        self._changed.wake()

"""Signs in again, on the proxy's own behalf, before a session's sign-in at the broker expires (KIP-368)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lfsproxy.kafka.identity import Ask
from lfsproxy.relay.forwarding import Forwarding
from lfsproxy.relay.works import Works

SignIn = Callable[[Ask], Awaitable[float | None]]
"""Signs in by the questions that it asks. Gives the seconds until it has to be done again, None for never."""


class SignInAgain:
    """The timer of one session. A sign-in that is refused ends the session, as any error of a work does."""

    def __init__(self, clock: IReactorTime, forwarding: Forwarding, works: Works) -> None:
        self._clock = clock
        self._forwarding = forwarding
        self._works = works
        self._next: IDelayedCall | None = None

    def begin(self, sign_in: SignIn, seconds: float | None) -> None:
        """The proxy has signed in, and has to do so again after so many seconds; None: never."""
        if seconds is not None:
            self._next = self._clock.callLater(seconds, lambda: self._works.spawn(self._again(sign_in)))

    async def _again(self, sign_in: SignIn) -> None:
        async with self._forwarding.alone() as ask:
            self.begin(sign_in, await sign_in(ask))

    def stop(self) -> None:
        """The session is over."""
        if self._next is not None and self._next.active():
            self._next.cancel()

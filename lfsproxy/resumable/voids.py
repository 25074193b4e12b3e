"""Intents that this process created, or may have created, and by which it published nothing, are made void.

Where the store is in trouble that is tried again in the background, so that another replica need not wait for
somebody who will never publish. What this process knows it says at once to requests here.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from lfsproxy.errors import LfsError
from lfsproxy.logs import Logger
from lfsproxy.resumable.fence import void_name
from lfsproxy.resumable.state import UploadState
from lfsproxy.words import error_text

FIRST_DELAY = 1.0
LONGEST_DELAY = 30.0
"""Seconds between two tries, at most: twice as long each time."""
GIVE_UP_SECONDS = 600.0
"""How long is tried: longer than a store restarts."""
MAX_KNOWN = 1000
"""Intents that are being made void at once: an outage must not fill the memory with them."""


class Voids:
    """Remembers at most MAX_KNOWN; one that is forgotten leaves its upload's outcome unknown to others."""

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._trying: dict[str, Deferred[None]] = {}

    async def make(self, state: UploadState, nonce: str) -> bool:
        """Make the intent with that nonce void; False where that could not be done now. Never raises."""
        try:
            await self._create(state, nonce)
        except LfsError as error:
            self._log.warn("an intent of {id} is not void yet: {error}", id=state.id, error=error)
            self.make_later(state, nonce)
            return False
        return True

    def make_later(self, state: UploadState, nonce: str) -> None:
        """The same in the background, for GIVE_UP_SECONDS."""
        if nonce in self._trying or len(self._trying) >= MAX_KNOWN:
            return
        trying = Deferred.fromCoroutine(self._keep_trying(state, nonce))
        self._trying[nonce] = trying
        trying.addErrback(self._gave_up, state.id)
        trying.addBoth(lambda _: self._trying.pop(nonce, None))

    def knows(self, nonce: str) -> bool:
        """Whether nothing was or will be published by the intent with that nonce."""
        return nonce in self._trying

    def close(self) -> None:
        """Stop trying."""
        for trying in list(self._trying.values()):
            trying.cancel()

    async def _create(self, state: UploadState, nonce: str) -> None:
        # Every replica that says so says the same: it does not matter which one was first.
        await state.create_json(void_name(nonce), {"nonce": nonce})

    async def _keep_trying(self, state: UploadState, nonce: str) -> None:
        end = self._clock.seconds() + GIVE_UP_SECONDS
        delay = FIRST_DELAY
        while True:
            await deferLater(self._clock, delay)
            try:
                await self._create(state, nonce)
                return
            except LfsError:
                delay = min(LONGEST_DELAY, delay * 2)
                if self._clock.seconds() + delay > end:
                    raise

    def _gave_up(self, failure: Failure, id: str) -> None:
        why = "the process stops" if failure.check(CancelledError) else error_text(failure.value)
        self._log.warn("an intent of {id} stays: {why}", id=id, why=why)

"""The credentials that requests to S3 are signed with, found and refreshed off the reactor thread.

They may change at any time: some end, and are refreshed before (botocore knows when); files are written anew
by whoever rotates them; and S3 may refuse what was good a moment ago. A request waits only where there is
nothing to sign it with.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any, Protocol

import attrs
from botocore.credentials import Credentials, ReadOnlyCredentials, RefreshableCredentials
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime

from lfsproxy.errors import LfsError, StoreUnavailable
from lfsproxy.logs import Logger
from lfsproxy.s3.chain import (
    FROM_ENVIRONMENT,
    Stamp,
    chain_credentials,
    chain_error,
    files_stamp,
    no_credentials,
)
from lfsproxy.wakeups import Condition
from lfsproxy.words import error_text

REFRESH_BEFORE = 120
"""Seconds before the end of their life from which credentials are used only where no refresh works."""
PAUSE = 10.0
"""Seconds between two times that the chain is asked while there still are credentials: its servers may be in
trouble, and a file is looked at no more often."""
RENEWAL_PAUSE = 1.0
"""Seconds between two times that it is asked because S3 has refused them: requests may be many."""
SHORT_WAIT = 2.0
"""Seconds that a request waits for a refresh while the credentials at hand still hold, at most."""


class CredentialSource(Protocol):
    """Gives the credentials to sign the next request with."""

    async def current(self) -> ReadOnlyCredentials:
        """Raises StoreRefused when there are none, StoreUnavailable when they cannot be had just now."""

    async def renewed(self, refused: ReadOnlyCredentials) -> bool:
        """S3 has refused these: whether there are others now. Raises nothing."""


@attrs.frozen
class StaticCredentials:
    """Credentials that never change."""

    access_key: str
    secret_key: str = attrs.field(repr=False)
    token: str | None = attrs.field(default=None, repr=False)

    async def current(self) -> ReadOnlyCredentials:
        return ReadOnlyCredentials(self.access_key, self.secret_key, self.token)

    async def renewed(self, refused: ReadOnlyCredentials) -> bool:
        return False


@attrs.frozen
class _Found:
    """What the chain was asked for: ``source`` refreshes itself where it can, ``stamp`` is of the files as
    they were before they were read."""

    source: Credentials
    frozen: ReadOnlyCredentials
    stamp: Stamp


class ChainCredentials:
    """botocore's chain: found at the first use, refreshed before their end, and found anew where a file has
    changed or S3 refuses them.

    ``patience``: seconds that a request waits for the chain, at most. ``refreshing`` says whether the chain
    is being asked just now; ``load`` and ``stamp`` are called in a thread.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        patience: float,
        load: Callable[[], Credentials | None] = chain_credentials,
        stamp: Callable[[], Stamp] = files_stamp,
        clock: IReactorTime | None = None,
    ) -> None:
        self._reactor = reactor
        self._clock: IReactorTime = clock or reactor
        self._patience = patience
        self._load = load
        self._stamp = stamp
        self._found: _Found | None = None
        self._is_resolved = Condition(reactor)
        self._next = self._next_renewal = 0.0
        self.refreshing = False

    async def current(self) -> ReadOnlyCredentials:
        found = self._found
        if found is None:
            return await self._asked(self._find)
        source = found.source
        if isinstance(source, RefreshableCredentials):
            if source.refresh_needed(0):
                return await self._asked(self._refresh)
            if self._is_due and source.refresh_needed():
                if source.refresh_needed(REFRESH_BEFORE):
                    return await self._refreshed_or(found)
                self._in_background(self._refresh)
        elif source.method != FROM_ENVIRONMENT and self._is_due:
            self._in_background(self._look)
        return found.frozen

    @property
    def method(self) -> str:
        """botocore's name of the provider that had them; empty before the first use."""
        return self._found.source.method or "" if self._found is not None else ""

    async def renewed(self, refused: ReadOnlyCredentials) -> bool:
        found = self._found
        if found is None or found.source.method == FROM_ENVIRONMENT:
            return False
        is_due = self._clock.seconds() >= self._next_renewal
        if found.frozen == refused and (is_due or self.refreshing):
            self._next_renewal = self._clock.seconds() + RENEWAL_PAUSE
            try:
                await self._asked(self._find)
            except LfsError as error:
                self._log.warn("S3 refuses the credentials, and {error}", error=error_text(error))
        return self._found is not None and self._found.frozen != refused

    @property
    def _is_due(self) -> bool:
        return self._clock.seconds() >= self._next

    async def _refreshed_or(self, found: _Found) -> ReadOnlyCredentials:
        """What a refresh gives; where it fails, those that still hold."""
        try:
            return await self._asked(self._refresh, min(SHORT_WAIT, self._patience))
        except LfsError as error:
            self._next = self._clock.seconds() + PAUSE
            self._log.warn("{error}: those at hand still hold", error=error_text(error))
            return found.frozen

    def _in_background(self, ask: Callable[[], _Found]) -> None:
        if self.refreshing:
            return
        asked = Deferred.fromCoroutine(self._asked(ask))
        asked.addErrback(lambda failure: self._log.warn("{error}", error=error_text(failure.value)))

    async def _asked(self, ask: Callable[[], _Found], patience: float | None = None) -> ReadOnlyCredentials:
        """What is found by asking, or by the asking that is going on, within ``patience`` seconds."""
        patience = self._patience if patience is None else patience
        if not self.refreshing:
            self._begin(ask)
        try:
            await self._is_resolved.wait().addTimeout(patience, self._clock)
        except TimeoutError:
            raise StoreUnavailable(
                f"S3 credentials are not there after {patience:g} s: who gives them does not answer"
            ) from None
        assert self._found is not None  # else the wait has failed
        return self._found.frozen

    def _begin(self, ask: Callable[[], _Found]) -> None:
        self.refreshing = True
        try:
            # The reactor's own threads are waited for when the process ends, and a server may take minutes.
            Thread(target=self._ask, args=(ask,), name="s3-credentials", daemon=True).start()
        except RuntimeError as error:
            self.refreshing = False
            raise StoreUnavailable(f"S3 credentials cannot be had: {error_text(error)}") from None

    # In a thread

    def _ask(self, ask: Callable[[], _Found]) -> None:
        result: _Found | LfsError
        try:
            result = ask()
        except LfsError as error:
            result = error
        except Exception as error:
            result = chain_error(error)
        self._reactor.callFromThread(self._resolved, result)

    def _find(self) -> _Found:
        stamp = self._stamp()
        source = self._load()
        if source is None:
            raise no_credentials()
        return _Found(source, source.get_frozen_credentials(), stamp)

    def _refresh(self) -> _Found:
        assert self._found is not None  # nothing else is refreshed
        if self._stamp() != self._found.stamp:
            # A role's credentials are got by those of a file, which botocore reads once.
            return self._find()
        return attrs.evolve(self._found, frozen=self._found.source.get_frozen_credentials())

    def _look(self) -> _Found:
        """What the files say, if they have changed."""
        assert self._found is not None  # nothing else is looked for again
        return self._found if self._stamp() == self._found.stamp else self._find()

    # In the reactor's thread

    def _resolved(self, result: _Found | LfsError) -> None:
        self.refreshing = False
        self._next = self._clock.seconds() + PAUSE
        if isinstance(result, LfsError):
            self._is_resolved.fail(result)
        else:
            self._found = result
            self._is_resolved.wake()

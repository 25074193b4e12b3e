"""S3 credentials from botocore's chain, resolved and refreshed off the reactor thread.

The chain (environment, profile, web identity, container and instance metadata) may read files and ask
servers, and blocks while it does; botocore decides when credentials have to be refreshed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Protocol

import attrs
from botocore.credentials import Credentials, EnvProvider, ReadOnlyCredentials, RefreshableCredentials
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    MetadataRetrievalError,
)
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from lfsproxy.errors import LfsError, StoreRefused, StoreUnavailable
from lfsproxy.logs import Logger
from lfsproxy.wakeups import Condition
from lfsproxy.words import error_text

REFRESH_BEFORE = 120
"""Seconds before the end of their life from which credentials are no longer used without a refresh."""

_TRANSIENT = (CredentialRetrievalError, HTTPClientError, MetadataRetrievalError)


class CredentialSource(Protocol):
    """Gives the credentials to sign the next request with."""

    async def current(self) -> ReadOnlyCredentials:
        """Raises StoreRefused when there are none, StoreUnavailable when they cannot be had just now."""


@attrs.frozen
class StaticCredentials:
    """Credentials that never change."""

    access_key: str
    secret_key: str = attrs.field(repr=False)
    token: str | None = attrs.field(default=None, repr=False)

    async def current(self) -> ReadOnlyCredentials:
        return ReadOnlyCredentials(self.access_key, self.secret_key, self.token)


def chain_credentials(environment: Mapping[str, str] = os.environ) -> Credentials | None:
    """What botocore's chain finds, in the ``environment`` first. Blocks."""
    if found := EnvProvider(environment).load():
        return found
    # All of botocore's clients, which the first link of the chain does without.
    from botocore.session import Session

    return Session().get_credentials()


class ChainCredentials:
    """botocore's chain: found at the first use, then refreshed in the background before they expire.

    ``refreshing`` says whether the chain is being asked just now.
    """

    _log = Logger()

    def __init__(
        self, reactor: ReactorBase, load: Callable[[], Credentials | None] = chain_credentials
    ) -> None:
        self._reactor = reactor
        self._load = load
        self._source: Credentials | None = None
        self._frozen: ReadOnlyCredentials | None = None
        self._is_resolved = Condition(reactor)
        self.refreshing = False

    async def current(self) -> ReadOnlyCredentials:
        source = self._source
        if self._frozen is None or source is None:
            return await self._refreshed()
        if isinstance(source, RefreshableCredentials) and source.refresh_needed():
            if source.refresh_needed(REFRESH_BEFORE):
                return await self._refreshed()
            Deferred.fromCoroutine(self._refreshed()).addErrback(self._not_refreshed)
        return self._frozen

    @property
    def method(self) -> str:
        """botocore's name of the provider that had them; empty before the first use."""
        return self._source.method or "" if self._source is not None else ""

    def _not_refreshed(self, failure: Failure) -> None:
        self._log.warn("{error}", error=error_text(failure.value))

    async def _refreshed(self) -> ReadOnlyCredentials:
        """What the refresh that runs, or is started here, finds."""
        if not self.refreshing:
            self.refreshing = True
            pool = self._reactor.getThreadPool()
            deferToThreadPool(self._reactor, pool, self._resolve).addBoth(self._resolved)
        await self._is_resolved.wait()
        assert self._frozen is not None  # else the wait has failed
        return self._frozen

    def _resolve(self) -> ReadOnlyCredentials | LfsError:
        """In a thread: ask the chain, or the refreshable credentials that it gave."""
        try:
            source = self._source or self._load()
            if source is None:
                way_out = (
                    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile, web identity or instance "
                    "role"
                )
                return StoreRefused(f"no S3 credentials were found: {way_out}", way_out=way_out)
            frozen = source.get_frozen_credentials()
        except _TRANSIENT as error:
            return StoreUnavailable(f"S3 credentials cannot be had: {error_text(error)}")
        except (BotoCoreError, ClientError) as error:
            return StoreRefused(f"S3 credentials cannot be had: {error_text(error)}")
        self._source = source
        return frozen

    def _resolved(self, result: object) -> None:
        self.refreshing = False
        if isinstance(result, ReadOnlyCredentials):
            self._frozen = result
            self._is_resolved.wake()
        elif isinstance(result, LfsError):
            self._is_resolved.fail(result)
        else:
            why = error_text(result.value) if isinstance(result, Failure) else "nothing was found"
            self._is_resolved.fail(StoreUnavailable(f"S3 credentials cannot be had: {why}"))

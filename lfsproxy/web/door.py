"""Puts the HTTP door together: the routes of every API, and the site that listens."""

from __future__ import annotations

import random as random_source
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from lfsproxy.budget import MemoryBudget
from lfsproxy.claimcheck import ClaimCheck
from lfsproxy.downloads import Downloads
from lfsproxy.interfaces import IEnvelopePublisher, IMetrics
from lfsproxy.readiness import Readiness
from lfsproxy.resumable.uploads import ResumableUploads
from lfsproxy.settings import Settings
from lfsproxy.web.cors import Cors
from lfsproxy.web.download import DownloadApi
from lfsproxy.web.gate import Gate, KeysFile
from lfsproxy.web.health import HealthApi
from lfsproxy.web.pages import PageApi
from lfsproxy.web.records import RecordApi
from lfsproxy.web.routes import Routes
from lfsproxy.web.site import LfsSite
from lfsproxy.web.tus import TusApi


def make_site(
    reactor: IReactorTime,
    settings: Settings,
    claims: ClaimCheck,
    publisher: IEnvelopePublisher,
    budget: MemoryBudget,
    metrics: IMetrics,
    readiness: Readiness,
    downloads: Downloads,
    uploads: ResumableUploads | None = None,
    random: Callable[[], float] = random_source.random,
) -> LfsSite:
    """The HTTP door: a factory to listen with at LFS_HTTP_ADDR.

    ``uploads`` are the resumable ones, None where they are off; ``random`` gives numbers from 0 to 1.
    Raises SettingError where the file of API keys cannot be used.
    To stop: ``readiness.drain()``, then wait for ``site.drain()`` (up to LFS_DRAIN_TIMEOUT), then
    ``site.abort()``.
    """
    keys = KeysFile(settings.http_api_keys_file) if settings.http_api_keys_file else None
    if keys is not None:
        keys.current()
    cors = Cors(settings.cors_origins)
    gate = Gate(reactor, keys, settings.http_max_uploads, settings.http_max_downloads, readiness)
    routes = Routes(gate, cors)
    for api in (
        PageApi(routes.operations, gate.asks_for_keys),
        HealthApi(readiness),
        RecordApi(claims, publisher, budget),
        DownloadApi(downloads, settings.stall_timeout),
        TusApi(uploads, gate),
    ):
        routes.add(api)
    return LfsSite(routes, reactor, cors, readiness, metrics, settings, random, claims.tracer)

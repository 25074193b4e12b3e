"""Puts the HTTP door together, and knows its connections: what is in flight, and how to come to an end."""

# twisted.web is not annotated:
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import LogLevel
from twisted.web.server import Site

from lfsproxy import wakeups
from lfsproxy.budget import MemoryBudget
from lfsproxy.claimcheck import ClaimCheck
from lfsproxy.downloads import Downloads
from lfsproxy.errors import Draining, LfsError
from lfsproxy.interfaces import IEnvelopePublisher, IMetrics
from lfsproxy.logs import Logger
from lfsproxy.net.peers import plain_host
from lfsproxy.readiness import Readiness
from lfsproxy.resumable.uploads import ResumableUploads
from lfsproxy.settings import Settings
from lfsproxy.uploadlog import as_line, as_value
from lfsproxy.web.api import HttpApi, route_of
from lfsproxy.web.channel import StreamingChannel
from lfsproxy.web.content import UploadContent
from lfsproxy.web.cors import Cors
from lfsproxy.web.download import DownloadApi
from lfsproxy.web.gate import Gate, KeysFile
from lfsproxy.web.ingest import Ingest
from lfsproxy.web.request import StreamingRequest
from lfsproxy.web.tus import TusApi

POLLED = frozenset({"/healthz", "/readyz"})
UPLOADING = frozenset({b"POST", b"PATCH"})
METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})


class LfsSite(Site):
    """The HTTP door as a factory of connections. Made by ``make_site``."""

    protocol = StreamingChannel  # type: ignore[assignment]
    requestFactory = StreamingRequest
    noisy = False
    _log = Logger()

    def logPrefix(self) -> str:
        """What Twisted calls the port."""
        return "the HTTP port"

    def __init__(
        self,
        reactor: IReactorTime,
        api: HttpApi,
        cors: Cors,
        readiness: Readiness,
        metrics: IMetrics,
        settings: Settings,
    ) -> None:
        super().__init__(api.app.resource(), reactor=reactor)
        self.stall_timeout = settings.stall_timeout
        self.base_path = settings.http_base_path
        self._cors = cors
        self._readiness = readiness
        self._metrics = metrics
        self._channels: set[StreamingChannel] = set()
        self._requests: set[StreamingRequest] = set()
        self._ingesting: set[StreamingRequest] = set()
        self.uploads = 0
        """Requests with an upload that runs, whether its client is still there or not."""
        self._over = wakeups.Gate(reactor)
        self.cut: LfsError | None = None
        """Why connections are cut by the proxy itself, once they are."""

    @property
    def draining(self) -> bool:
        return self._readiness.draining

    @property
    def in_flight(self) -> int:
        """Requests that are not answered yet, and uploads that still run after their client went away."""
        return len(self._requests | self._ingesting)

    def drain(self) -> Deferred[None]:
        """Close the idle connections; fires when nothing is in flight and every response has left.

        Readiness must be draining already.
        """
        for channel in list(self._channels):
            if channel.idle:
                channel.close()
        if self._is_over:
            return succeed(None)
        return self._over.wait()

    def abort(self, why: str = "the proxy is stopped") -> None:
        """Cut every connection that is left. Uploads that go on end with that reason."""
        self.cut = Draining(why)
        for channel in list(self._channels):
            channel.abort()

    def track(self, request: StreamingRequest, ingest: Deferred[Any]) -> None:
        """Count a request as in flight until its upload is done, whether its client stays or not."""
        is_upload = request.method in UPLOADING
        self._ingesting.add(request)
        self.uploads += is_upload

        def done(result: object) -> object:
            self._ingesting.discard(request)
            self.uploads -= is_upload
            self._check_over()
            return result

        ingest.addBoth(done)

    # what channels and requests tell

    def connected(self, channel: StreamingChannel) -> None:
        self._channels.add(channel)

    def disconnected(self, channel: StreamingChannel) -> None:
        self._channels.discard(channel)
        self._check_over()

    def prepare(self, request: StreamingRequest) -> None:
        """A request is about to be handled."""
        self._requests.add(request)
        self._cors.add_headers(request)

    def answering(self, request: StreamingRequest) -> None:
        """A response's head is about to be written."""
        method = request.method.decode("ascii") if request.method in METHODS else "other"
        route = route_of(request)
        self._metrics.http_request(route, method, request.code)
        sender, path = request.sender, request.path[:300].decode("latin-1")
        self._log.emit(
            LogLevel.debug if route in POLLED else LogLevel.info,
            "{client}{key} {method} {path} {status} {more}",
            client=plain_host(request.client.host),
            key=f" (key {request.key_id})" if request.key_id is not None else "",
            method=method,
            path=as_value(path),
            status=request.code,
            more=as_line({"request_id": sender.request_id, "reason": request.problem}),
            fields={
                "event": "request",
                "client": sender.client,
                "peer": sender.peer,
                "method": method,
                "path": path,
                "status": request.code,
                "request_id": sender.request_id,
                "reason": request.problem,
            },
        )

    def request_ended(self, request: StreamingRequest) -> None:
        """A request was answered, or its connection was lost."""
        self._requests.discard(request)
        self._check_over()

    def count_refused(self, status: int) -> None:
        """Bytes that never became a request were answered."""
        self._metrics.http_request("unmatched", "other", status)

    def log(self, request: Any) -> None:
        """Requests are logged by ``answering``, without their query."""

    @property
    def _is_over(self) -> bool:
        # A connection is gone only when what was written to it has left.
        return not self.in_flight and not self._channels

    def _check_over(self) -> None:
        if self._is_over:
            self._over.open()


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
) -> LfsSite:
    """The HTTP door: a factory to listen with at LFS_HTTP_ADDR.

    ``uploads`` are the resumable ones, None where they are off. Raises SettingError where the file of API
    keys cannot be used.
    To stop: ``readiness.drain()``, then wait for ``site.drain()`` (up to LFS_DRAIN_TIMEOUT), then
    ``site.abort()``.
    """

    def begin(topic: str, request: StreamingRequest) -> Ingest:
        content = UploadContent(claims, request.query, request.requestHeaders, request.body)
        return Ingest(claims, publisher, budget, topic, request.body, content)

    cors = Cors(settings.cors_origins)
    keys = KeysFile(settings.http_api_keys_file) if settings.http_api_keys_file else None
    if keys is not None:
        keys.current()
    api = HttpApi(
        begin,
        readiness,
        cors,
        TusApi(uploads, readiness, cors),
        DownloadApi(downloads, readiness, settings.stall_timeout),
        Gate(reactor, keys, settings.http_max_uploads),
    )
    return LfsSite(reactor, api, cors, readiness, metrics, settings)

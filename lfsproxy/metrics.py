"""What is counted, on the side of prometheus-client, and the page that Prometheus reads.

Names, labels and buckets are a contract with dashboards and alerts: docs/reference/metrics.md lists them.
Every label has a bounded number of values: topics and APIs come from clients, so that beyond a number of
them the rest are counted as ``other``, and so are failed uploads to a topic to which none has succeeded yet:
made-up names take no place.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, cast

import twisted
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from twisted.logger import LogLevel
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from zope.interface import implementer

from lfsproxy.interfaces import IMetrics
from lfsproxy.logs import Logger
from lfsproxy.net.peers import plain_host

_log = Logger()

MAX_TOPICS = 200
MAX_APIS = 100
"""Label values of one metric, at most: clients choose the names, and each is a time series."""
OTHER = "other"
PATHS = ("kafka", "http", "tus")
ORPHAN_REASONS = ("unknown_outcome", "abort_failed", "delete_failed")
DOORS = ("kafka", "http")
REFUSALS = ("all", "address", "descriptors")
GIVEN_UP = ("handshake", "head", "body", "answer", "room")
GaugeMode = Literal["livesum", "livemax", "livemin"]
_TLS_HANDSHAKE = b"\x16"
BUCKETS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0),
    *(60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0),
)
"""Seconds, from 5 ms to an hour: the span from one small PUT to an upload of many gigabytes."""


class Bounded:
    """Lets the first ``limit`` different label values through, and calls the rest ``other``.

    A value that is not ``real`` is let through only when it is known: so made-up ones use up nothing.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def __call__(self, value: str, real: bool = True) -> str:
        if value in self._known:
            return value
        if not real or len(self._known) >= self._limit:
            return OTHER
        self._known.add(value)
        return value

    def know(self, value: str) -> None:
        """Let a value through that was let through before, by the process whose counters are continued."""
        if value != OTHER:
            self._known.add(value)


@implementer(IMetrics)
class PrometheusMetrics:
    """Counts into ``registry``, which is its own and not the process-wide one of prometheus-client.

    ``page`` is what ``/metrics`` shows. The modes of gauges say how those of several processes become one.
    """

    def __init__(self, version: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # of prometheus_client
        self.version = version
        self.registry = self.page = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._topic = Bounded(MAX_TOPICS)
        self._api = Bounded(MAX_APIS)
        self._uploads = self._counter(
            "lfsproxy_uploads_total", "Uploads that ended.", "path", "topic", "result"
        )
        self._upload_bytes = self._counter(
            "lfsproxy_upload_bytes_total", "Bytes of payloads whose envelope was published.", "path", "topic"
        )
        self._upload_seconds = self._histogram(
            "lfsproxy_upload_seconds", "From an upload's first byte to its end.", "path"
        )
        self._downloads = self._counter(
            "lfsproxy_downloads_total", "Downloads through the proxy that ended.", "topic", "result"
        )
        self._download_bytes = self._counter(
            "lfsproxy_download_bytes_total", "Bytes that downloads have given to clients."
        )
        self._download_seconds = self._histogram(
            "lfsproxy_download_seconds", "From a download's request to its end."
        )
        self._hydrations = self._counter(
            "lfsproxy_hydrations_total", "Envelopes in answers to Kafka consumers.", "topic", "result"
        )
        self._hydrated_bytes = self._counter(
            "lfsproxy_hydrated_bytes_total", "Bytes of blobs that Kafka consumers were given.", "topic"
        )
        self._hydration_seconds = self._histogram(
            "lfsproxy_hydration_seconds", "From a broker's answer to the last byte of the one with blobs."
        )
        self._s3_seconds = self._histogram(
            "lfsproxy_s3_operation_seconds", "Requests to the blob store.", "operation", "result"
        )
        self._s3_retries = self._counter(
            "lfsproxy_s3_retries_total", "Requests to the blob store that were sent again.", "operation"
        )
        self._kafka_requests = self._counter(
            "lfsproxy_kafka_requests_total", "Requests of Kafka clients that were answered.", "api"
        )
        self._requests_of = cache(self._kafka_requests.labels)
        self._kafka_connections = self._gauge(
            "lfsproxy_kafka_connections", "Open connections of Kafka clients."
        )
        self._kafka_seconds = self._histogram(
            "lfsproxy_kafka_request_seconds", "Time that the proxy adds to a Kafka request.", "api"
        )
        self._seconds_of = cache(self._kafka_seconds.labels)
        self._kafka_closed = self._counter(
            "lfsproxy_kafka_closed_total", "Connections of Kafka clients that the proxy closed.", "reason"
        )
        self._refused = self._counter(
            "lfsproxy_connections_refused_total", "Clients that were turned away.", "door", "reason"
        )
        self._http_connections = self._gauge("lfsproxy_http_connections", "Open connections of HTTP clients.")
        self._http_closed = self._counter(
            "lfsproxy_http_closed_total", "Connections of HTTP clients that the proxy gave up.", "reason"
        )
        self._http_requests = self._counter(
            "lfsproxy_http_requests_total", "HTTP requests that were answered.", "route", "method", "status"
        )
        self._mismatches = self._counter(
            "lfsproxy_checksum_mismatches_total", "Payloads without the checksum the client gave.", "path"
        )
        self._orphans = self._counter(
            "lfsproxy_orphans_total", "Blobs that stay in the store without a known envelope.", "reason"
        )
        # Prometheus sees no growth in a series that begins with its first event, and no alert would fire.
        for path in PATHS:
            self._mismatches.labels(path)
        for reason in ORPHAN_REASONS:
            self._orphans.labels(reason)
        for door in DOORS:
            for reason in REFUSALS:
                self._refused.labels(door, reason)
        for reason in GIVEN_UP:
            self._http_closed.labels(reason)
        self._ready = self._gauge(
            "lfsproxy_ready", "1 if the dependency answered lately, else 0.", "dependency", mode="livemax"
        )
        self._expiry = self._gauge(
            "lfsproxy_certificate_expiry_timestamp_seconds",
            "When the certificate of a setting's file expires.",
            "setting",
            mode="livemin",
        )
        self._publish_seconds = self._histogram(
            "lfsproxy_publish_seconds", "From sending the HTTP door's envelope to the broker's answer."
        )
        self._worker_restarts = self._counter(
            "lfsproxy_worker_restarts_total", "Worker processes that ended by themselves and were replaced."
        )
        self._build = Info("lfsproxy_build", "Versions of what runs.", registry=self.registry)
        self._build.info(
            {
                "version": version,
                "python_version": platform.python_version(),
                "twisted_version": twisted.__version__,
            }
        )

    def _counter(self, name: str, help: str, *labels: str) -> Counter:
        return Counter(name, help, labels, registry=self.registry)

    def _gauge(self, name: str, help: str, *labels: str, mode: GaugeMode = "livesum") -> Gauge:
        return Gauge(name, help, labels, registry=self.registry, multiprocess_mode=mode)

    def _follow(self, gauge: Gauge, value: Callable[[], float]) -> None:
        """Show what ``value`` says at each scrape."""
        gauge.set_function(value)

    def _histogram(self, name: str, help: str, *labels: str) -> Histogram:
        return Histogram(name, help, labels, registry=self.registry, buckets=BUCKETS)

    def upload(self, path: str, topic: str, result: str, size: int, seconds: float) -> None:
        topic = self._topic(topic, result == "ok")
        self._uploads.labels(path, topic, result).inc()
        self._upload_seconds.labels(path).observe(seconds)
        if result == "ok":
            self._upload_bytes.labels(path, topic).inc(size)

    def download(self, topic: str, result: str, size: int, seconds: float) -> None:
        self._downloads.labels(self._topic(topic), result).inc()
        self._download_bytes.inc(size)
        self._download_seconds.observe(seconds)

    def hydration(self, topic: str | None, result: str, size: int) -> None:
        topic = OTHER if topic is None else self._topic(topic)
        self._hydrations.labels(topic, result).inc()
        if size:
            self._hydrated_bytes.labels(topic).inc(size)

    def hydration_time(self, seconds: float) -> None:
        self._hydration_seconds.observe(seconds)

    def publish(self, seconds: float) -> None:
        self._publish_seconds.observe(seconds)

    def s3_operation(self, operation: str, result: str, seconds: float) -> None:
        self._s3_seconds.labels(operation, result).observe(seconds)

    def s3_retry(self, operation: str) -> None:
        self._s3_retries.labels(operation).inc()

    def kafka_connection(self, change: int) -> None:
        self._kafka_connections.inc(change)

    def kafka_request(self, api: str, seconds: float | None) -> None:
        api = self._api(api)
        self._requests_of(api).inc()
        if seconds is not None:
            self._seconds_of(api).observe(seconds)

    def kafka_closed(self, reason: str) -> None:
        self._kafka_closed.labels(reason).inc()

    def refused(self, door: str, reason: str) -> None:
        self._refused.labels(door, reason).inc()

    def http_connection(self, change: int) -> None:
        self._http_connections.inc(change)

    def http_closed(self, reason: str) -> None:
        self._http_closed.labels(reason).inc()

    def http_request(self, route: str, method: str, status: int) -> None:
        self._http_requests.labels(route, method, str(status)).inc()

    def checksum_mismatch(self, path: str) -> None:
        self._mismatches.labels(path).inc()

    def orphan(self, reason: str) -> None:
        self._orphans.labels(reason).inc()

    def memory(self, gauge: Callable[[], int], limit: int) -> None:
        self._follow(self._gauge("lfsproxy_upload_memory_bytes", "Upload memory in use."), gauge)
        self._gauge("lfsproxy_upload_memory_limit_bytes", "LFS_UPLOAD_MEMORY.").set(limit)

    def ready(self, dependency: str, is_ready: Callable[[], bool]) -> None:
        """Show whether a dependency, such as s3, is usable; ``is_ready`` is asked at each scrape."""
        self._follow(self._ready.labels(dependency), is_ready)

    def certificate(self, setting: str, expiry: Callable[[], float]) -> None:
        """Show when the certificate that a setting names expires, in seconds since the epoch."""
        self._follow(self._expiry.labels(setting), expiry)

    def worker_restarted(self) -> None:
        """A worker process ended by itself, and is replaced."""
        self._worker_restarts.inc()


class MetricsPage(Resource):
    """``/metrics`` in the format that the reader asks for: Prometheus text, or OpenMetrics.

    prometheus_client.twisted has one as well, but it imports the global reactor and answers every path.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of twisted.web
        self._registry = registry

    def render_GET(self, request: Request) -> bytes:
        encode, content_type = choose_encoder(request.getHeader("accept") or "")
        request.setHeader("content-type", content_type)
        return encode(self._registry)


class _Scrape(http.HTTPChannel):
    """A connection to the metrics. One without a request is a probe."""

    asked = False
    _turned_away = False

    def dataReceived(self, data: bytes) -> None:
        if not self.asked and data[:1] == _TLS_HANDSHAKE:
            # Else it would wait for an answer to its hello until the timeout.
            self._say("is turned away: it speaks TLS, and LFS_METRICS_TLS is not set", LogLevel.info)
            cast(Any, self.transport).write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            self._turned_away = True
            self.loseConnection()  # type: ignore[no-untyped-call]  # of twisted.web
        elif not self._turned_away:
            super().dataReceived(data)  # type: ignore[no-untyped-call]  # of twisted.web
        self.asked = True

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        if not self.asked:
            self._say("left without a request", LogLevel.debug)
        super().connectionLost(reason)  # type: ignore[no-untyped-call]  # of twisted.web

    def timeoutConnection(self) -> None:
        """As Twisted's own, which logs the address in Python's notation."""
        self._abortingCall = self.callLater(  # type: ignore[no-untyped-call]  # of twisted.web
            self.abortTimeout, self.forceAbortClient
        )
        self.loseConnection()  # type: ignore[no-untyped-call]  # of twisted.web

    def forceAbortClient(self) -> None:
        """The client does not take the end of its connection."""
        self._abortingCall = None
        cast(Any, self.transport).abortConnection()

    def _say(self, what: str, level: Any) -> None:
        peer = cast(Any, self.transport).getPeer()
        _log.emit(level, f"a client of the metrics ({{peer}}) {what}", peer=plain_host(peer.host))


class MetricsSite(Site):
    """Serves ``/metrics``; every other path is 404. Scrapes are not logged."""

    noisy = False
    protocol = _Scrape  # type: ignore[assignment]

    def logPrefix(self) -> str:
        """What Twisted calls the port."""
        return "the metrics port"

    def __init__(self, registry: CollectorRegistry) -> None:
        root = Resource()
        root.putChild(b"metrics", MetricsPage(registry))
        super().__init__(root)  # type: ignore[no-untyped-call]  # of twisted.web

    def log(self, request: http.Request) -> None:
        """Say nothing: a scrape every few seconds would drown the log."""

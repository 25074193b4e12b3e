"""The composition root: settings and a reactor become one service. The only place that knows everyone.

starting: bind every port (or end the process with one line) ─▶ say what runs ─▶ ask S3 and Kafka, again
          and again
stopping: not ready ─▶ all goes on for LFS_DRAIN_DELAY ─▶ ports closed ─▶ work in flight finishes, at most
          LFS_DRAIN_TIMEOUT ─▶ the rest is cut and cleaned up ─▶ S3 and Kafka clients closed
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from typing import Any, cast

import twisted
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, gatherResults, maybeDeferred, succeed
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import ServerFactory

from lfsproxy.backends import Backends, make_backends
from lfsproxy.budget import MemoryBudget
from lfsproxy.claimcheck import ClaimCheck
from lfsproxy.downloads import Downloads
from lfsproxy.errors import SettingError
from lfsproxy.heap import HeapTrim
from lfsproxy.kafka.upstream import Upstream
from lfsproxy.logs import Logger
from lfsproxy.metrics import MetricsSite, PrometheusMetrics
from lfsproxy.net.admission import Admitting
from lfsproxy.net.listening import BoundPorts, IListener
from lfsproxy.opening import say_settings, warn_of_unknown
from lfsproxy.readiness import FleetReadiness, KnownTrouble, Readiness
from lfsproxy.relay import RelayService
from lfsproxy.resumable.uploads import ResumableUploads
from lfsproxy.settings import Address, LoadedSettings, check_files, setting_table, variable
from lfsproxy.tracing.choice import NO_TRACES, Traces, make_traces
from lfsproxy.web.door import make_site

_log = Logger()

CLEAN_UP_SECONDS = 8.0
"""How long a stop waits for what it had to cut: removing blobs, telling clients."""


class LfsProxy(Service):
    """The whole proxy in front of some backends, which it closes last when it stops.

    ``privilegedStartService`` raises SettingError, one line that names the setting, where a port cannot be
    bound; then nothing is left open.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        loaded: LoadedSettings,
        backends: Backends,
        metrics: PrometheusMetrics,
        listener: IListener,
        trouble: KnownTrouble | None = None,
        traces: Traces = NO_TRACES,
        fleet: FleetReadiness | None = None,
        upstream: Upstream | None = None,
    ) -> None:
        settings = loaded.settings
        self.reactor = reactor
        self.settings = settings
        self.metrics = metrics
        self._loaded = loaded
        self._backends = backends
        self._listener = listener
        self._traces = traces
        store, publisher = backends.store, backends.publisher
        self.budget = MemoryBudget(
            reactor, settings.upload_memory, settings.s3_part_size, settings.stall_timeout
        )
        self._heap = HeapTrim(reactor, self.budget)
        metrics.memory(lambda: self.budget.used, self.budget.limit)
        claims = ClaimCheck(
            store.blobs,
            metrics,
            reactor,
            namespace=settings.namespace,
            default_algorithm=settings.checksum_algo,
            max_size=settings.max_upload_size,
            tracer=traces.tracer,
        )
        self.relay = RelayService(
            reactor, settings, claims, store.source, self.budget, metrics, listener, trouble, upstream
        )
        self.readiness = Readiness(
            reactor,
            {"S3": store.blobs.check, "Kafka": self._check_kafka},
            notes=self.relay.notes,
            fleet=fleet,
        )
        for name in self.readiness.dependencies:
            metrics.ready(name.lower(), partial(self.readiness.answers, name))
        for name in setting_table():
            if name.endswith("_tls_cert") and (path := getattr(settings, name)):
                from lfsproxy.net.tls import certificate_expiry

                metrics.certificate(variable(name), partial(certificate_expiry, path))
        self.uploads = (
            ResumableUploads(store.resumable, claims, publisher, self.budget, settings.tus_expiry)
            if store.resumable is not None
            else None
        )
        downloads = Downloads(
            backends.log,
            store.source,
            self.budget,
            metrics,
            reactor,
            settings.namespace,
            settings.download_prefixes,
        )
        self.site = make_site(
            reactor,
            settings,
            claims,
            publisher,
            self.budget,
            metrics,
            self.readiness,
            downloads,
            self.uploads,
        )
        secured = self._secured(self.site, settings.http_tls_client_ca)
        self._http_factory = Admitting(self.site.admission, secured)
        metrics_site = MetricsSite(metrics.page)
        self._metrics_factory = self._secured(metrics_site) if settings.metrics_tls else metrics_site
        self._http: IListeningPort | None = None
        self._metrics: IListeningPort | None = None
        self._stopping = False
        self._drained: Deferred[str] | None = None
        self._delaying: Deferred[None] | None = None

    def _secured(self, site: ServerFactory[Any], client_ca: str = "") -> ServerFactory[Any]:
        """The factory over TLS, where there is a certificate. Raises SettingError where it cannot be used."""
        cert, key = self.settings.http_tls_cert, self.settings.http_tls_key
        if not cert:
            return site
        from lfsproxy.net.tls import ServerTls
        from lfsproxy.web.https import over_tls

        tls = ServerTls("LFS_HTTP_TLS", cert, key, client_ca, [b"http/1.1"])
        tls.check()
        return over_tls(site, tls, self.reactor)

    async def _check_kafka(self) -> None:
        await self.relay.check()
        if self.settings.has_identity:
            await self._backends.publisher.check()

    @property
    def http_port(self) -> int:
        """Where the HTTP API listens, once it does."""
        return _number(self._http)

    @property
    def metrics_port(self) -> int:
        """Where the metrics are served, once they are."""
        return _number(self._metrics)

    @property
    def stop_seconds(self) -> float:
        """The most that a stop takes, with the end of the process."""
        settings, steps = self.settings, 2 + len(self._backends.closers)
        return settings.drain_delay + settings.drain_timeout + steps * CLEAN_UP_SECONDS

    def ready(self) -> bool:
        """Whether /readyz is green."""
        return not self.readiness.problems()

    def status(self) -> str:
        """How the proxy is, on one line."""
        if self._stopping:
            clients = len(self.relay.sessions)
            return f"stopping: HTTP requests in flight: {self.site.in_flight}, Kafka clients: {clients}"
        problems = self.readiness.problems()
        return f"not ready: {'; '.join(problems)}" if problems else "ready"

    def privilegedStartService(self) -> None:
        settings = self.settings
        self._log.info(
            "LFS Proxy {version} on Python {python}, Twisted {twisted}",
            version=self.metrics.version,
            python=platform.python_version(),
            twisted=twisted.__version__,
        )
        say_settings(self._loaded)
        try:
            self.relay.open()
            listen = self._listener.listen
            self._http = listen(settings.http_addr, self._http_factory, "LFS_HTTP_ADDR")
            self._metrics = listen(settings.metrics_addr, self._metrics_factory, "LFS_METRICS_ADDR")
        except SettingError:
            self._close_port(self._http)
            self.relay.stop_listening()
            raise
        self._log.info(
            "listening: {scheme} at {http}, Kafka at {kafka} (broker N at port {base} + N), "
            "metrics at {metrics}",
            scheme="HTTPS" if settings.http_tls_cert else "HTTP",
            http=Address(settings.http_addr.host, self.http_port),
            kafka=Address(settings.kafka_addr.host, self.relay.bootstrap_port),
            base=settings.broker_port_base,
            metrics=Address(settings.metrics_addr.host, self.metrics_port),
        )

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]  # of Twisted
        self.relay.startService()
        self.readiness.start()
        self._heap.start()
        if self.uploads is not None:
            self.uploads.start()

    async def stopService(self) -> None:
        """Drain, then close everything. A second signal meanwhile ends the draining: see ``hurry``."""
        super().stopService()  # type: ignore[no-untyped-call]  # of Twisted
        self._stopping = True
        self._drained = drained = Deferred[str]()
        await self._delay()
        self.readiness.drain()
        await gatherResults([self._close_port(self._http), maybeDeferred(self.relay.stop_listening)])
        self.site.abort(await self._drain(drained))
        await self._within(DeferredList([maybeDeferred(self.relay.stopService), self.site.drain()]))
        self.readiness.stop()
        self._heap.stop()
        if self.uploads is not None:
            self.uploads.stop()
        for close in self._backends.closers:
            await self._within(Deferred.fromCoroutine(close()))
        await self._traces.close()
        await self._close_port(self._metrics)
        self._log.info("stopped")

    def hurry(self) -> None:
        """End LFS_DRAIN_DELAY; after that, cut what is still in flight instead of waiting for it."""
        if self._delaying is not None and not self._delaying.called:
            self._delaying.callback(None)
            return
        self._end_drain("the proxy was asked to stop at once")

    async def _delay(self) -> None:
        """Go on for LFS_DRAIN_DELAY while /readyz is red, until load balancers send no more clients."""
        seconds = self.settings.drain_delay
        if not seconds:
            return
        self.readiness.leave()
        self._log.info(
            "stopping: not ready from now on, the ports stay open for {seconds:g} s (LFS_DRAIN_DELAY)",
            seconds=seconds,
        )
        self._delaying = Deferred[None]()
        self._delaying.addTimeout(seconds, self.reactor, lambda *_: None)
        await self._delaying

    async def _drain(self, drained: Deferred[str]) -> str:
        """Let what is in flight finish, within LFS_DRAIN_TIMEOUT; why what is left then is to be cut."""
        seconds = self.settings.drain_timeout
        self._log.info(
            "stopping: {requests} HTTP requests and the Kafka clients have {seconds:g} s to finish",
            requests=self.site.in_flight,
            seconds=seconds,
        )
        late = self.reactor.callLater(seconds, self._end_drain, f"LFS_DRAIN_TIMEOUT ({seconds:g} s) is over")
        both = DeferredList([self.site.drain(), self.relay.drain()])
        both.addCallback(lambda _: self._end_drain(None))
        why = await drained
        if late.active():
            late.cancel()
        return why

    def _end_drain(self, why: str | None) -> None:
        drained, self._drained = self._drained, None
        if drained is None:
            return
        if why is not None:
            self._log.warn(
                "{why}: {left} HTTP requests and the Kafka clients that are left are cut",
                why=why,
                left=self.site.in_flight,
            )
        drained.callback(why or "the proxy is stopped")

    def _within(self, closing: Deferred[Any]) -> Deferred[Any]:
        """Wait for a step of the stop, but not for ever."""
        closing.addTimeout(CLEAN_UP_SECONDS, self.reactor)
        return closing.addErrback(
            lambda failure: self._log.failure("a step of the stop failed", failure=failure)
        )

    @staticmethod
    def _close_port(port: IListeningPort | None) -> Deferred[Any]:
        return maybeDeferred(port.stopListening) if port is not None else succeed(None)


def _number(port: IListeningPort | None) -> int:
    if port is None:
        raise RuntimeError("not listening yet")
    return int(cast(Any, port.getHost()).port)


def make_service(
    reactor: Any, loaded: LoadedSettings, environment: Mapping[str, str], listener: IListener | None = None
) -> LfsProxy:
    """The proxy that the settings describe. Nothing is bound or asked before it starts.

    ``listener`` is where ports come from; without one they are bound.

    ``environment`` is looked at for AWS_CA_BUNDLE, for variables that are no settings, for HTTP proxies and
    for OpenTelemetry's variables.
    Raises SettingError.
    """
    check_files(loaded)
    warn_of_unknown(environment)
    metrics = PrometheusMetrics(version("lfsproxy"))
    return make_proxy(reactor, loaded, environment, metrics, listener or BoundPorts(reactor))


def make_proxy(
    reactor: Any,
    loaded: LoadedSettings,
    environment: Mapping[str, str],
    metrics: PrometheusMetrics,
    listener: IListener,
    fleet: FleetReadiness | None = None,
) -> LfsProxy:
    """The proxy with real backends: all that a process is, or one of a fleet. Raises SettingError."""
    trouble = KnownTrouble()
    upstream = Upstream(reactor, loaded.settings)
    backends = make_backends(reactor, loaded.settings, environment, metrics, trouble, upstream)
    traces = make_traces(reactor, environment)
    return LfsProxy(reactor, loaded, backends, metrics, listener, trouble, traces, fleet, upstream)

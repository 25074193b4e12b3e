"""The HTTP port: connections and their requests, what is in flight, and how to come to an end.

The answers are none of the site's business: it is given a resource (by lfsproxy.web.door).
"""

# twisted.web is not annotated:
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import LogLevel
from twisted.web.http import REQUEST_TIMEOUT
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource
from twisted.web.server import Site

from lfsproxy.errors import Draining, LfsError
from lfsproxy.interfaces import IMetrics
from lfsproxy.log.uploads import as_line, as_value
from lfsproxy.logs import Logger
from lfsproxy.net.admission import Admission
from lfsproxy.net.ages import old_at
from lfsproxy.net.peers import CHECK_SECONDS
from lfsproxy.readiness import Readiness
from lfsproxy.settings import Settings
from lfsproxy.tracing.spans import NO_TRACER, Tracer
from lfsproxy.wakeups import Condition
from lfsproxy.web.channel import StreamingChannel
from lfsproxy.web.cors import Cors
from lfsproxy.web.request import UNMATCHED, StreamingRequest
from lfsproxy.web.seams import AnswerHead, Connection

POLLED = frozenset({"/healthz", "/readyz"})
"""Routes that probes ask every few seconds: their lines are for debugging."""
METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
"""Methods that the metrics know by name; any other is a label that its sender could choose."""


class LfsSite(Site):
    """The HTTP door as a factory of connections. Made by ``lfsproxy.web.door.make_site``.

    ``random`` gives numbers from 0 to 1.
    """

    protocol = StreamingChannel  # type: ignore[assignment]
    requestFactory = StreamingRequest
    noisy = False
    _log = Logger()

    def logPrefix(self) -> str:
        """What Twisted calls the port."""
        return "the HTTP port"

    def __init__(
        self,
        resource: IResource,
        reactor: IReactorTime,
        cors: Cors,
        readiness: Readiness,
        metrics: IMetrics,
        settings: Settings,
        random: Callable[[], float],
        tracer: Tracer = NO_TRACER,
    ) -> None:
        super().__init__(resource, reactor=reactor)
        self.tracer = tracer
        self.stall_timeout = settings.stall_timeout
        self.keep_alive = settings.http_keep_alive
        self.max_header_size = settings.http_max_header_size
        self.base_path = settings.http_base_path
        self._max_age = settings.http_max_connection_age
        self._random = random
        self._cors = cors
        self._readiness = readiness
        self._metrics = metrics
        self._connections: dict[Connection, str] = {}
        self._full_until = 0.0
        self.admission = Admission(
            "http",
            "LFS_HTTP_MAX_CONNECTIONS",
            settings.http_max_connections,
            settings.http_max_connections_per_ip,
            metrics,
            make_room=self._make_room,
        )
        """Which clients get a connection."""
        self._requests: set[IRequest] = set()
        self._working: set[IRequest] = set()
        self.uploads = 0
        """Requests with an upload that runs, whether its client is still there or not."""
        self.downloads: set[IRequest] = set()
        """Requests for a record that are not answered yet."""
        self._over = Condition(reactor)
        self.cut: LfsError | None = None
        """Why connections are cut by the proxy itself, once they are."""

    @property
    def draining(self) -> bool:
        return self._readiness.draining

    @property
    def in_flight(self) -> int:
        """Requests that are not answered yet, and uploads that still run after their client went away."""
        return len(self._requests | self._working)

    @property
    def busy_connections(self) -> int:
        """Connections on which a request is received or answered."""
        return sum(not connection.idle for connection in self._connections)

    def drain(self) -> Deferred[None]:
        """End the idle connections; fires when nothing is in flight and every response has left.

        Readiness must be draining already.
        """
        for connection in list(self._connections):
            if connection.idle:
                connection.leave()
        if self._is_over:
            return succeed(None)
        return self._over.wait()

    def abort(self, why: str = "the proxy is stopped") -> None:
        """Cut every connection that is left. Uploads that go on end with that reason."""
        self.cut = Draining(why)
        for connection in list(self._connections):
            connection.abort()

    # what connections and requests tell (lfsproxy.web.seams)

    def track(self, request: IRequest, running: Deferred[Any], is_upload: bool) -> None:
        """Count a request as in flight until its work is done, whether its client stays or not."""
        self._working.add(request)
        self.uploads += is_upload

        def done(result: object) -> object:
            self._working.discard(request)
            self.uploads -= is_upload
            self._check_over()
            return result

        running.addBoth(done)

    def old_at(self) -> float:
        """When a connection that is made now is old, by the reactor's clock."""
        return old_at(self.reactor.seconds(), self._max_age, self._random)

    def connected(self, connection: Connection, host: str) -> None:
        self._connections[connection] = host
        self.admission.entered(host)
        self._metrics.http_connection(1)

    def disconnected(self, connection: Connection) -> None:
        self.admission.left(self._connections.pop(connection))
        self._metrics.http_connection(-1)
        self._check_over()

    def _make_room(self) -> bool:
        """Cut a connection on which nothing is asked, so that who has a request (or a probe) gets in."""
        now = self.reactor.seconds()
        if now < self._full_until:
            return False
        spare = next((each for each in self._connections if each.is_spare), None)
        if spare is None:
            # Not for each of those that are turned away, of whom there may be many.
            self._full_until = now + CHECK_SECONDS
            return False
        self.count_closed("room")
        spare.abort()
        return True

    def prepare(self, request: IRequest) -> None:
        """A request is about to be handled."""
        self._requests.add(request)
        self._cors.add_headers(request)

    def answering(self, head: AnswerHead) -> None:
        """A response's head is about to be written."""
        method = head.method.decode("ascii") if head.method in METHODS else "other"
        self._metrics.http_request(head.route, method, head.status)
        if head.status == REQUEST_TIMEOUT:
            self.count_closed("body")
        sender, path = head.sender, head.path[:300].decode("latin-1")
        # Whoever only makes errors is not to fill the log (lfsproxy.log.repeats).
        limits: dict[str, Any] = {}
        if head.status >= 400:
            limits = {"peer": head.host, "kind": f"{head.route} {method} {head.problem}"}
        self._log.emit(
            LogLevel.debug if head.route in POLLED else LogLevel.info,
            "{client}{key} {method} {path} {status} {more}",
            client=head.host,
            key=f" (key {head.key_id})" if head.key_id is not None else "",
            method=method,
            path=as_value(path),
            status=head.status,
            more=as_line({"request_id": sender.request_id, "reason": head.problem}),
            fields={
                "event": "request",
                "key_id": sender.key_id,
                "peer": sender.peer,
                "method": method,
                "path": path,
                "status": head.status,
                "request_id": sender.request_id,
                "reason": head.problem,
            },
            **limits,
        )

    def request_ended(self, request: IRequest) -> None:
        """A request was answered, or its connection was lost."""
        self._requests.discard(request)
        self.downloads.discard(request)
        self._check_over()

    def count_closed(self, reason: str) -> None:
        self._metrics.http_closed(reason)

    def count_refused(self, status: int) -> None:
        """Bytes that never became a request were answered."""
        self._metrics.http_request(UNMATCHED, "other", status)

    def log(self, request: Any) -> None:
        """Requests are logged by ``answering``, without their query."""

    @property
    def _is_over(self) -> bool:
        # A connection is gone only when what was written to it has left.
        return not (self._connections or self._requests or self._working)

    def _check_over(self) -> None:
        if self._is_over:
            self._over.wake()

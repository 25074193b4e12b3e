"""One signed request to S3 and its answer, watched for stalls. Nothing is tried again here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import attrs
from twisted.internet.base import ReactorBase
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.web._newclient import HTTP11ClientProtocol, Request
from twisted.web.client import URI
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from lfsproxy.checksums import Buffer
from lfsproxy.net.http import BodyCollector, HttpEndpoints
from lfsproxy.net.tls_errors import is_tls_error
from lfsproxy.s3.answers import MAX_ANSWER, Answer, read_answer
from lfsproxy.s3.body import BufferBody
from lfsproxy.s3.connection import (
    S3Connections,
    StaleConnection,
)
from lfsproxy.s3.signing import SignedRequest, host_header
from lfsproxy.s3.stream import BodyStream
from lfsproxy.words import error_text

if TYPE_CHECKING:
    from lfsproxy.net.tls import ClientTls

_T = TypeVar("_T")

GIVEN_UP = "the request to S3 was given up"
"""What is said of a request that was cancelled: Twisted's own error says nothing."""


@attrs.define
class Trouble(Exception):
    """No answer. ``causes`` are what it failed by, none where it was too slow; ``since`` is when the last
    progress was made; ``sent``: S3 may have the whole request; ``stale``: the pooled connection was gone."""

    causes: Sequence[BaseException]
    since: float
    sent: bool
    stale: bool

    def __str__(self) -> str:
        return "; ".join(error_text(cause) for cause in self.causes) or "no progress for too long"


class StallWatch:
    """Ends what is waited for when nothing has moved for ``limit`` seconds, and tells that from a cancel.

    Progress is reported, or shows in ``measure``: the bytes that the kernel has not got rid of yet.
    """

    def __init__(self, clock: IReactorTime, limit: float) -> None:
        self.stalled = False
        self.cancelled = False
        self.last = clock.seconds()
        self.measure: Callable[[], int | None] = lambda: None
        self._measured: int | None = None
        self._clock = clock
        self._limit = limit
        self._stop: Callable[[], None] = lambda: None
        self._call: IDelayedCall | None = clock.callLater(limit / 4, self._look)

    def progressed(self) -> None:
        self.last = self._clock.seconds()

    def over(self, deferred: Deferred[_T]) -> Deferred[_T]:
        """Watch over ``deferred`` from now on. Errors do not tell what cancelled it, or that anything did: a
        name look-up that is cancelled says that there is no such host."""
        watched: Deferred[_T] = Deferred(lambda _: self.cancel())
        self._stop = deferred.cancel
        deferred.chainDeferred(watched)
        return watched

    def cancel(self) -> None:
        """Cancel what is waited for."""
        self.cancelled = True
        self._stop()

    def end(self) -> None:
        """Watch no longer."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        self._call = None
        measured = self.measure()
        if None not in (measured, self._measured) and measured != self._measured:
            self.progressed()
        self._measured = measured
        left = self.last + self._limit - self._clock.seconds()
        if left > 0:
            self._call = self._clock.callLater(min(left, self._limit / 4), self._look)
        else:
            self.stalled = True
            self._stop()


@attrs.frozen
class _Place:
    """Where requests go: the pool's key for its connections, how to connect, and the Host header."""

    key: tuple[bytes, bytes, int]
    endpoint: IStreamClientEndpoint
    host: bytes


class Exchanges:
    """Sends requests over a pool of connections. ``idle`` is how many of them are kept when unused."""

    def __init__(
        self,
        reactor: ReactorBase,
        clock: IReactorTime,
        tls: ClientTls | None,
        connect_timeout: float,
        idle: int,
    ) -> None:
        self._clock = clock
        self._watches: set[StallWatch] = set()
        self._pool = S3Connections(clock, idle)
        self._endpoints = HttpEndpoints(reactor, tls, connect_timeout)
        self._places: dict[str, _Place] = {}

    async def close(self) -> None:
        """Cancel the requests that are under way, and close all connections."""
        for watch in list(self._watches):
            watch.cancel()
        await self._pool.close_all()

    async def open(self, request: SignedRequest, stall: float) -> Answer:
        """Send ``request``, and read of its answer only what is before the body: that is in ``stream``.

        An answer that is an error has its body, and no stream. Raises as ``send`` does.
        """
        watch = StallWatch(self._clock, stall)
        self._watches.add(watch)
        try:
            response = await watch.over(self._request(request, None))
            watch.progressed()
            if response.code < 300:
                stream = BodyStream(self._clock, stall)
                response.deliverBody(stream)
                return attrs.evolve(_answer(response, b""), stream=stream)
            return _answer(response, await self._collect(response, watch))
        except Exception as error:
            raise self._trouble(error, watch, sent=True) from None
        finally:
            watch.end()
            self._watches.discard(watch)

    def _request(self, request: SignedRequest, body: BufferBody | None) -> Deferred[IResponse]:
        """As Twisted's Agent does it, which takes each URL apart anew, and copies the headers."""
        scheme, _, rest = request.url.partition("://")
        host, _, path = rest.partition("/")
        place = self._place(f"{scheme}://{host}")
        headers = Headers({name: [value] for name, value in request.headers.items()})
        headers.setRawHeaders(b"Host", [place.host])
        asked = Request(
            request.method.encode("ascii"), f"/{path}".encode("ascii"), headers, body, persistent=True
        )

        def send(connection: HTTP11ClientProtocol) -> Deferred[IResponse]:
            return connection.request(asked)

        connecting: Deferred[HTTP11ClientProtocol] = self._pool.getConnection(place.key, place.endpoint)
        return connecting.addCallback(send)

    def _place(self, url: str) -> _Place:
        """Where a URL without a path is: there are as many as S3 has addresses for our bucket."""
        place = self._places.get(url)
        if place is None:
            uri = URI.fromBytes(url.encode("ascii"))
            scheme, _, host = url.partition("://")
            place = self._places[url] = _Place(
                (uri.scheme, uri.host, uri.port),
                self._endpoints.endpointForURI(uri),
                host_header(scheme, host).encode("ascii"),
            )
        return place

    @staticmethod
    def _collect(response: IResponse, watch: StallWatch, most: int = MAX_ANSWER) -> Deferred[bytes]:
        collector = BodyCollector(most, watch.progressed)
        response.deliverBody(collector)
        return watch.over(collector.done)

    @staticmethod
    def _trouble(error: Exception, watch: StallWatch, sent: bool) -> Exception:
        """What to raise where there is no answer."""
        if watch.cancelled:
            return CancelledError(GIVEN_UP)
        causes = [] if watch.stalled else _causes(error)
        return Trouble(causes, watch.last, _reached(error) and sent, isinstance(error, StaleConnection))

    async def send(
        self, request: SignedRequest, body: Sequence[Buffer], stall: float, most: int = MAX_ANSWER
    ) -> Answer:
        """Send ``request`` and read its answer, of whatever status and up to ``most`` bytes.

        Raises Trouble where there is none: no connection, a broken one, or no byte moved for ``stall``
        seconds. ``body`` is not held any longer when this returns.
        """
        watch = StallWatch(self._clock, stall)
        self._watches.add(watch)
        producer = BufferBody(body, watch.progressed) if body else None
        early: list[tuple[IResponse, BodyCollector]] = []

        def answered_early(response: IResponse) -> Deferred[bytes]:
            collector = BodyCollector(MAX_ANSWER, watch.progressed)
            early.append((response, collector))
            response.deliverBody(collector)
            return collector.done

        if producer is not None:
            producer.answered = answered_early
            watch.measure = lambda: producer.unacknowledged()
        try:
            response = await watch.over(self._request(request, producer))
            watch.progressed()
            content = bytes(early[0][1].received) if early else await self._collect(response, watch, most)
            return _answer(response, content)
        except Exception as error:
            if early and not watch.cancelled:
                return _answer(early[0][0], bytes(early[0][1].received))
            sent = producer is None or producer.finished
            raise self._trouble(error, watch, sent) from None
        finally:
            watch.end()
            self._watches.discard(watch)
            if producer is not None:
                producer.answered = None
                producer.release()


def _answer(response: IResponse, content: bytes) -> Answer:
    headers = {
        name.decode("latin-1").lower(): values[-1].decode("latin-1")
        for name, values in response.headers.getAllRawHeaders()
    }
    # Twisted keeps it to itself, except in answers to HEAD.
    if isinstance(response.length, int):
        headers.setdefault("content-length", str(response.length))
    return read_answer(response.code, headers, content)


def _causes(error: BaseException) -> list[BaseException]:
    """An error of Twisted's client, or those that it wraps."""
    wrapped = getattr(error, "reasons", None)
    if not wrapped:
        return [error]
    return [cause for failure in wrapped for cause in _causes(failure.value)]


def _reached(error: BaseException) -> bool:
    """Whether there was a connection: only then Twisted wraps what went wrong. A failed handshake is none."""
    causes = _causes(error)
    return causes != [error] and not any(is_tls_error(cause) for cause in causes)

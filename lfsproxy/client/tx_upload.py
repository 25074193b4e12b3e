"""Uploads for Twisted, by treq on the reactor: no thread is used, and a body is read as fast as it leaves.

proxy = Uploader("http://localhost:8080")
with open("image.png", "rb") as file:
    published = await proxy.upload("demo-topic", file, content_type="image/png")
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Cooperator, TaskDone, TaskFinished, TaskStopped
from twisted.python.failure import Failure
from twisted.web.client import Agent, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer
from zope.interface import implementer

from lfsproxy.client.places import check_authorities, checked_api
from lfsproxy.client.problems import error_of
from lfsproxy.client.results import Progress
from lfsproxy.client.retry import check_seconds
from lfsproxy.client.strangers import why_failed
from lfsproxy.client.tx_http import Endpoints, ExactURL, Trust, Watch, innermost, kept_connections
from lfsproxy.client.upload import (
    CONNECT_SECONDS,
    SILENT_SECONDS,
    Body,
    Published,
    Sent,
    published,
    question,
)

MOST_ANSWER = 1024 * 1024
"""Bytes of an answer: an envelope, or a problem."""


class Uploader:
    """``lfsproxy.client.Uploader`` with Deferreds; takes its arguments, and the reactor by ``reactor``.

    ``agent`` replaces Twisted's own, and with it what is said of certificates and connecting. Connections are
    kept for reuse until ``close``.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        ca_bundle: str | None = None,
        client_cert: str | None = None,
        client_key: str | None = None,
        connect_timeout: float = CONNECT_SECONDS,
        silent_timeout: float = SILENT_SECONDS,
        *,
        reactor: Any = None,
        agent: IAgent | None = None,
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        self.url = checked_api("url", url)
        check_seconds("connect_timeout", connect_timeout, zero=False)
        check_seconds("silent_timeout", silent_timeout, zero=False)
        if ca_bundle is not None:
            check_authorities("ca_bundle", ca_bundle)
        self._reactor = reactor
        self._silent = silent_timeout
        self._headers = {} if api_key is None else {"Authorization": [f"Bearer {api_key}"]}
        self._pool = kept_connections(reactor)
        # A second try would read the body a second time.
        self._pool.retryAutomatically = False
        trust = Trust(ca_bundle, client_cert, client_key)
        endpoints = Endpoints(reactor, lambda: trust, connect_timeout)
        self._agent = agent or Agent.usingEndpointFactory(reactor, endpoints, self._pool)

    def upload(
        self,
        topic: str,
        body: Body,
        key: str | bytes | None = None,
        partition: int | None = None,
        headers: Iterable[tuple[str, bytes]] = (),
        filename: str | None = None,
        content_type: str | None = None,
        timestamp: int | None = None,
        checksum: str | None = None,
        algorithm: str | None = None,
        on_progress: Progress | None = None,
    ) -> Deferred[Published]:
        """See ``lfsproxy.client.Uploader.upload``. The body is read in the reactor's thread, piece by piece.

        To cancel it closes its connection: if the whole body had left, the record may be published.
        """
        path, sent = question(
            topic,
            body,
            on_progress,
            key=key,
            partition=partition,
            headers=headers,
            filename=filename,
            content_type=content_type,
            timestamp=timestamp,
            checksum=checksum,
            algorithm=algorithm,
        )
        return Deferred.fromCoroutine(self._upload(path, sent))

    async def _upload(self, path: str, sent: Sent) -> Published:
        watch = Watch(self._reactor, self._silent)
        producer = _Pulled(self._reactor, sent, watch.progressed)
        try:
            status, answer = await watch.over(Deferred.fromCoroutine(self._post(path, producer, watch)))
        except CancelledError:
            if not watch.is_late:
                raise
            raise sent.lost(self.url, f"nothing moved for {self._silent:g} s") from None
        except Exception as error:
            if sent.failure is not None:
                raise sent.failure from None
            raise sent.lost(self.url, why_failed(innermost(error), "ca_bundle")) from error
        finally:
            watch.end()
        if status != 201:
            raise error_of(status, answer)
        return published(answer, sent.checksum)

    async def _post(self, path: str, producer: _Pulled, watch: Watch) -> tuple[int, bytes]:
        headers = Headers({"Content-Type": ["application/octet-stream"], **self._headers})
        response = await HTTPClient(self._agent).post(
            ExactURL.from_text(self.url + path),
            data=producer,
            headers=headers,
            allow_redirects=False,
            unbuffered=True,
            reactor=self._reactor,
        )
        answer = _Answer(watch.progressed)
        response.deliverBody(answer)
        return response.code, await answer.whole

    def close(self) -> Deferred[None]:
        """Close the connections that are kept for reuse."""
        closing: Deferred[None] = self._pool.closeCachedConnections()
        return closing


class _Answer(Protocol):
    """An answer's body. Who no longer waits for it closes its connection."""

    def __init__(self, progressed: Callable[[], None]) -> None:
        self.whole: Deferred[bytes] = Deferred(lambda _: self._close())
        self._progressed = progressed
        self._received = bytearray()

    def dataReceived(self, data: bytes) -> None:
        if self.whole.called:
            return
        self._progressed()
        self._received += data
        if len(self._received) > MOST_ANSWER:
            self.whole.errback(ValueError(f"the answer has more than {MOST_ANSWER} bytes"))
            self._close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.whole.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.whole.callback(bytes(self._received))
        else:
            self.whole.errback(reason)

    def _close(self) -> None:
        if self.transport is not None:
            # Agents that are not ours have only the orderly end, which waits for the proxy.
            getattr(self.transport, "abortConnection", self.transport.loseConnection)()


@implementer(IBodyProducer)
class _Pulled:
    """A body whose next piece is read when the connection has room for it."""

    def __init__(self, reactor: Any, sent: Sent, progressed: Any) -> None:
        self.length = UNKNOWN_LENGTH if sent.length is None else sent.length
        self._sent = sent
        self._progressed = progressed
        self._turns = Cooperator(scheduler=lambda turn: reactor.callLater(0, turn))

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        self._task = self._turns.cooperate(self._pieces(consumer))
        done: Deferred[Any] = self._task.whenDone()
        return done.addCallbacks(lambda _: None, self._not_if_stopped)

    @staticmethod
    def _not_if_stopped(failure: Failure) -> Deferred[None]:
        """As IBodyProducer has it, one that was stopped never says that it is done."""
        failure.trap(TaskStopped)
        return Deferred()

    def _pieces(self, consumer: IConsumer) -> Iterator[None]:
        for piece in self._sent:
            self._progressed()
            consumer.write(bytes(piece))
            yield None

    def pauseProducing(self) -> None:
        self._task.pause()

    def resumeProducing(self) -> None:
        self._progressed()
        self._task.resume()

    def stopProducing(self) -> None:
        with suppress(TaskDone, TaskFinished):
            self._task.stop()

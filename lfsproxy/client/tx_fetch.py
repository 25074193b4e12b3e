"""One blob's bytes by GET with treq, on Twisted's reactor: what ``client/fetch.py`` does by waiting."""

from __future__ import annotations

from collections.abc import Callable
from http.client import BadStatusLine, RemoteDisconnected
from typing import Any
from urllib.parse import urlsplit

import attrs
import urllib3
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import deferLater
from twisted.web._newclient import ParseError
from twisted.web.client import Agent, ResponseNeverReceived
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IResponse

from lfsproxy.client.download import Download
from lfsproxy.client.sources import ERROR_BYTES, RETRIED_ERRORS, HTTPSource, Question, TryAgain, code_of
from lfsproxy.client.tx_body import Body
from lfsproxy.client.tx_http import Endpoints, ExactURL, Trust, Watch, innermost, kept_connections
from lfsproxy.client.tx_stop import Stop
from lfsproxy.errors import ReadInterrupted
from lfsproxy.s3.signing import host_header
from lfsproxy.uncompressed import Uncompressed
from lfsproxy.words import error_text


@attrs.frozen
class TreqAnswer:
    """What a GET was answered. ``length`` is its Content-Length, None: not told."""

    status: int
    length: int | None
    etag: str | None
    content_type: str
    body: Body


class TreqGets:
    """Sends GETs, over connections that are kept for reuse until ``close``.

    ``connect_timeout`` and ``read_timeout`` are the seconds that connecting may take, and the next bytes.
    ``agent`` replaces Twisted's own, and with it what is said of certificates and connecting.
    """

    def __init__(
        self,
        reactor: Any,
        connect_timeout: float,
        read_timeout: float,
        ca_bundle: str | None,
        kept: int,
        agent: IAgent | None,
    ) -> None:
        self._reactor = reactor
        self._connect = connect_timeout
        self._read = read_timeout
        self._ca_bundle = ca_bundle
        self._trusted: Trust | None = None
        self._agent = agent
        self._pool = kept_connections(reactor)
        self._pool.maxPersistentPerHost = kept

    async def send(self, question: Question, stop: Stop) -> TreqAnswer:
        """The answer's head, and the body as it comes. Raises TryAgain, or ReadInterrupted when stopped."""
        watch = Watch(self._reactor, self._read)
        try:
            response = await stop.over(watch.over(self._asked(question, watch)))
        except CancelledError:
            raise TryAgain(f"no answer came for {self._read:g} s") from None
        except ReadInterrupted:
            raise
        except Exception as error:
            raise _try_again(error) from error
        finally:
            watch.end()
        body = Body(self._reactor, self._read)
        response.deliverBody(body)
        return TreqAnswer(
            response.code,
            None if response.length is UNKNOWN_LENGTH else response.length,
            _header(response, b"ETag"),
            _header(response, b"Content-Type") or "",
            body,
        )

    def _asked(self, question: Question, watch: Watch) -> Deferred[Any]:
        parts = urlsplit(question.url)
        agent = self._agent or Agent.usingEndpointFactory(
            self._reactor,
            Endpoints(self._reactor, self._trust, self._connect, watch),
            self._pool,
        )
        headers = Headers({name: [value] for name, value in question.headers.items()})
        headers.setRawHeaders("Host", [host_header(parts.scheme, parts.netloc)])
        return HTTPClient(Uncompressed(agent)).get(
            ExactURL.from_text(question.url),
            headers=headers,
            allow_redirects=False,
            unbuffered=True,
            reactor=self._reactor,
        )

    def _trust(self) -> Trust:
        if self._trusted is None:
            self._trusted = Trust(self._ca_bundle)
        return self._trusted

    def close(self) -> Deferred[None]:
        """Close the connections that are kept for reuse."""
        closing: Deferred[None] = self._pool.closeCachedConnections()
        return closing


class TreqBytes:
    """The bytes of one blob in their order, not verified. ``in_thread`` runs what may have to wait."""

    def __init__(
        self,
        source: HTTPSource,
        http: urllib3.PoolManager,
        gets: TreqGets,
        download: Download,
        stop: Stop,
        reactor: Any,
        in_thread: Callable[[Callable[[], Any]], Deferred[Any]],
    ) -> None:
        self._source = source
        self._http = http
        self._gets = gets
        self._stop = stop
        self._reactor = reactor
        self._in_thread = in_thread
        self._body: Body | None = None
        self.download = download

    async def start(self) -> Body:
        """Send the GET, and give its body. Raises as ``BlobBytes.start`` does."""
        while self._body is None:
            self._stop.check()
            try:
                self._body = await self._opened()
            except RETRIED_ERRORS as error:
                await self._pause(error)
        return self._body

    async def read(self, most: int) -> bytes:
        """Up to ``most`` next bytes; none at the end of what the store sends. Raises as ``start`` does."""
        while True:
            self._stop.check()
            body = self._body or await self.start()
            if data := body.take(most):
                self.download.came(len(data))
                return data
            if body.ended:
                return b""
            try:
                await self._stop.over(body.more())
            except RETRIED_ERRORS as error:
                self.close()
                await self._pause(error)

    def close(self) -> None:
        """Let go of the connection."""
        body, self._body = self._body, None
        if body is not None:
            body.close()

    async def _opened(self) -> Body:
        request = self.download.request(self._http)
        if self._source.blocks:
            question = await self._stop.over(self._in_thread(lambda: self._source.question(request)))
        else:
            question = self._source.question(request)
        answer = await self._gets.send(question, self._stop)
        taken = False
        try:
            taken = self.download.is_taken(answer.status, answer.length, answer.etag)
            if taken:
                return answer.body
            raise self.download.refusal(answer.status, await self._code(answer))
        finally:
            if not taken:
                answer.body.close()

    async def _code(self, answer: TreqAnswer) -> str:
        told = b""
        while True:
            told += answer.body.take(ERROR_BYTES - len(told))
            if len(told) == ERROR_BYTES or answer.body.ended:
                break
            await self._stop.over(answer.body.more())
        return code_of(told, answer.content_type)

    async def _pause(self, error: Exception) -> None:
        self._stop.check()
        await self._stop.over(deferLater(self._reactor, self.download.pause_after(error)))


def _header(response: IResponse, name: bytes) -> str | None:
    values = response.headers.getRawHeaders(name)
    return values[0].decode("ascii", "replace") if values else None


def _try_again(error: Exception) -> TryAgain:
    """Why a request failed, as urllib3 has it: there are words for these (client/strangers.py)."""
    cause = innermost(error)
    if isinstance(cause, ParseError):
        return TryAgain(BadStatusLine(cause.data.decode("latin-1")))
    if isinstance(error, ResponseNeverReceived) and isinstance(cause, ConnectionDone):
        return TryAgain(RemoteDisconnected(""))
    return TryAgain(error_text(cause))

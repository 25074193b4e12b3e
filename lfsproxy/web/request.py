"""A request that is handled while its body still comes.

The response may be written before the body's end. But the request is finished, and the next one on the
connection begun, only when the body was received: else its rest would be read as the next request. A short
rest is drained; with a long one the response says ``Connection: close``.
"""

# twisted.web is not annotated:
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote_to_bytes
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web import http, server

from lfsproxy.errors import BadRequest, ClientGone, LfsError
from lfsproxy.log.uploads import Sender
from lfsproxy.net.peers import plain_host
from lfsproxy.quoting import quoted
from lfsproxy.settings import Address
from lfsproxy.tracing.spans import Tracer
from lfsproxy.web.body import RequestBody
from lfsproxy.web.problems import ExpectationFailed, NotFound, render_problem
from lfsproxy.web.seams import AnswerHead, Connection

DRAIN_BYTES = 1024 * 1024
"""The most bytes of a body that are read and dropped after its answer, so that the connection can go on."""
UNMATCHED = "unmatched"
"""The route, in the metrics, of what is not routed."""

_SANE_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._~:/+=@-]{0,127}")


def new_request_id() -> str:
    """An id for a request whose client gave none, or none that can be used."""
    return uuid4().hex


class StreamingRequest(server.Request):
    """One request. ``body`` is what handlers read; ``content`` stays empty."""

    channel: Connection  # type: ignore[assignment]  # all of Twisted's that a request may use
    defaultContentType = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._site = self.channel.site
        self.body: RequestBody
        self.dispatched = False
        self.expects_continue = False
        self.unmet_expectation: bytes | None = None
        self.body_paused = False
        self.answered_early = False
        self.key_id: str | None = None
        """The id of the API key that the request came with, once it was found."""
        self.request_id = ""
        """The client's X-Request-Id where that is sane, else one of our own."""
        self.problem = ""
        """What went wrong, where the answer is a problem."""
        self.route = UNMATCHED
        """The path of the operation that was asked for, ``/v1/topics/{topic}/records``."""
        self._is_upload = False
        self._ends = False

    def gotLength(self, length: int | None) -> None:
        self.body = RequestBody(self._site.reactor, self._site.stall_timeout, length, self)

    def dispatch(self, method: bytes, uri: bytes, version: bytes) -> None:
        """Handle the request; its headers are there."""
        self.dispatched = True
        self.method, self.uri, self.clientproto = method, uri, version
        path, _, query = uri.partition(b"?")
        if path.lower().startswith((b"http://", b"https://")):
            path = b"/" + path.split(b"://", 1)[1].partition(b"/")[2]
        base = self._site.base_path.encode("ascii")
        # A reverse proxy may have taken the base path away, and probes come without it.
        self.path, self.query = (path[len(base) :] if path.startswith(base + b"/") else path), query
        self.args = http.parse_qs(query, True)
        self.request_id = self._given_id() or new_request_id()
        self.setHeader(b"X-Request-Id", self.request_id.encode("ascii"))
        self._site.prepare(self)
        refusal = self._refusal()
        if refusal is not None:
            self.answer(render_problem(self, refusal))
        elif base and path == base:
            # The page's own links are relative to the slash.
            self.setResponseCode(http.PERMANENT_REDIRECT)
            self.setHeader(b"Location", base + b"/" + (b"?" + query if query else b""))
            self.setHeader(b"Content-Length", b"0")
            self.answer(b"")
        else:
            self.process()

    def _given_id(self) -> str:
        given = self.requestHeaders.getRawHeaders(b"X-Request-Id", [])
        if len(given) == 1 and _SANE_ID.fullmatch(given[0]):
            return given[0].decode("ascii")
        return ""

    @property
    def sender(self) -> Sender:
        """The sender, for the log."""
        address: Any = self.client
        peer = str(Address(plain_host(address.host), address.port))
        return Sender(peer=peer, request_id=self.request_id, key_id=self.key_id or "")

    @property
    def tracer(self) -> Tracer:
        """What makes the span of a request."""
        return self._site.tracer

    @property
    def clock(self) -> IReactorTime:
        """The clock of the site."""
        return self._site.reactor

    def _refusal(self) -> LfsError | None:
        """What is wrong with the request whatever it asks for, and what routing would not mind."""
        if self.unmet_expectation is not None:
            return ExpectationFailed(f"Expect is {quoted(self.unmet_expectation)}: only 100-continue is met")
        if self.method != self.method.upper():
            return BadRequest(
                f"the method is {quoted(self.method, most=20)}: methods are written in capitals"
            )
        try:
            unquote_to_bytes(self.path).decode("utf-8")
        except UnicodeDecodeError:
            return BadRequest("the path is not UTF-8")
        if self.path.startswith(b"//"):
            return NotFound(f"nothing is at {self.path[:200].decode('latin-1')}")
        return None

    def set_location(self, header: bytes, path: str) -> None:
        """Name a path of this API in a header, as clients have to ask for it."""
        self.setHeader(header, f"{self._site.base_path}{path}".encode("ascii"))

    def is_routed(self, route: str, is_upload: bool = False) -> None:
        """The path was found; ``is_upload``: the operation that is asked for has a body."""
        self.route, self._is_upload = route, is_upload

    @property
    def uploads_running(self) -> int:
        """Uploads that run at the site now."""
        return self._site.uploads

    @property
    def downloads_running(self) -> int:
        """Requests for a record that the site answers now."""
        return len(self._site.downloads)

    def count_as_download(self) -> None:
        """It is one of them, until it was answered or its client is gone."""
        self._site.downloads.add(self)

    def track(self, running: Deferred[Any]) -> None:
        """Count the request as in flight until its work is done, whether its client stays or not."""
        self._site.track(self, running, self._is_upload)

    @property
    def why_cut(self) -> LfsError:
        """Why its connection is gone: the proxy has cut it, or the client went away."""
        return self._site.cut or ClientGone("the client went away")

    @property
    def is_gone(self) -> bool:
        """Whether its connection is gone, so that nothing can be answered any more."""
        return self._disconnected

    @property
    def is_full(self) -> bool:
        """What was written before has not left yet."""
        return self.channel.is_full

    def end_connection(self) -> None:
        """Close the connection when what was written has left: the client sees where the bytes end."""
        self.channel.end()

    def stall_connection(self) -> None:
        """Cut the connection, whatever has left: the client does not take its answer."""
        self.channel.stall()

    def answer(self, body: bytes) -> None:
        """Write a whole response and be done."""
        self.write(body)
        self.finish()

    def getRequestHostname(self) -> bytes:
        """Routing does not depend on the name that clients call the proxy by."""
        return b"lfsproxy"

    # what the channel tells

    def handleContentChunk(self, data: bytes) -> None:
        self.body.feed(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        self.body.end()
        if self.answered_early:
            self.answered_early = False
            super().finish()

    def broken(self, error: LfsError) -> None:
        """The body's bytes cannot be followed any further."""
        self.body.fail(error)

    def connectionLost(self, reason: Failure) -> None:
        # First of all nothing can be answered any more; only then the reader of the body hears of it.
        super().connectionLost(reason)
        if self.dispatched:
            self.body.lost()
        self._site.request_ended(self)

    # what the body asks of the connection

    def body_wanted(self) -> None:
        if self.expects_continue and not self.startedWriting:
            self.expects_continue = False
            self.channel.send_continue()

    def pause_body(self) -> None:
        self.body_paused = True
        self.channel.pause_reading()

    def resume_body(self) -> None:
        self.body_paused = False
        if self.channel is not None:
            self.channel.resume_reading()

    def body_read_size(self, size: int) -> None:
        if self.channel is not None:
            self.channel.read_size(size)

    # what handlers call

    def write(self, data: bytes) -> None:
        if not self.startedWriting and not self._disconnected:
            self._site.answering(self._answer_head())
            self.setHeader(b"Server", b"lfsproxy")
            self._ends = self._rest_is_too_much()
            if self._ends or self._site.draining or self.channel.is_old:
                self.channel.persistent = False
            if not self.channel.persistent:
                self.setHeader(b"Connection", b"close")
            super().write(data)
            self.channel.send_head()
        else:
            super().write(data)

    def finish(self) -> None:
        if self._disconnected:
            return
        if not self.startedWriting:
            self.write(b"")
        if self.body.ended:
            super().finish()
            return
        self.answered_early = True
        self.body.discard()
        if self._ends:
            self.channel.linger()
        else:
            self.channel.limit_rest()

    def _answer_head(self) -> AnswerHead:
        client: Any = self.client
        return AnswerHead(
            route=self.route,
            method=self.method,
            path=self.path,
            status=self.code,
            host=plain_host(client.host),
            sender=self.sender,
            key_id=self.key_id,
            problem=self.problem,
        )

    def _rest_is_too_much(self) -> bool:
        """Whether what is still to come of the body is not worth reading, or not to be told."""
        if self.channel.closing:
            return True
        if self.body.ended:
            return False
        # A client that still waits for 100 Continue may send its body or not: nobody knows what follows.
        if self.expects_continue or self.body.length is None:
            return True
        return self.body.length - self.body.received > DRAIN_BYTES

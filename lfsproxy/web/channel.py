"""An HTTP/1.1 connection that hands a request over when its headers are there, not when its body is.

Twisted's channel collects a body before anybody sees the request. This one dispatches from
``allHeadersReceived``; the names of twisted.web.http that this relies on are pinned by a test.

    idle ──first byte──▶ headers ──▶ body and response ──▶ idle, or closing

Over TLS a ``handshake`` with a deadline of its own comes before ``idle``. In ``idle`` the keep-alive
timeout runs (to the end of LFS_HTTP_MAX_CONNECTION_AGE at most), in ``headers`` one absolute deadline
(however slowly the bytes drip), in the body the body's own limit on silence. A connection that has to
close with unread bytes on it lingers: what comes is dropped for a moment, since closing at once would reset
the connection and the client might never see the response.
"""

# twisted.web is not annotated:
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import math
import re
from typing import Any, cast

from twisted.internet import interfaces
from twisted.internet.interfaces import IDelayedCall, IHandshakeListener
from twisted.logger import LogLevel
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from lfsproxy.errors import BadRequest
from lfsproxy.net.admission import host_at
from lfsproxy.net.peers import CHECK_SECONDS, beneath, has_unread, peer_is_gone
from lfsproxy.net.tls_errors import tls_trouble
from lfsproxy.web.request import DRAIN_BYTES, StreamingRequest, new_request_id
from lfsproxy.web.seams import Site
from lfsproxy.web.writing import WritingChannel

HANDSHAKE_SECONDS = 10.0
"""The time that a TLS handshake has: a few round trips, also on a slow line."""
QUIET_SECONDS = 1.0
"""The least time that an old connection is idle before it is closed: a request that comes meanwhile is
answered, and told that it is the last one."""
HEADER_SECONDS = 30.0
"""The most time that a request's headers have altogether, however slowly their bytes drip."""
NEW_SECONDS = 1.0
"""The time that a new connection has for its first request when the process stops."""
LINGER_SECONDS = 2.0
"""The time that a client has to take the last response of a connection which closes with unread bytes."""
DRAIN_SECONDS = 10.0
"""The time that the rest of an answered request's body has to come (up to DRAIN_BYTES)."""
FIRST_READ_BYTES = 64 * 1024
"""The most that is read at once from a connection which has no memory of the budget."""

TOO_LARGE = b"431 Request Header Fields Too Large"
TLS_HANDSHAKE = b"\x16"
"""The first byte of a TLS connection; no request begins with it."""

_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%\[\]:-]*")


@implementer(IHandshakeListener)
class StreamingChannel(WritingChannel):
    """One client's connection. Dispatches requests one after the other, in their order."""

    site: Site
    maxHeaders = 200

    def __init__(self) -> None:
        super().__init__()
        self.closing = False
        self._old_at = math.inf
        self._made_at = 0.0
        self._idle = True
        self._shaking = False
        self.asked = False
        self._dropped = 0
        self._unread = False
        self._look: IDelayedCall | None = None

    @property
    def idle(self) -> bool:
        """No request is being received or answered."""
        return self._idle and not self.requests

    @property
    def is_spare(self) -> bool:
        """It may go to make room for another client: nothing is asked on it, nor about to be."""
        is_new = not self.asked and self.site.reactor.seconds() < self._made_at + NEW_SECONDS
        in_use = self.closing or self._shaking or is_new or not self.idle
        return not in_use and not has_unread(self.transport)

    @property
    def is_old(self) -> bool:
        """It has been there for LFS_HTTP_MAX_CONNECTION_AGE."""
        return self.site.reactor.seconds() >= self._old_at

    @property
    def _idle_seconds(self) -> float:
        """How long it may be idle from now on."""
        left = max(self._old_at - self.site.reactor.seconds(), QUIET_SECONDS)
        return min(self.site.keep_alive, left)

    def connectionMade(self) -> None:
        super().connectionMade()
        # Over TLS the handshake comes first, which this is told of when it is done.
        self._shaking = self.isSecure()
        self._old_at = self.site.old_at()
        self._made_at = self.site.reactor.seconds()
        self.totalHeadersSize = self.MAX_LENGTH = self.site.max_header_size
        self.setTimeout(HANDSHAKE_SECONDS if self._shaking else self._idle_seconds)
        self.read_size(FIRST_READ_BYTES)
        self.site.connected(self, host_at(cast(Any, self.transport).getPeer()))

    def handshakeCompleted(self) -> None:
        """TLS is up, and a client's certificate verified where one is needed."""
        self._shaking = False
        self.setTimeout(self._idle_seconds)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        trouble = tls_trouble(reason)
        if self._shaking and trouble:
            self._say("is turned away: {trouble}", trouble=trouble)
        elif not self.asked:
            self._say("left without a request", LogLevel.debug)
        super().connectionLost(reason)
        if self._look is not None:
            self._look.cancel()
            self._look = None
        self.site.disconnected(self)

    @property
    def header_seconds(self) -> float:
        """How long a request's headers may take altogether."""
        return min(HEADER_SECONDS, self.site.stall_timeout)

    def read_size(self, size: int) -> None:
        """Read up to ``size`` bytes at once from the socket."""
        transport = beneath(self.transport)
        if interfaces.ITCPTransport.providedBy(transport):
            cast(Any, transport).bufferSize = size

    def dataReceived(self, data: bytes) -> None:
        if self.closing:
            self._drop(data)
            return
        if self._idle:
            self._idle = False
            self.asked = True
            # To move a call to an earlier time takes longer the more connections there are.
            self.setTimeout(None)
            if data[:1] == TLS_HANDSHAKE:
                self._say("is turned away: it speaks TLS, and LFS_HTTP_TLS_CERT is not set")
                self._refuse(b"400 Bad Request", told=True)
                return
        LineReceiver.dataReceived(self, data)
        if self._waits_for_head and self.timeOut is None:
            self.setTimeout(self.header_seconds)

    @property
    def _waits_for_head(self) -> bool:
        """A request's first bytes have come, and not all of its headers."""
        return not (self.closing or self._idle or (self.requests and self.current.dispatched))

    def lineReceived(self, line: bytes) -> None:
        # After a refusal the rest of the buffer still comes through here.
        if self.closing:
            return
        if self._receivedHeaderSize + len(line) > self.totalHeadersSize:
            self.lineLengthExceeded(line)
            return
        super().lineReceived(line)

    def rawDataReceived(self, data: bytes) -> None:
        if self.closing:
            self._drop(data)
        else:
            super().rawDataReceived(data)

    def lineLengthExceeded(self, line: bytes) -> None:
        # The request line makes the request, so that without one it is that line.
        self._refuse(TOO_LARGE if self.requests else b"414 URI Too Long")

    def headerReceived(self, line: bytes) -> bool:
        if self._receivedHeaderCount >= self.maxHeaders:
            self._refuse(TOO_LARGE)
            return False
        try:
            return bool(super().headerReceived(line))
        except ValueError:
            # A Content-Length with more digits than Python makes a number of.
            self._respondToBadRequestAndDisconnect()
            return False

    def allHeadersReceived(self) -> None:
        request = self.current
        headers = request.requestHeaders
        self.setTimeout(None)
        self.persistent = self.checkPersistence(request, self._version)
        if self._is_ambiguous(request):
            self._respondToBadRequestAndDisconnect()
            return
        request.gotLength(self.length)
        if self._version == b"HTTP/1.1":
            expects = b",".join(headers.getRawHeaders(b"Expect", [])).lower().split(b",")
            members = {member.strip() for member in expects} - {b""}
            request.expects_continue = b"100-continue" in members and self.length != 0
            request.unmet_expectation = min(members - {b"100-continue"}, default=None)
        request.dispatch(self._command, self._path, self._version)

    def _is_ambiguous(self, request: StreamingRequest) -> bool:
        """Whether two readers could disagree on where this request ends or whom it is for (RFC 9112, 6.3)."""
        headers = request.requestHeaders
        hosts = headers.getRawHeaders(b"Host", [])
        if len(hosts) > 1 or (not hosts and self._version == b"HTTP/1.1"):
            return True
        if hosts and not _HOST.fullmatch(hosts[0]):
            return True
        codings = headers.getRawHeaders(b"Transfer-Encoding", [])
        if not codings:
            return False
        # Together with a length the parser has refused it already.
        return self._version == b"HTTP/1.0" or [coding.lower() for coding in codings] != [b"chunked"]

    @property
    def current(self) -> StreamingRequest:
        """The request whose headers were received last."""
        return cast(StreamingRequest, self.requests[-1])

    def requestDone(self, request: StreamingRequest) -> None:
        self.read_size(FIRST_READ_BYTES)
        self._unread = False
        self._idle = True
        self._savedTimeOut = None
        self.setTimeout(self._idle_seconds)
        # Before the next one is taken, which may have come already.
        self.site.request_ended(request)
        super().requestDone(request)

    def resumeProducing(self) -> None:
        super().resumeProducing()
        # The transport has room for our writes again; that is no reason to read on.
        if self.requests and self.current.body_paused:
            self.pause_reading()

    def pause_reading(self) -> None:
        """Read nothing from the socket, but notice a client that goes away."""
        self._networkProducer.pauseProducing()
        self._unread = True
        if self._look is None:
            self._look = self.callLater(CHECK_SECONDS, self._look_for_client)

    def _look_for_client(self) -> None:
        self._look = None
        if not self._unread:
            return
        if peer_is_gone(self.transport):
            self.abort()
        else:
            self._look = self.callLater(CHECK_SECONDS, self._look_for_client)

    def resume_reading(self) -> None:
        """Read on, unless our own writes are stuck."""
        self._unread = False
        if not self.is_full:
            self._networkProducer.resumeProducing()

    def send_continue(self) -> None:
        """Let a client send its body that waits to be told so."""
        self._send100Continue()

    def limit_rest(self) -> None:
        """The rest of an answered request's body has DRAIN_SECONDS to come."""
        self.setTimeout(DRAIN_SECONDS)

    def linger(self) -> None:
        """Close soon: the response is written, and what still comes is dropped."""
        self.closing = True
        self.persistent = False
        self.setTimeout(LINGER_SECONDS)
        self.resume_reading()

    def _drop(self, data: bytes) -> None:
        self._dropped += len(data)
        if self._dropped > DRAIN_BYTES:
            # Unread bytes stay in the kernel, where they slow the client down instead of us.
            self.pause_reading()

    def timeoutConnection(self) -> None:
        if self.idle and not self.closing and not self._shaking and has_unread(self.transport):
            # A request has come meanwhile: its response may say that it is the last one.
            self.setTimeout(CHECK_SECONDS)
            return
        if self._late_with:
            self.site.count_closed(self._late_with)
        self.close()

    @property
    def _late_with(self) -> str:
        """What its client does not get done, empty where it has nothing to do."""
        if self.closing:
            return ""
        if self._shaking:
            return "handshake"
        if self._idle:
            return ""
        return "body" if self.requests and self.current.dispatched else "head"

    def leave(self) -> None:
        """Close an idle connection, but not on a request that has come already.

        A new connection has a moment for its first one, which is on its way: else a restart would give
        clients a connection that closes without an answer.
        """
        if self.asked or self._shaking:
            self.timeoutConnection()
        else:
            self.setTimeout(NEW_SECONDS)

    def close(self) -> None:
        """Close an idle connection, and cut it where what is to be written does not leave.

        Over TLS that includes a client that does not answer the end of TLS.
        """
        self.closing = True
        if self._abortingCall is None:
            self._abortingCall = self.callLater(self.abortTimeout, self.forceAbortClient)
        self.loseConnection()

    def forceAbortClient(self) -> None:
        """The client has not taken what was to be written."""
        self._say("does not take its answer: its connection is cut")
        self._abortingCall = None
        self.stall()

    def stall(self) -> None:
        """Cut the connection: its client does not take its answer."""
        self.site.count_closed("answer")
        self.abort()

    def end(self) -> None:
        """Close when what was written has left, and at the latest in ``abortTimeout`` seconds.

        The client sees where the bytes end; a cut could take back what it has not read yet.
        """
        self.timeoutConnection()

    def abort(self) -> None:
        """Cut the connection, whatever happens on it."""
        self.closing = True
        if self.transport is not None:
            cast(Any, self.transport).abortConnection()

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Twisted's parser could not follow the client's bytes."""
        request = self.current if self.requests else None
        if request is not None and request.dispatched:
            self.closing = True
            self.persistent = False
            request.broken(BadRequest("the chunks of the body are malformed"))
        else:
            self._refuse(b"400 Bad Request")

    def _say(self, what: str, level: Any = LogLevel.info, **values: Any) -> None:
        text = f"an HTTP client ({{peer}}) {what}"
        self._log.emit(level, text, peer=host_at(cast(Any, self.transport).getPeer()), **values)

    def _refuse(self, status: bytes, told: bool = False) -> None:
        """Answer bytes that never became a request. ``told``: the log has it already."""
        if self.closing:
            return
        request_id = new_request_id()
        if not told:
            self._say(
                "sent what is no readable request: {status} (request_id={request_id})",
                status=status.decode("ascii"),
                request_id=request_id,
            )
        self.length = None
        self.site.count_refused(int(status[:3]))
        cast(Any, self.transport).write(
            b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n"
            b"X-Request-Id: " + request_id.encode("ascii") + b"\r\n\r\n"
        )
        self.linger()

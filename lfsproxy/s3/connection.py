"""Connections to S3: Twisted's HTTP/1.1 client with what uploads need besides.

An answer that comes before the whole body was sent is not lost: S3 refuses a large PUT at once and closes,
which Twisted reports as a broken connection. A request that died because its pooled connection was closed
meanwhile can be told from trouble. What the kernel still holds can be asked for, as progress that no callback
reports. And bytes go through it with fewer copies, and fewer calls of the kernel.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from weakref import WeakSet

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReactorTime, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.internet.tcp import Connection
from twisted.python.components import proxyForInterface
from twisted.python.failure import Failure
from twisted.web._newclient import Request
from twisted.web.client import (
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseNeverReceived,
    _HTTP11ClientFactory,
)
from twisted.web.iweb import IResponse

from lfsproxy.cuttable import CuttableClient
from lfsproxy.net.writing import Piece, write_through
from lfsproxy.s3.body import BufferBody

IDLE_SECONDS = 15
"""How long an idle connection is kept: stores close theirs after 20 seconds and more."""
ANSWER_BYTES = 64 * 1024
"""How much of a small answer is read from a socket at once."""
BODY_BYTES = 1024 * 1024
"""How much of a blob is read at once: one turn for 1 MiB costs a third less than four turns do."""


class _AtOnce(proxyForInterface(ITCPTransport, "transport")):  # type: ignore[misc]  # made at run time
    """A socket's own transport whose socket is given bytes at once, where it takes them.

    It is paused only when what was read was taken in: the head of an answer pauses it, its body's reader
    resumes it, and a small body so costs no call of the kernel. The head of a request leaves together with
    the first bytes of its body; ``flush`` sends it where it has none.
    """

    _paused = False
    _taking = False
    _head = b""

    def write(self, data: Piece) -> None:
        head, self._head = self._head, b""
        write_through(self.transport, [head, data] if head else [data])

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self._head += b"".join(data)

    def flush(self) -> None:
        if self._head:
            self.write(b"")

    def take(self, take: Callable[[bytes], None], data: bytes) -> None:
        """Call ``take`` with what was read."""
        before, self._taking = self._paused, True
        try:
            take(data)
        finally:
            self._taking = False
            if self._paused != before:
                self._pause(self._paused)

    def pauseProducing(self) -> None:
        self._pause(True)

    def resumeProducing(self) -> None:
        self._pause(False)

    def _pause(self, paused: bool) -> None:
        self._paused = paused
        if self._taking:
            return
        if paused:
            self.transport.pauseProducing()
        else:
            self.transport.resumeProducing()

    def __getattr__(self, name: str) -> Any:
        """What it is besides: a consumer and a producer."""
        return getattr(self.transport, name)


class StaleConnection(Exception):
    """A pooled connection was gone when it was used again: nothing is known to be wrong with S3.

    ``reasons`` are the failures behind it, as in the exceptions of Twisted's client.
    """

    def __init__(self, reasons: list[Failure]) -> None:
        super().__init__(reasons)
        self.reasons = reasons


class S3ClientProtocol(CuttableClient):
    """One connection: reports early answers and stale connections."""

    _requests = 0
    _head_is_due = False

    def __init__(self, quiescent: Callable[[S3ClientProtocol], None]) -> None:
        super().__init__(quiescent)  # type: ignore[no-untyped-call]  # of Twisted
        self._lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        super().connectionMade()
        if isinstance(self.transport, Connection):
            self.transport = _AtOnce(self.transport)

    def dataReceived(self, data: bytes) -> None:
        if isinstance(self.transport, _AtOnce):
            self.transport.take(self._take, data)
        else:
            self._take(data)

    def _take(self, data: bytes) -> None:
        """Hand on what was read. Twisted's parser would copy the body that came with a head once a line."""
        head, end, body = data.partition(b"\r\n\r\n") if self._head_is_due else (data, b"", b"")
        if not (end and body):
            super().dataReceived(data)  # type: ignore[no-untyped-call]  # of Twisted
            return
        self._head_is_due = False
        parser = self._parser
        super().dataReceived(head + end)  # type: ignore[no-untyped-call]  # of Twisted
        # Behind an answer without a body it is dropped, as by Twisted: this may be the next parser.
        if self._parser is parser:
            super().dataReceived(body)  # type: ignore[no-untyped-call]  # of Twisted

    def request(self, request: Request) -> Deferred[IResponse]:
        self._requests += 1
        self._head_is_due = True
        self._read_size(BODY_BYTES if request.method == b"GET" else ANSWER_BYTES)
        body = request.bodyProducer
        if isinstance(body, BufferBody):
            body.takes_views = isinstance(self.transport, _AtOnce)
        answer = super().request(request)
        if isinstance(self.transport, _AtOnce):
            self.transport.flush()
        if isinstance(body, BufferBody) and self._responseDeferred is not None:
            body.unacknowledged = self._unacknowledged
            self._responseDeferred.addCallback(self._answered, request, body)
        if self._requests > 1:
            answer.addErrback(self._stale)
        return answer

    def _answered(self, response: IResponse, request: Request, body: BufferBody) -> IResponse:
        if self._state.startswith("TRANSMITTING") and response.code >= 300 and body.answered is not None:
            body.pauseProducing()
            self.make_cuttable(response, request)
            # A plain close would wait for the rest of the body, which nobody reads any more.
            body.answered(response).addBoth(lambda _: self.cut())
        return response

    def _read_size(self, size: int) -> None:
        # Over TLS the socket is one transport below.
        tcp: Any = getattr(self.transport, "transport", self.transport)
        if hasattr(tcp, "bufferSize"):
            tcp.bufferSize = size

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)  # type: ignore[no-untyped-call]  # of Twisted
        self._lost.callback(None)

    def end(self) -> Deferred[None]:
        """Close at once, whatever is still to be written; fires when the socket is closed."""
        if not self._lost.called:
            self.cut()
        return self._lost

    def _unacknowledged(self) -> int | None:
        """Bytes that the kernel holds for the peer; None where it does not tell."""
        # Over TLS the socket is one transport below.
        tcp = getattr(self.transport, "transport", self.transport)
        handle = getattr(tcp, "socket", None)
        if not isinstance(handle, socket.socket) or handle.fileno() < 0:
            return None
        (size,) = struct.unpack("i", fcntl.ioctl(handle, termios.TIOCOUTQ, b"\0" * 4))
        return int(size)

    def _stale(self, failure: Failure) -> Failure:
        """Only where S3 closed it: our own cancelling, at a stall, says nothing of that kind."""
        reasons = getattr(failure.value, "reasons", [])
        gone = failure.check(RequestTransmissionFailed, ResponseNeverReceived)
        if gone and all(reason.check(ConnectionDone, ConnectionLost) for reason in reasons):
            return Failure(StaleConnection(reasons))
        return failure


class _Factory(_HTTP11ClientFactory):
    noisy = False

    def __init__(
        self, made: Callable[[S3ClientProtocol], None], quiescent: Callable[..., None], metadata: str
    ) -> None:
        super().__init__(quiescent, metadata)  # type: ignore[no-untyped-call]  # of Twisted
        self._made = made

    def buildProtocol(self, addr: object) -> S3ClientProtocol:
        protocol = S3ClientProtocol(self._quiescentCallback)
        self._made(protocol)
        return protocol


class S3Connections(HTTPConnectionPool):
    """A pool that keeps up to ``idle`` connections for the next requests, and knows those in use too."""

    def __init__(self, clock: IReactorTime, idle: int) -> None:
        super().__init__(clock, persistent=True)  # type: ignore[no-untyped-call]  # of Twisted
        self._made: WeakSet[S3ClientProtocol] = WeakSet()
        self._factory = partial(_Factory, self._made.add)  # type: ignore[assignment]  # it is only called
        self.maxPersistentPerHost = idle
        self.cachedConnectionTimeout = IDLE_SECONDS
        self.retryAutomatically = False

    async def close_all(self) -> None:
        """End when no connection is open any more: one whose answer came early is in no pool."""
        await self.closeCachedConnections()  # type: ignore[no-untyped-call]  # of Twisted
        await gatherResults([protocol.end() for protocol in list(self._made) if protocol.transport])

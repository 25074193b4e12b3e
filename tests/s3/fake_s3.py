"""An S3 server on loopback that keeps objects in memory and can be told to misbehave. It notes requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from urllib.parse import parse_qsl, unquote, urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from tests.s3.bucket import FakeBucket, Request, error_answer
from tests.s3.faults import CutBody, Fault, Held, OkButError, Refuse, Reset, Silence


class FakeS3(FakeBucket, Factory):
    """``faults`` are used up in order, by operation; ``seen`` is called with each request's operation.
    Answers name the requests fake-1, fake-2 and so on, in the order in which they came.

    ``trickle`` is called for each piece of a body; ``padding`` is bytes of space behind each answer's body.
    """

    noisy = False

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []
        self.faults: dict[str, deque[Fault]] = {}
        self.always: dict[str, Fault] = {}
        self.seen: Callable[[str], None] = lambda operation: None
        self.trickle: Callable[[], object] | None = None
        self.padding = 0
        self.connections: set[_Connection] = set()
        self.connected = 0
        self.parts_at_once = 0
        self.most_parts_at_once = 0
        self._idle: list[Deferred[None]] = []
        self._awaited: list[tuple[str, Deferred[None]]] = []

    def fault(self, operation: str, *faults: Fault) -> None:
        """The next requests of that operation meet these faults."""
        self.faults.setdefault(operation, deque()).extend(faults)

    def operations(self) -> list[str]:
        """What was asked for, in order."""
        return [request.operation for request in self.requests]

    @property
    def waiting(self) -> int:
        """How many requests have come and have no answer yet."""
        return sum(connection.is_waited_for for connection in self.connections)

    def came(self, operation: str) -> Deferred[None]:
        """Fires when the next request of that operation came as far as its fault lets it, or whole."""
        waiter: Deferred[None] = Deferred()
        self._awaited.append((operation, waiter))
        return waiter

    def gone(self) -> Deferred[None]:
        """Fires when all connections are closed."""
        waiter: Deferred[None] = Deferred()
        self._idle.append(waiter)
        for connection in self.connections:
            connection.hear()
        self._check_idle()
        return waiter

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        self.connected += 1
        return _Connection(self, self.connected)

    def _check_idle(self) -> None:
        if not self.connections:
            idle, self._idle = self._idle, []
            for waiter in idle:
                waiter.callback(None)

    def _came(self, operation: str) -> None:
        ready = [pair for pair in self._awaited if pair[0] == operation]
        self._awaited = [pair for pair in self._awaited if pair[0] != operation]
        for _, waiter in ready:
            waiter.callback(None)

    def take_fault(self, operation: str) -> Fault | None:
        planned = self.faults.get(operation)
        return planned.popleft() if planned else self.always.get(operation)


class _Connection(Protocol):
    """Reads one request after the other."""

    def __init__(self, store: FakeS3, number: int) -> None:
        self._store = store
        self._number = number
        self._buffer = b""
        self._request: Request | None = None
        self._request_id = ""
        self._fault: Fault | None = None
        self._body = bytearray()
        self._length = 0
        self._deaf = False

    @property
    def is_waited_for(self) -> bool:
        """Whether a request has come and has no answer yet."""
        return self._request is not None

    def hear(self) -> None:
        """A connection that reads nothing does not learn either that it was closed."""
        if self._deaf:
            self._transport().resumeProducing()

    def connectionMade(self) -> None:
        self._store.connections.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._over()
        self._store.connections.discard(self)
        self._store._check_idle()

    def dataReceived(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._request is None:
            self._buffer += data
            if b"\r\n\r\n" not in self._buffer:
                return
            head, _, data = self._buffer.partition(b"\r\n\r\n")
            self._buffer = b""
            self._begin(head)
        assert self._request is not None
        self._body += data
        self._request.received = len(self._body)
        if self._store.trickle is not None:
            self._store.trickle()
        fault = self._fault
        if isinstance(fault, Refuse) and fault.early:
            self._answer(*error_answer(fault.status, fault.code))
            if fault.stay:
                self._deaf = True
                self._transport().pauseProducing()
            else:
                self._transport().loseConnection()
        elif isinstance(fault, Reset) and fault.after is not None and len(self._body) >= fault.after:
            self._transport().abortConnection()
        elif isinstance(fault, Silence) and fault.after is not None and len(self._body) >= fault.after:
            self._deaf = True
            self._transport().pauseProducing()
            self._store._came(self._request.operation)
        elif len(self._body) == self._length:
            self._end()

    def _transport(self):  # type: ignore[no-untyped-def]
        return self.transport

    def _begin(self, head: bytes) -> None:
        lines = head.decode("utf-8").split("\r\n")
        method, target, _ = lines[0].split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
        parts = urlsplit(target)
        path = unquote(parts.path).lstrip("/")
        host = headers["host"].split(":")[0]
        bucket, _, key = (host[:-10] + "/" + path if host.endswith(".localhost") else path).partition("/")
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        operation = _operation(method, key, query)
        self._request = Request(operation, method, bucket, key, query, headers, self._number)
        self._length = int(headers.get("content-length", "0"))
        self._store.requests.append(self._request)
        self._request_id = f"fake-{len(self._store.requests)}"
        self._fault = self._store.take_fault(operation)
        self._store.seen(operation)
        if operation == "upload_part":
            self._store.parts_at_once += 1
            self._store.most_parts_at_once = max(self._store.most_parts_at_once, self._store.parts_at_once)

    def _over(self) -> None:
        if self._request is not None and self._request.operation == "upload_part":
            self._store.parts_at_once -= 1
        self._request = None

    def _end(self) -> None:
        request, body, fault = self._request, bytes(self._body), self._fault
        assert request is not None
        if isinstance(fault, Refuse):
            if fault.worked:
                self._store.do(request, body)
            self._answer(*error_answer(fault.status, fault.code))
        elif isinstance(fault, OkButError):
            self._answer(200, {}, error_answer(200, fault.code)[2])
        elif isinstance(fault, Held):
            fault.until.addCallback(lambda _: self._answer(*self._store.do(request, body)))
        else:
            answer = self._store.do(request, body)
            if isinstance(fault, Reset):
                self._transport().abortConnection()
            elif isinstance(fault, CutBody):
                status, headers, data = answer
                whole = {"Content-Length": str(len(data)), **headers}
                self._answer(status, whole, data[: fault.after])
                self._transport().loseConnection()
            elif not isinstance(fault, Silence):
                self._answer(*answer)
        self._store._came(request.operation)

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        if self._request is None:
            return
        body = b"" if self._request.method == "HEAD" else body + b" " * self._store.padding
        headers = {"Content-Length": str(len(body)), "x-amz-request-id": self._request_id, **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._over()
        self._body.clear()
        self._transport().write(f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode() + body)


def _operation(method: str, key: str, query: dict[str, str]) -> str:
    if "uploads" in query:
        return "create_multipart_upload" if method == "POST" else "list_multipart_uploads"
    if "uploadId" in query:
        names = {
            "PUT": "upload_part",
            "POST": "complete_multipart_upload",
            "DELETE": "abort_multipart_upload",
        }
        return names[method]
    if "delete" in query:
        return "delete_objects"
    return f"{method.lower()}_{'object' if key else 'bucket'}"

"""An S3 server on loopback that keeps objects in memory and can be told to misbehave.

It checks what a real store checks (checksums, If-None-Match, ETags of parts), and notes each request.
"""

from __future__ import annotations

import base64
import hashlib
from collections import deque
from collections.abc import Callable
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.etree import ElementTree

import attrs
from crc32c import crc32c
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

BUCKET = "kafscale"


@attrs.frozen
class Refuse:
    """Answer with an error. ``early``: as soon as the headers are read, then close without reading on, or
    (``stay``) keep the connection and read nothing. ``worked``: although it was done."""

    status: int
    code: str = ""
    early: bool = False
    stay: bool = False
    worked: bool = False


@attrs.frozen
class Reset:
    """Break the connection when ``after`` bytes of the body came. ``after`` None: once it is done."""

    after: int | None = 0


@attrs.frozen
class Silence:
    """Read ``after`` bytes of the body and no more, and never answer. None: read all, do it, say nothing."""

    after: int | None = 0


@attrs.frozen
class OkButError:
    """Answer 200 with an error in the body, and do nothing."""

    code: str


@attrs.frozen
class Held:
    """Do it and answer when ``until`` fires."""

    until: Deferred[None]


@attrs.frozen
class CutBody:
    """Answer, but close after ``after`` bytes of the answer's body."""

    after: int


Fault = Refuse | Reset | Silence | OkButError | Held | CutBody


@attrs.define
class Request:
    """A request whose headers have come."""

    operation: str
    method: str
    bucket: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    connection: int
    received: int = 0


@attrs.frozen
class StoredObject:
    """An object: its bytes, the headers it was made with, and its checksum as S3 would tell it."""

    data: bytes
    headers: dict[str, str]
    checksum: str | None


@attrs.define
class OpenUpload:
    """A multipart upload and its parts by number."""

    key: str
    headers: dict[str, str]
    parts: dict[int, tuple[bytes, str, int]] = attrs.Factory(dict)


class FakeS3(Factory):
    """``faults`` are used up in order, by operation; ``seen`` is called with each request's operation.

    ``trickle`` is called for each piece of a body; ``padding`` is bytes of space behind each answer's body.
    """

    noisy = False

    def __init__(self) -> None:
        self.objects: dict[str, StoredObject] = {}
        self.uploads: dict[str, OpenUpload] = {}
        self.requests: list[Request] = []
        self.faults: dict[str, deque[Fault]] = {}
        self.always: dict[str, Fault] = {}
        self.seen: Callable[[str], None] = lambda operation: None
        self.trickle: Callable[[], object] | None = None
        self.padding = 0
        self.knows_ranges = True
        self.connections: set[_Connection] = set()
        self.connected = 0
        self.parts_at_once = 0
        self.most_parts_at_once = 0
        self._idle: list[Deferred[None]] = []
        self._awaited: list[tuple[str, Deferred[None]]] = []
        self._next_id = 0

    def fault(self, operation: str, *faults: Fault) -> None:
        """The next requests of that operation meet these faults."""
        self.faults.setdefault(operation, deque()).extend(faults)

    def operations(self) -> list[str]:
        """What was asked for, in order."""
        return [request.operation for request in self.requests]

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

    def do(self, request: Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Do what a request asks for: status, headers, body."""
        if request.bucket != BUCKET:
            return _error(404, "NoSuchBucket")
        crc = request.headers.get("x-amz-checksum-crc32c")
        if crc is not None and crc != _encode(crc32c(body)):
            return _error(400, "BadDigest")
        return getattr(self, f"_{request.operation}")(request, body)  # type: ignore[no-any-return]

    def _head_bucket(self, request: Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, b""

    def _get_bucket(self, request: Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, _xml("ListBucketResult", "")

    def _put_object(self, request: Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if request.headers.get("if-none-match") == "*" and request.key in self.objects:
            return _error(412, "PreconditionFailed")
        crc = request.headers.get("x-amz-checksum-crc32c")
        self.objects[request.key] = StoredObject(body, request.headers, crc)
        return 200, {"ETag": _etag(body)}, b""

    def _head_object(self, request: Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        stored = self.objects.get(request.key)
        if stored is None:
            return 404, {}, b""
        headers = {"Content-Length": str(len(stored.data))}
        if stored.checksum:
            headers["x-amz-checksum-crc32c"] = stored.checksum
        return 200, headers, b""

    def _get_object(self, request: Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        stored = self.objects.get(request.key)
        if stored is None:
            return _error(404, "NoSuchKey")
        etag = _etag(stored.data)
        if request.headers.get("if-match", etag) != etag:
            return _error(412, "PreconditionFailed")
        asked = request.headers.get("range", "").removeprefix("bytes=")
        if not asked or not self.knows_ranges:
            return 200, {"ETag": etag}, stored.data
        first, _, last = asked.partition("-")
        data = stored.data[int(first) : int(last) + 1 if last else None]
        if not data:
            return _error(416, "InvalidRange")
        shown = f"bytes {first}-{int(first) + len(data) - 1}/{len(stored.data)}"
        return 206, {"ETag": etag, "Content-Range": shown}, data

    def _delete_object(self, request: Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        self.objects.pop(request.key, None)
        return 204, {}, b""

    def _create_multipart_upload(self, request: Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        self._next_id += 1
        upload_id = f"upload+{self._next_id}/="
        self.uploads[upload_id] = OpenUpload(request.key, request.headers)
        return 200, {}, _xml("InitiateMultipartUploadResult", f"<UploadId>{upload_id}</UploadId>")

    def _upload_part(self, request: Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        upload = self.uploads.get(request.query["uploadId"])
        if upload is None:
            return _error(404, "NoSuchUpload")
        upload.parts[int(request.query["partNumber"])] = (body, _etag(body), crc32c(body))
        return 200, {"ETag": _etag(body)}, b""

    def _complete_multipart_upload(self, request: Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        upload = self.uploads.get(request.query["uploadId"])
        if upload is None:
            return _error(404, "NoSuchUpload")
        if request.headers.get("if-none-match") == "*" and request.key in self.objects:
            return _error(412, "PreconditionFailed")
        crcs = data = b""
        listed = list(ElementTree.fromstring(body))
        for element in listed:
            fields = {child.tag.rpartition("}")[2]: child.text or "" for child in element}
            part, etag, crc = upload.parts[int(fields["PartNumber"])]
            if fields["ETag"] != etag or fields.get("ChecksumCRC32C", _encode(crc)) != _encode(crc):
                return _error(400, "InvalidPart")
            data += part
            crcs += crc.to_bytes(4, "big")
        with_checksum = "x-amz-checksum-algorithm" in upload.headers
        checksum = f"{_encode(crc32c(crcs))}-{len(listed)}" if with_checksum else None
        self.objects[request.key] = StoredObject(data, upload.headers, checksum)
        del self.uploads[request.query["uploadId"]]
        return 200, {}, _xml("CompleteMultipartUploadResult", f"<Key>{request.key}</Key>")

    def _abort_multipart_upload(self, request: Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if self.uploads.pop(request.query["uploadId"], None) is None:
            return _error(404, "NoSuchUpload")
        return 204, {}, b""

    def _list_multipart_uploads(self, request: Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        found = "".join(
            f"<Upload><Key>{upload.key}</Key><UploadId>{upload_id}</UploadId></Upload>"
            for upload_id, upload in self.uploads.items()
            if upload.key.startswith(request.query.get("prefix", ""))
        )
        return 200, {}, _xml("ListMultipartUploadsResult", found)


class _Connection(Protocol):
    """Reads one request after the other."""

    def __init__(self, store: FakeS3, number: int) -> None:
        self._store = store
        self._number = number
        self._buffer = b""
        self._request: Request | None = None
        self._fault: Fault | None = None
        self._body = bytearray()
        self._length = 0
        self._deaf = False

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
            self._answer(*_error(fault.status, fault.code))
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
            self._answer(*_error(fault.status, fault.code))
        elif isinstance(fault, OkButError):
            self._answer(200, {}, _error(200, fault.code)[2])
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
        headers = {"Content-Length": str(len(body)), "x-amz-request-id": "1", **headers}
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
    return f"{method.lower()}_{'object' if key else 'bucket'}"


def _xml(name: str, inner: str) -> bytes:
    namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} xmlns="{namespace}">{inner}</{name}>'.encode()


def _error(status: int, code: str) -> tuple[int, dict[str, str], bytes]:
    body = f"<Error><Code>{code}</Code><Message>told to say {code}</Message></Error>"
    return status, {"Content-Type": "application/xml"}, body.encode() if code else b""


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


def _encode(crc: int) -> str:
    return base64.b64encode(crc.to_bytes(4, "big")).decode()

"""The HTTP door over an in-memory connection, with doubles of the store and of Kafka behind it."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any, cast

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from lfsproxy.budget import MemoryBudget
from lfsproxy.checksums import Buffer
from lfsproxy.claimcheck import ClaimCheck
from lfsproxy.downloads import Downloads
from lfsproxy.interfaces import IBlobUpload
from lfsproxy.readiness import Readiness
from lfsproxy.resumable.uploads import ResumableUploads
from lfsproxy.settings import Settings
from lfsproxy.testing import MemoryBlobStore, MemoryMetrics, MemoryPublisher
from lfsproxy.testing.downloads import MemoryBlobSource, MemoryLog
from lfsproxy.tracing.spans import NO_TRACER, Tracer
from lfsproxy.web.channel import StreamingChannel
from lfsproxy.web.door import make_site
from lfsproxy.web.routes import Routes
from lfsproxy.web.site import LfsSite

MIB = 1024 * 1024
NOW = 1700000000000


class PieceStore(MemoryBlobStore):
    """A store that remembers how large the ``pieces`` were that it was given, in bytes.

    ``deaf``: whoever seals a blob cannot be cancelled.
    """

    def __init__(self, part_size: int) -> None:
        super().__init__(part_size=part_size)
        self.pieces: list[int] = []
        self.deaf = False

    def begin(self, *arguments: Any) -> IBlobUpload:
        upload: Any = super().begin(*arguments)
        write, seal = upload.write, upload.seal

        def counted(data: Buffer) -> Deferred[None] | None:
            self.pieces.append(len(data))
            return write(data)  # type: ignore[no-any-return]

        async def deaf_seal() -> None:
            with contextlib.suppress(CancelledError):
                await seal()

        upload.write = counted
        if self.deaf:
            upload.seal = deaf_seal
        return upload  # type: ignore[no-any-return]


class RecordedTransport(StringTransport):
    """A client's connection; knows whether it is read, and whether it was closed.

    ``fills``: each write fills its buffer, until ``make_room``.
    """

    aborted = False
    fills = False

    @property
    def reading(self) -> bool:
        return bool(self.producerState == "producing")

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.fills:
            self.fill()

    def fill(self) -> None:
        """What was written does not leave."""
        cast(Any, self.producer).pauseProducing()

    def make_room(self) -> None:
        """All that was written has left."""
        cast(Any, self.producer).resumeProducing()

    def loseConnection(self) -> None:
        self.disconnecting = True

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()


@attrs.frozen
class Answer:
    """A response as it was on the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Door:
    """A site with doubles, and its clients."""

    def __init__(self, ready: bool = True, tracer: Tracer = NO_TRACER, **settings: Any) -> None:
        settings.setdefault("s3_part_size", 5 * MIB)
        settings.setdefault("max_passthrough_size", MIB)
        settings.setdefault("upload_memory", 24 * MIB)
        self.settings = Settings(**settings)
        self.clock = Clock()
        self.store = PieceStore(self.settings.s3_part_size)
        self.publisher = MemoryPublisher({"t": 3}, now=lambda: NOW)
        self.metrics = MemoryMetrics()
        self.budget = MemoryBudget(
            self.clock,
            self.settings.upload_memory,
            self.settings.s3_part_size,
            self.settings.stall_timeout,
        )
        self.readiness = Readiness(self.clock, {"S3": self.store.check, "Kafka": self.publisher.check})
        if ready:
            self.readiness.start()
        self.claims = ClaimCheck(
            self.store, self.metrics, self.clock, max_size=self.settings.max_upload_size, tracer=tracer
        )
        self.log = MemoryLog(self.publisher)
        self.source = MemoryBlobSource(self.store)
        self.site = self.open()

    def open(self, uploads: ResumableUploads | None = None) -> LfsSite:
        """The site in front of the doubles."""
        downloads = Downloads(
            self.log,
            self.source,
            self.budget,
            self.metrics,
            self.clock,
            self.settings.namespace,
            self.settings.download_prefixes,
        )
        return make_site(
            self.clock,
            self.settings,
            self.claims,
            self.publisher,
            self.budget,
            self.metrics,
            self.readiness,
            downloads,
            uploads,
            random=lambda: 0.5,
        )

    @property
    def stored(self) -> list[bytes]:
        """The bytes of every visible blob, oldest first."""
        return [blob.data for blob in self.store.blobs.values()]

    @property
    def routes(self) -> Routes:
        return cast(Routes, self.site.resource)

    def client(self) -> Client:
        return Client(self.site)

    def ask(self, request: bytes) -> Answer:
        """Send one whole request on a new connection; its answer."""
        client = self.client()
        client.send(request)
        return client.answer(head=request.startswith(b"HEAD"))


class Client:
    """One connection to the door."""

    def __init__(self, site: LfsSite) -> None:
        self.transport = RecordedTransport()
        channel = site.buildProtocol(None)
        assert isinstance(channel, StreamingChannel)
        self.channel = channel
        channel.makeConnection(self.transport)

    @property
    def received(self) -> bytes:
        return bytes(self.transport.value())

    def send(self, data: bytes) -> None:
        if not self.transport.disconnecting:
            self.channel.dataReceived(data)

    def leave(self) -> None:
        """Close the connection from the client's side."""
        self.channel.connectionLost(Failure(ConnectionDone()))

    def answer(self, head: bool = False) -> Answer:
        """Take the next response off the wire."""
        raw = self.received
        while raw.startswith(b"HTTP/1.1 100"):
            raw = raw.partition(b"\r\n\r\n")[2]
        start, separator, rest = raw.partition(b"\r\n\r\n")
        assert separator, f"no whole response: {raw!r}"
        lines = start.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        length = 0 if head else int(headers.get("content-length", "0"))
        assert len(rest) >= length, f"a response was cut: {raw!r}"
        self.transport.clear()
        self.transport.write(rest[length:])
        return Answer(int(lines[0].split(" ")[1]), headers, rest[:length])


def request(
    method: str = "POST",
    path: str = "/v1/topics/t/records",
    body: bytes | None = b"",
    headers: Sequence[str] = (),
    version: str = "1.1",
) -> bytes:
    """A request on the wire; ``body`` None sends no Content-Length."""
    lines = [f"{method} {path} HTTP/{version}", "Host: localhost", *headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


def form(*parts: tuple[str, str | None, bytes], boundary: str = "bOuNd") -> tuple[bytes, str]:
    """A multipart/form-data body of (name, filename, content), and its Content-Type header line."""
    body = b""
    for name, filename, content in parts:
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        if filename is not None:
            body += f'; filename="{filename}"\r\nContent-Type: image/png'.encode()
        body += b"\r\n\r\n" + content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode(), f"Content-Type: multipart/form-data; boundary={boundary}"


def chunked(*pieces: bytes) -> bytes:
    """A body in chunked coding."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


OPERATIONS = tuple(Door(ready=False).routes.operations)
"""All that the API declares, in its order."""

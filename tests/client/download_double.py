"""The proxy's download route in memory, and a Twisted reader of it whose time is a clock's."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

from typing import Any

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from lfsproxy.client import ProxySource, RecordCoordinates, Resolution, tx
from tests.client.doubles import envelope_of

DATA = bytes(range(256)) * 1200
VALUE = envelope_of(DATA).to_bytes()
PLACE = RecordCoordinates("demo", 2, 41)
SILENT = 60.0


class DownloadResource(Resource):
    """The proxy's download route. ``answers``: what the next requests are answered, then the blob.

    An answer is a status with a body, a number of bytes after which the connection is lost, or None: none.
    ``length`` False leaves the length to the connection's end, or to chunks.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.data = DATA
        self.answers: list[Any] = []
        self.requests: list[Any] = []
        self.length = True
        self.headers: dict[bytes, bytes] = {}

    def render_GET(self, request: Any) -> Any:
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else len(self.data) + 1
        if answer is None:
            return NOT_DONE_YET
        if isinstance(answer, tuple):
            request.setResponseCode(answer[0])
            request.setHeader(b"content-type", b"application/problem+json")
            request.setHeader(b"location", b"http://elsewhere/k")
            return answer[1]
        first = int((request.getHeader(b"range") or b"bytes=0-")[6:-1])
        request.setResponseCode(206 if first else 200)
        request.setHeader(b"etag", b'"one"')
        for name, value in self.headers.items():
            request.setHeader(name, value)
        if self.length:
            request.setHeader(b"content-length", str(len(self.data) - first).encode())
        request.write(self.data[first : first + answer])
        if answer > len(self.data):
            request.finish()
        elif answer:
            request.transport.loseConnection()
        return NOT_DONE_YET


class DownloadTestCase(SynchronousTestCase):
    """A reader of a proxy in memory, whose time is a clock's."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.proxy = DownloadResource()
        self.agent = RequestTraversalAgent(self.proxy)
        self.told: list[Resolution] = []
        self.blobs = self.reader()

    def reader(self, url: str = "http://proxy:8080/lfs", **options: Any) -> tx.BlobReader:
        given = {"source": ProxySource(url, "secret"), "agent": self.agent, "read_timeout": SILENT}
        told = self.told.append
        return tx.BlobReader(**{**given, "reactor": self.clock, "on_resolve": told, **options})

    def settle(self, seconds: float = 0) -> None:
        for _ in range(30):
            self.clock.advance(seconds / 30)
            self.agent.flush()

    def fetch(self, value: bytes = VALUE, **options: Any) -> Deferred[bytes | None]:
        fetching = self.blobs.fetch(value, record=PLACE, **options)
        self.settle()
        return fetching

    def opened(self) -> tx.Stream:
        opening = self.blobs.open(VALUE, record=PLACE)
        self.settle()
        stream = self.successResultOf(opening).stream
        assert stream is not None
        return stream

    def read(self, stream: tx.Stream, size: int = -1) -> Deferred[bytes]:
        reading = stream.read(size)
        self.settle()
        return reading

    def results(self) -> list[str]:
        return [one.result for one in self.told]

    def nothing_is_left(self) -> None:
        self.settle()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual([pump for pump in self.agent._pumps if not pump.clientIO.disconnected], [])

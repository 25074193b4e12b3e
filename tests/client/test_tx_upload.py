"""tx.Uploader: by treq's own doubles what it sends and makes of answers, by real connections lost ones."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

from treq.testing import RequestTraversalAgent
from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from lfsproxy.client import Published
from lfsproxy.client.errors import ProxyUnavailable, UploadRefused
from lfsproxy.client.tx import Uploader
from lfsproxy.client.tx_upload import _Answer
from lfsproxy.errors import (
    ChecksumMismatch,
    InvalidChecksum,
    OutcomeUnknown,
    TooLarge,
    UnknownTopic,
)
from tests.client.doubles import envelope_of
from tests.client.proxy_double import DATA, answer, start_proxy

reactor: Any = _reactor
SILENT = 30.0


class ProxyResource(Resource):
    """The proxy: keeps what came, and answers as told. ``answer`` None is no answer."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.status = 201
        self.answer: bytes | None = answer(DATA)
        self.bodies: list[bytes] = []
        self.requests: list[Any] = []

    def render(self, request: Any) -> Any:
        self.requests.append(request)
        self.bodies.append(request.content.read())
        if self.answer is None:
            return NOT_DONE_YET
        request.setResponseCode(self.status)
        request.setHeader(b"location", b"http://proxy:8080/elsewhere")
        return self.answer


class AnswerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.proxy = ProxyResource()
        self.agent = RequestTraversalAgent(self.proxy)
        self.uploader = Uploader(
            "http://proxy:8080/lfs", "secret", silent_timeout=SILENT, reactor=self.clock, agent=self.agent
        )

    def upload(self, body: Any = DATA, **options: Any) -> Deferred[Published]:
        uploading = self.uploader.upload("demo", body, **options)
        for _ in range(30):
            self.clock.advance(0)
            self.agent.flush()
        return uploading

    def test_bytes_a_file_and_pieces(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(b"not this" + DATA)
        with path.open("rb") as file:
            file.seek(8)
            for body in (DATA, file, io.BytesIO(DATA), iter([DATA[:5], b"", DATA[5:]])):
                found = self.successResultOf(self.upload(body))
                self.assertEqual(found, Published("demo", 2, 41, 7, envelope_of(DATA)))
        self.assertEqual(self.proxy.bodies, [DATA] * 4)
        lengths = [request.getHeader(b"content-length") for request in self.proxy.requests]
        self.assertEqual(lengths, [b"1000000", b"1000000", None, None])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_options_are_those_of_the_blocking_one(self) -> None:
        told: list[int] = []
        self.proxy.answer = answer(DATA, checksum_algo="md5", checksum=hashlib.md5(DATA).hexdigest())
        options = {"key": b"\xff", "partition": 2, "headers": [("a", b"b:c")], "filename": "ü"}
        self.successResultOf(self.upload(algorithm="md5", on_progress=told.append, **options))
        request = self.proxy.requests[0]
        self.assertEqual(request.path, b"/lfs/v1/topics/demo/records")
        self.assertEqual(
            request.args,
            {
                b"partition": [b"2"],
                b"checksum_algo": [b"md5"],
                b"key_base64": [b"/w=="],
                b"header": [b"a:b:c", "lfs-filename:ü".encode()],
            },
        )
        self.assertEqual(request.getHeader(b"authorization"), b"Bearer secret")
        self.assertEqual(told[-1], len(DATA))

    def test_the_proxy_s_problems_are_typed(self) -> None:
        for status, name, kind in ((413, "too-large", TooLarge), (404, "unknown-topic", UnknownTopic)):
            self.proxy.status = status
            self.proxy.answer = json.dumps({"type": f"/problems/{name}", "detail": "words"}).encode()
            self.assertEqual(str(self.failureResultOf(self.upload(), kind).value), "words")

    def test_another_checksum_than_that_of_the_bytes_sent(self) -> None:
        self.proxy.answer = answer(b"other")
        self.failureResultOf(self.upload(), ChecksumMismatch)

    def test_what_cannot_be_sent_is_told_at_once(self) -> None:
        self.assertRaises(InvalidChecksum, self.uploader.upload, "demo", DATA, checksum="x")
        self.assertRaises(TypeError, self.uploader.upload, "demo", "text")
        self.assertEqual(self.proxy.requests, [])

    def test_no_redirection_is_followed(self) -> None:
        self.proxy.status = 307
        self.proxy.answer = b""
        self.assertEqual(self.failureResultOf(self.upload(), UploadRefused).value.status, 307)
        self.assertEqual(len(self.proxy.requests), 1)

    def test_a_long_answer_is_not_taken(self) -> None:
        self.proxy.answer = b" " * (2 << 20)
        self.failureResultOf(self.upload(), OutcomeUnknown)

    def test_silence_after_the_last_byte_is_an_unknown_outcome(self) -> None:
        self.proxy.answer = None
        uploading = self.upload()
        self.clock.advance(SILENT)
        error = self.failureResultOf(uploading, OutcomeUnknown)
        self.assertIn("nothing moved for 30 s", str(error.value))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelled(self) -> None:
        self.proxy.answer = None
        uploading = self.upload()
        uploading.cancel()
        self.failureResultOf(uploading, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_the_caller_s_body_raises_comes_back(self) -> None:
        def pieces() -> Any:
            yield b"one"
            raise OSError("the disk")

        self.assertIn("the disk", str(self.failureResultOf(self.upload(pieces()), OSError).value))


class Paused:
    """A consumer that pauses after each piece."""

    def __init__(self) -> None:
        self.producer: Any = None
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.pieces.append(data)
        self.producer.pauseProducing()


class BackPressureTests(SynchronousTestCase):
    def test_no_piece_is_read_while_the_connection_is_full(self) -> None:
        from lfsproxy.client.tx_upload import _Pulled
        from lfsproxy.client.upload import question

        given: list[int] = []

        def pieces() -> Any:
            for number in range(3):
                given.append(number)
                yield bytes(10)

        none = dict.fromkeys(
            ("key", "partition", "filename", "content_type", "timestamp", "checksum", "algorithm")
        )
        _, sent = question("demo", pieces(), None, headers=(), **none)
        clock, consumer = Clock(), Paused()
        consumer.producer = producer = _Pulled(clock, sent, lambda: None)
        done = producer.startProducing(consumer)  # type: ignore[arg-type]
        for count in (1, 2, 3):
            clock.pump([0] * 10)
            self.assertEqual((len(consumer.pieces), len(given)), (count, count))
            producer.resumeProducing()
        clock.pump([0] * 10)
        self.successResultOf(done)


class ConnectionTests(TestCase):
    """With real connections, to a small server in a thread."""

    timeout = 30

    def setUp(self) -> None:
        self.proxy = start_proxy(self)
        self.uploader = Uploader(self.proxy.url)
        self.addCleanup(self.uploader.close)

    async def test_a_body_reaches_it(self) -> None:
        published = await self.uploader.upload("demo", iter([DATA[:5], DATA[5:]]))
        self.assertEqual((published.offset, self.proxy.bodies), (41, [DATA]))

    async def test_a_connection_that_is_lost_after_the_last_byte(self) -> None:
        self.proxy.hang_up = True
        await self.assertFailure(self.uploader.upload("demo", DATA), OutcomeUnknown)

    async def test_a_proxy_that_is_not_there(self) -> None:
        error = await self.assertFailure(
            Uploader("http://127.0.0.1:1").upload("demo", DATA), ProxyUnavailable
        )
        self.assertIn("the proxy at http://127.0.0.1:1 cannot be reached", str(error))

    async def test_a_port_for_http_that_is_called_https(self) -> None:
        url = self.proxy.url.replace("http:", "https:")
        error = await self.assertFailure(Uploader(url).upload("demo", DATA), ProxyUnavailable)
        self.assertIn("is this a port for http, not https?", str(error))

    async def test_a_refusal_before_the_body_was_read(self) -> None:
        self.proxy.status, self.proxy.early = 413, True
        self.proxy.body = json.dumps({"type": "/problems/too-large", "detail": "words"}).encode()
        await self.assertFailure(self.uploader.upload("demo", DATA * 30), TooLarge, ProxyUnavailable)


class Stuck(Protocol):
    """A proxy that begins an answer, and does not end it. ``gone`` of its factory fires when its client has
    closed."""

    factory: Any

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(b"HTTP/1.1 201 Created\r\nContent-Length: 1000\r\n\r\n{")

    def connectionLost(self, reason: object = None) -> None:
        self.factory.gone.callback(None)


class StuckTests(TestCase):
    """Nothing is left of an upload whose answer was begun."""

    timeout = 30

    def setUp(self) -> None:
        self.gone: Deferred[None] = Deferred()
        factory: Any = Factory.forProtocol(Stuck)
        factory.gone = self.gone
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.url = f"http://127.0.0.1:{port.getHost().port}"

    async def test_silence_in_an_answer_closes_its_connection(self) -> None:
        uploading = Uploader(self.url, silent_timeout=0.2).upload("demo", DATA)
        await self.assertFailure(uploading, OutcomeUnknown)
        await self.gone

    async def test_so_does_a_cancel(self) -> None:
        begun: Deferred[None] = Deferred()
        received = _Answer.dataReceived

        def note(answer: _Answer, data: bytes) -> None:
            received(answer, data)
            begun.callback(None)

        self.patch(_Answer, "dataReceived", note)
        uploading = Uploader(self.url).upload("demo", DATA)
        await begun
        uploading.cancel()
        await self.assertFailure(uploading, CancelledError)
        await self.gone

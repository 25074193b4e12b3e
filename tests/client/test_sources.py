"""Sources of blobs: the caller's S3 client, presigned URLs, the proxy, and one of the caller's own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import create_server
from threading import Thread
from typing import Any, cast
from urllib.parse import urlsplit

import attrs
import boto3
import botocore.config
from botocore.exceptions import NoCredentialsError
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lfsproxy.client import (
    BlobReader,
    ClientSource,
    PresignedSource,
    ProxySource,
    RecordCoordinates,
    Resolution,
)
from lfsproxy.client.cancelling import Cancellation
from lfsproxy.client.sources import BlobAnswer, BlobRequest, BlobSource, TryAgain
from lfsproxy.envelope import Envelope
from lfsproxy.errors import (
    BlobMissing,
    ChecksumMismatch,
    EnvelopeNotAllowed,
    ReadInterrupted,
    StoreRefused,
    StoreUnavailable,
)
from tests.client.doubles import envelope_of

DATA = bytes(range(256)) * 2000
VALUE = envelope_of(DATA).to_bytes()
PLACE = RecordCoordinates("a topic/é", 3, 41)
PROBLEM = b'{"type":"/problems/%s","detail":"so"}'


class Store(BaseHTTPRequestHandler):
    """A blob over HTTP, as S3, a presigned URL or the proxy would serve it; ``server.faults`` come first.

    A fault is a number of bytes after which the connection is lost, or a status, code and content type.
    """

    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        server = self.server
        server.paths.append(self.path)
        server.headers.append(dict(self.headers.items()))
        fault = server.faults.pop(0) if server.faults else None
        if isinstance(fault, tuple):
            self.answer(fault[0], fault[1], {"Content-Type": fault[2]})
            return
        first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        tied = self.headers.get("If-Match", server.etag) == server.etag
        same = self.headers.get("If-Range", server.etag) == server.etag
        if not tied:
            self.answer(412, b"<Error><Code>PreconditionFailed</Code></Error>", {})
            return
        data = server.data[first:] if same else server.data
        self.answer(206 if first and same else 200, data, {"ETag": server.etag}, fault)

    def answer(self, status: int, body: bytes, headers: Mapping[str, str], most: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:most])
        if most is not None:
            self.server.etag = self.server.next_etag
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Store)
        self.data = DATA
        self.etag = self.next_etag = '"one"'
        self.faults: list[Any] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


def start_store(test: TestCase | SynchronousTestCase) -> Server:
    """A server in a thread that ends with the test."""
    server = Server()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    test.addCleanup(server.server_close)
    test.addCleanup(thread.join)
    test.addCleanup(server.shutdown)
    return server


class SourceTestCase(SynchronousTestCase):
    """What every source has to do, by the same server."""

    tie = "If-Match"
    bucket: str | None = "kafscale"

    def setUp(self) -> None:
        self.server = start_store(self)

    def source(self) -> BlobSource:
        raise NotImplementedError

    def reader(self, source: BlobSource | None = None, **arguments: Any) -> BlobReader:
        given = {"source": source or self.source(), "pause": 0, **arguments}
        blobs = BlobReader(self.bucket, **given)
        self.addCleanup(blobs.close)
        return blobs

    def codes(self) -> tuple[Any, Any]:
        """Answers for a blob that is gone, and for one that is refused."""
        return (
            (404, b"<Error><Code>NoSuchKey</Code></Error>", "application/xml"),
            (403, b"<Error><Code>AccessDenied</Code></Error>", "application/xml"),
        )


class Contract:
    """Mixed into a SourceTestCase."""

    def test_a_blob(self: Any) -> None:
        self.assertEqual(self.reader().fetch(VALUE, record=PLACE), DATA)

    def test_a_lost_connection_goes_on_where_it_stopped(self: Any) -> None:
        self.server.faults = [1000]
        self.assertEqual(self.reader().fetch(VALUE, record=PLACE), DATA)
        headers = {name.lower(): value for name, value in self.server.headers[1].items()}
        self.assertEqual((headers["range"], headers[self.tie.lower()]), ("bytes=1000-", '"one"'))

    def test_another_object_is_not_read_on_from(self: Any) -> None:
        self.server.faults, self.server.next_etag = [1000], '"two"'
        error = self.assertRaises(StoreUnavailable, self.reader().fetch, VALUE, record=PLACE)
        self.assertIn("cannot be read on after 1000 bytes", str(error))

    def test_what_is_gone_and_what_is_refused(self: Any) -> None:
        gone, denied = self.codes()
        self.server.faults = [gone]
        self.assertRaises(BlobMissing, self.reader().fetch, VALUE, record=PLACE)
        self.server.faults = [denied]
        self.assertRaises(StoreRefused, self.reader().fetch, VALUE, record=PLACE)

    def test_what_may_pass_is_tried_again(self: Any) -> None:
        self.server.faults = [(503, b"", "text/plain"), (500, b"", "text/plain")]
        self.assertEqual(self.reader().fetch(VALUE, record=PLACE), DATA)
        self.assertEqual(len(self.server.paths), 3)

    def test_other_bytes(self: Any) -> None:
        self.server.data = DATA[:-1] + b"x"
        self.assertRaises(ChecksumMismatch, self.reader().fetch, VALUE, record=PLACE)

    def test_the_prefixes_hold(self: Any) -> None:
        away = self.reader(prefixes=["other/"], buckets=["kafscale"])
        self.assertRaises(EnvelopeNotAllowed, away.fetch, VALUE, record=PLACE)
        self.assertEqual(self.server.paths, [])

    def test_nobody_there(self: Any) -> None:
        source = self.source()
        self.server.shutdown()
        self.server.server_close()
        self.assertRaises(StoreUnavailable, self.reader(source, tries=2).fetch, VALUE, record=PLACE)


class ClientTests(Contract, SourceTestCase):
    def source(self) -> BlobSource:
        return ClientSource(
            boto3.client(
                "s3",
                endpoint_url=self.server.url,
                region_name="us-east-1",
                aws_access_key_id="key",
                aws_secret_access_key="secret",
                config=botocore.config.Config(
                    retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}
                ),
            )
        )

    def test_a_client_without_credentials(self) -> None:
        class Client:
            meta = attrs.make_class("Meta", {"endpoint_url": attrs.field(default="http://here")})()

            def get_object(self, **place: str) -> Any:
                raise NoCredentialsError

        error = self.assertRaises(StoreRefused, self.reader(ClientSource(Client())).fetch, VALUE)
        self.assertIn("Unable to locate credentials", str(error))


class PresignedTests(Contract, SourceTestCase):
    def source(self) -> BlobSource:
        self.signed: list[tuple[Envelope, RecordCoordinates | None]] = []

        def presign(envelope: Envelope, record: RecordCoordinates | None) -> str:
            self.signed.append((envelope, record))
            return f"{self.server.url}/{envelope.s3_key}?X-Amz-Signature=a%2Bb"

        return PresignedSource(presign)

    def test_it_is_asked_before_each_get(self) -> None:
        self.server.faults = [1000]
        self.reader().fetch(VALUE, record=PLACE)
        self.assertEqual(self.signed, [(envelope_of(DATA), PLACE)] * 2)
        self.assertEqual(self.server.paths, ["/lfs/k?X-Amz-Signature=a%2Bb"] * 2)

    def test_what_it_raises_comes_out(self) -> None:
        def presign(envelope: Envelope, record: RecordCoordinates | None) -> str:
            raise LookupError("no signature")

        told: list[Resolution] = []
        blobs = self.reader(PresignedSource(presign), on_resolve=told.append)
        self.assertRaises(LookupError, blobs.fetch, VALUE)
        self.assertEqual([one.result for one in told], ["read-interrupted"])

    def test_what_is_no_url_is_the_callers_fault(self) -> None:
        blobs = self.reader(PresignedSource(cast(Any, lambda *_: None)))
        with self.assertRaisesRegex(TypeError, "presign gave NoneType for lfs/k, not a URL"):
            blobs.fetch(VALUE)


class ResetTests(SynchronousTestCase):
    def test_bytes_before_a_reset_are_progress(self) -> None:
        # Each connection gives less than is asked for at once, and each gives something.
        piece = len(DATA) // 8
        listener = create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def serve() -> None:
            for first in range(0, len(DATA), piece):
                connection, _ = listener.accept()
                connection.recv(65536)
                status = "206 Partial Content" if first else "200 OK"
                head = f"HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n{piece:x}\r\n"
                connection.sendall(head.encode() + DATA[first : first + piece] + b"\r\n")
                if first + piece == len(DATA):
                    connection.sendall(b"0\r\n\r\n")
                connection.close()

        thread = Thread(target=serve, daemon=True)
        thread.start()
        self.addCleanup(thread.join, 30)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/k"
        with BlobReader("kafscale", source=PresignedSource(lambda *_: url), tries=2, pause=0) as blobs:
            self.assertEqual(blobs.fetch(VALUE), DATA)


class ProxyTests(Contract, SourceTestCase):
    tie = "If-Range"
    bucket = None

    def source(self) -> BlobSource:
        return ProxySource(self.server.url + "/lfs/", "key")

    def codes(self) -> tuple[Any, Any]:
        kind = "application/problem+json"
        return (404, PROBLEM % b"blob-missing", kind), (403, PROBLEM % b"not-authorised", kind)

    def test_the_place_and_the_key(self) -> None:
        self.reader().fetch(VALUE, record=PLACE)
        (path,) = self.server.paths
        self.assertEqual(path, "/lfs/v1/topics/a%20topic%2F%C3%A9/partitions/3/records/41")
        self.assertEqual(self.server.headers[0]["Authorization"], "Bearer key")

    def test_no_place_is_refused_and_nothing_asked(self) -> None:
        for place in (None, RecordCoordinates("demo"), RecordCoordinates("demo", 3)):
            error = self.assertRaises(StoreRefused, self.reader().fetch, VALUE, record=place)
            self.assertIn("give RecordCoordinates(topic, partition, offset)", str(error))
        self.assertEqual(self.server.paths, [])

    def test_any_bucket_will_do_as_the_record_decides(self) -> None:
        value = envelope_of(DATA, s3_bucket="other", s3_key="elsewhere/k").to_bytes()
        self.assertEqual(self.reader().fetch(value, record=PLACE), DATA)

    def test_the_refusal_has_the_proxys_code(self) -> None:
        self.server.faults = [self.codes()[1]]
        error = self.assertRaises(StoreRefused, self.reader().fetch, VALUE, record=PLACE)
        self.assertIn(f"403 not-authorised from the proxy at {self.server.url}/lfs", str(error))


@attrs.define
class Answer:
    """Bytes from memory, whose ``read`` calls ``reading`` first."""

    data: bytes
    reading: Callable[[], None] = lambda: None
    status: int = 200
    headers: dict[str, str] = attrs.field(factory=dict)
    closed: bool = False

    def read(self, size: int, /) -> bytes:
        self.reading()
        data, self.data = self.data[:size], self.data[size:]
        return data

    def refusal(self) -> str:
        return ""

    def close(self) -> None:
        self.closed = True


class OwnTests(SynchronousTestCase):
    """The protocol is open: a source of the caller's own, here of files."""

    def test_a_cancelled_read_ends_at_the_next_bytes(self) -> None:
        # Of such a source there is no socket that a cancellation could shut.
        class Source:
            name = "memory"
            by_record = False

            def get(self, request: BlobRequest) -> BlobAnswer:
                return answer

        told: list[Resolution] = []
        cancellation = Cancellation()
        answer = Answer(DATA, cancellation.cancel)
        blobs = BlobReader("kafscale", source=Source(), on_resolve=told.append)
        with blobs.open(VALUE, cancellation=cancellation) as blob:
            blob.read(1)
            self.assertRaises(ReadInterrupted, blob.read)
        self.assertTrue(answer.closed)
        self.assertEqual([one.result for one in told], ["cancelled"])
        self.assertGreater(len(answer.data), 0)

    def test_a_source_of_the_callers_own(self) -> None:
        class Files:
            name = "my files"
            by_record = False
            failures = 1

            def get(self, request: BlobRequest) -> BlobAnswer:
                if self.failures:
                    self.failures -= 1
                    raise TryAgain("not yet")
                return Answer(DATA)

        told: list[Resolution] = []
        source = Files()
        blobs = BlobReader("kafscale", source=source, pause=0, on_resolve=told.append)
        self.assertEqual(hashlib.sha256(blobs.fetch(VALUE) or b"").digest(), hashlib.sha256(DATA).digest())
        self.assertEqual([one.tries for one in told], [2])
        self.assertEqual(urlsplit(source.name).path, "my files")

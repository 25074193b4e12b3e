"""tx.BlobReader by treq's own doubles: what it asks, and what it makes of answers."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import gzip
import sys
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import URI
from twisted.web.server import NOT_DONE_YET

from lfsproxy.client import PresignedSource
from lfsproxy.client.sources import ERROR_BYTES
from lfsproxy.client.tx_body import HELD_BYTES, Body
from lfsproxy.client.tx_http import Endpoints
from lfsproxy.errors import (
    BlobMissing,
    BlobTruncated,
    ChecksumMismatch,
    ReadInterrupted,
    StoreRefused,
    StoreUnavailable,
)
from tests.client.doubles import envelope_of
from tests.client.download_double import DATA, PLACE, SILENT, VALUE, DownloadResource, DownloadTestCase


class AnswerTests(DownloadTestCase):
    def test_whole(self) -> None:
        sizes: list[int] = []
        self.assertEqual(self.successResultOf(self.fetch(on_progress=sizes.append)), DATA)
        request = self.proxy.requests[0]
        self.assertEqual(request.path, b"/lfs/v1/topics/demo/partitions/2/records/41")
        self.assertEqual(request.getHeader(b"authorization"), b"Bearer secret")
        self.assertEqual((sizes, sizes[-1]), (sorted(sizes), len(DATA)))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_in_pieces(self) -> None:
        stream = self.opened()
        pieces = [self.successResultOf(self.read(stream, 100_000)) for _ in range(5)]
        self.assertEqual([len(piece) for piece in pieces], [100_000, 100_000, 100_000, 7_200, 0])
        self.assertEqual(b"".join(pieces), DATA)
        self.assertEqual(self.results(), ["ok"])

    def test_an_ordinary_value_asks_nothing(self) -> None:
        self.assertEqual(self.successResultOf(self.fetch(b"ordinary")), b"ordinary")
        opened = self.successResultOf(self.blobs.open(b"ordinary"))
        self.assertEqual(self.successResultOf(opened.read(3)), b"ord")
        self.successResultOf(opened.close())
        self.assertIsNone(self.successResultOf(self.blobs.open(None)).stream)
        self.failureResultOf(self.blobs.fetch("text"), TypeError)  # type: ignore[arg-type]  # it is refused
        self.assertEqual((self.proxy.requests, self.told), ([], []))

    def test_an_empty_blob(self) -> None:
        self.proxy.data = b""
        self.assertEqual(self.successResultOf(self.fetch(envelope_of(b"").to_bytes())), b"")

    def test_without_a_length(self) -> None:
        self.proxy.length = False
        self.assertEqual(self.successResultOf(self.fetch()), DATA)
        for data in (DATA[:-1], DATA + b"x"):
            self.proxy.data = data
            self.failureResultOf(self.fetch(), BlobTruncated)
            self.nothing_is_left()

    def test_another_length_is_told_before_the_first_byte(self) -> None:
        self.proxy.data = DATA[:-1]
        opening = self.blobs.open(VALUE, record=PLACE)
        self.settle()
        self.failureResultOf(opening, BlobTruncated)
        self.nothing_is_left()

    def test_other_bytes_are_never_ended_cleanly(self) -> None:
        self.proxy.data = DATA[:-1] + b"x"
        stream = self.opened()
        self.successResultOf(self.read(stream, len(DATA) - 1))
        for _ in range(2):
            self.failureResultOf(self.read(stream, 1), ChecksumMismatch)
        self.assertEqual(self.results(), ["checksum-mismatch"])

    def test_answers_that_are_no_blob(self) -> None:
        gone, topic, denied = b"blob-missing", b"unknown-topic", b"not-authorised"
        for status, name, kind in (
            (404, gone, BlobMissing),
            (404, topic, StoreRefused),
            (403, denied, StoreRefused),
        ):
            self.proxy.answers = [(status, b'{"type":"/problems/%s"}' % name)]
            self.failureResultOf(self.fetch(), kind)
        self.assertEqual(len(self.proxy.requests), 3)

    def test_a_refusal_is_not_read_for_longer_than_its_code_may_be(self) -> None:
        class Endless(DownloadResource):
            def render_GET(self, request: Any) -> Any:
                self.requests.append(request)
                request.setResponseCode(404)
                request.write(b"<Code>NoSuchKey</Code>".ljust(ERROR_BYTES))
                return NOT_DONE_YET

        self.agent._serverFactory.resource = self.proxy = Endless()
        self.failureResultOf(self.fetch(), BlobMissing)
        self.nothing_is_left()

    def test_no_redirection_is_followed(self) -> None:
        for status in (302, 307):
            self.proxy.answers = [(status, b"")]
            self.failureResultOf(self.fetch(), StoreRefused)
        self.assertEqual(len(self.proxy.requests), 2)

    def test_a_busy_proxy_is_asked_again_after_growing_pauses(self) -> None:
        self.proxy.answers = [(503, b""), (500, b"")]
        fetching = self.fetch()
        for count, longest in ((1, 0.2), (2, 0.4)):
            self.assertEqual(len(self.proxy.requests), count)
            (call,) = self.clock.getDelayedCalls()
            self.assertTrue(longest / 2 <= call.getTime() - self.clock.seconds() <= longest)
            self.clock.advance(longest)
            self.settle()
        self.assertEqual(self.successResultOf(fetching), DATA)

    def test_a_proxy_that_stays_busy(self) -> None:
        self.proxy.answers = [(503, b"")] * 10
        fetching = self.fetch()
        self.settle(30)
        error = self.failureResultOf(fetching, StoreUnavailable).value
        self.assertIn("the store answers 503", str(error))
        self.assertEqual(len(self.proxy.requests), 5)

    def test_no_try_begins_after_the_time_for_tries(self) -> None:
        self.blobs = self.reader(retry_time=1, pause=0.9)
        self.proxy.answers = [(503, b"")] * 10
        fetching = self.fetch()
        self.settle(3)
        self.failureResultOf(fetching, StoreUnavailable)
        self.assertEqual(len(self.proxy.requests), 2)

    def test_a_cut_is_gone_on_from(self) -> None:
        self.proxy.answers = [1000, 24]
        fetching = self.fetch()
        self.settle(3)
        self.assertEqual(self.successResultOf(fetching), DATA)
        asked = [(each.getHeader(b"range"), each.getHeader(b"if-range")) for each in self.proxy.requests]
        self.assertEqual(asked, [(None, None), (b"bytes=1000-", b'"one"'), (b"bytes=1024-", b'"one"')])
        self.assertEqual([(one.result, one.tries) for one in self.told], [("ok", 3)])

    def test_a_blob_that_is_compressed_is_not_unpacked(self) -> None:
        self.proxy.data = packed = gzip.compress(DATA)
        self.proxy.headers = {b"content-encoding": b"gzip"}
        value = envelope_of(packed).to_bytes()
        self.assertEqual(self.successResultOf(self.fetch(value)), packed)
        asked = self.proxy.requests[0].requestHeaders.getRawHeaders(b"accept-encoding")
        self.assertEqual(asked, [b"identity"])

    def test_hosts_as_they_are(self) -> None:
        for host in ("[::1]:8080", "my_proxy:8080"):
            self.blobs = self.reader(f"http://{host}")
            self.assertEqual(self.successResultOf(self.fetch()), DATA)
            self.assertEqual(self.proxy.requests[-1].getHeader(b"host"), host.encode())

    def test_a_name_that_idna_refuses_is_looked_up(self) -> None:
        memory = MemoryReactorClock()
        trust: Any = None
        for uri, host in ((b"http://my_proxy:8080", "my_proxy"), (b"http://[::1]:8080", "::1")):
            endpoint: Any = Endpoints(memory, trust, 5).endpointForURI(URI.fromBytes(uri))
            self.assertEqual((endpoint.endpoint._badHostname, endpoint.endpoint._hostText), (False, host))

    def test_a_hook_and_progress_that_fail_break_no_read(self) -> None:
        def fail(_: object) -> None:
            raise ValueError

        self.blobs = self.reader(on_resolve=fail)
        with self.assertLogs("lfsproxy.client", "ERROR") as logged:
            self.assertEqual(self.successResultOf(self.fetch(on_progress=fail)), DATA)
        self.assertGreater(len(logged.records), 1)

    def test_a_hook_that_ends_the_process_takes_the_last_bytes_with_it(self) -> None:
        def leave(_: object) -> None:
            sys.exit()

        self.blobs = self.reader(on_resolve=leave)
        self.failureResultOf(self.fetch(), ReadInterrupted)


class StreamTests(DownloadTestCase):
    def test_bytes_of_a_cancelled_read_are_the_next_ones(self) -> None:
        self.proxy.answers = [1000]
        stream = self.opened()
        cancelled = self.read(stream, 2000)
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.settle(3)
        self.assertEqual(self.successResultOf(self.read(stream, 100)), DATA[:100])
        self.assertEqual(self.successResultOf(self.read(stream)), DATA[100:])
        self.assertEqual(self.results(), ["ok"])

    def test_one_read_at_a_time(self) -> None:
        self.proxy.answers = [0]
        stream = self.opened()
        self.assertNoResult(self.read(stream, 10))
        self.failureResultOf(stream.read(10), RuntimeError)

    def test_closing_ends_a_read_that_is_waited_for(self) -> None:
        self.proxy.answers = [0]
        stream = self.opened()
        waiting = self.read(stream, 10)
        self.successResultOf(stream.close())
        self.failureResultOf(waiting, ReadInterrupted)
        self.failureResultOf(stream.read(10), ValueError)
        self.assertEqual(self.results(), ["closed"])
        self.nothing_is_left()

    def test_closed_before_its_end(self) -> None:
        stream = self.opened()
        self.successResultOf(self.read(stream, 10))
        for _ in range(2):
            self.successResultOf(stream.close())
        self.assertEqual([(one.result, one.size) for one in self.told], [("closed", 10)])
        self.nothing_is_left()

    def test_a_failure_is_told_to_each_later_read(self) -> None:
        self.blobs = self.reader(tries=1)
        self.proxy.answers = [1000]
        stream = self.opened()
        for _ in range(2):
            self.failureResultOf(self.read(stream), StoreUnavailable)
        self.assertEqual(self.results(), ["store-unavailable"])

    def test_what_presigns_may_have_a_get_of_its_own(self) -> None:
        class Own(PresignedSource):
            def get(self, request: Any) -> Any:
                raise NotImplementedError

        self.assertIsNone(self.reader(source=Own(lambda *_: ""), bucket="b")._in_reactor())


class Connection:
    """A connection that counts what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda: self.told.append(name)


class BodyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.connection = Connection()
        self.body = Body(Clock(), SILENT)
        self.body.makeConnection(self.connection)

    def test_who_does_not_read_stalls_it(self) -> None:
        piece = bytes(HELD_BYTES // 4)
        for count in range(1, 5):
            self.assertEqual(self.connection.told, [])
            self.body.dataReceived(piece)
            self.assertEqual(self.body.held, count * len(piece))
        self.assertEqual(self.connection.told, ["pauseProducing"])
        # Bytes that came though it was paused: Twisted has resumed it.
        self.body.dataReceived(piece)
        self.assertEqual(self.connection.told, ["pauseProducing"] * 2)
        self.connection.told.clear()
        for _ in range(2):
            self.assertEqual(self.connection.told, [])
            self.assertEqual(len(self.body.take(1 << 30)), len(piece))
        self.assertEqual(self.connection.told, ["resumeProducing"])

    def test_a_waiting_reader_pauses_nothing(self) -> None:
        for _ in range(3):
            waiting = self.body.more().addCallback(lambda _: self.body.take(1 << 30))
            self.body.dataReceived(bytes(HELD_BYTES))
            self.assertEqual(len(self.successResultOf(waiting)), HELD_BYTES)
        self.assertEqual(self.connection.told, [])

    def test_pieces_of_pieces(self) -> None:
        self.body.dataReceived(b"abcdef")
        self.body.dataReceived(b"gh")
        self.assertEqual([self.body.take(4) for _ in range(4)], [b"abcd", b"ef", b"gh", b""])

    def test_closed_it_holds_nothing(self) -> None:
        self.body.dataReceived(b"abc")
        self.body.close()
        self.body.dataReceived(b"def")
        self.assertEqual((self.body.take(10), self.body.held), (b"", 0))
        self.assertEqual(self.connection.told, ["abortConnection"])

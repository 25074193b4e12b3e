"""Where a request ends, and whom it is for: what two readers could read differently is refused."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.web.channel import LINGER_SECONDS, StreamingChannel
from tests.web.doubles import Door, chunked, request


class FramingTests(SynchronousTestCase):
    """A request that is refused so is the last one of its connection."""

    def assertRefused(self, wire: bytes, status: int = 400) -> None:
        door = Door()
        client = door.client()
        with capturedLogs() as events:
            client.send(wire)
        answer = client.answer()
        self.assertEqual(answer.status, status)
        (line,) = [formatEvent(event) or "" for event in events]
        said = f"sent what is no readable request: {status} [A-Z]|is turned away: it speaks TLS"
        self.assertRegex(line, rf"^an HTTP client \(192\.168\.1\.1\) ({said})")
        self.assertEqual(answer.headers["connection"], "close")
        self.assertEqual(client.received, b"")
        client.send(request("GET", "/healthz"))
        self.assertEqual(client.received, b"")
        door.clock.advance(LINGER_SECONDS)
        self.assertTrue(client.transport.disconnecting)
        self.assertEqual(door.publisher.records, [])
        self.assertEqual(door.metrics.of("http_request"), [("unmatched", "other", status)])
        client.leave()
        self.assertEqual(door.site.in_flight, 0)

    def test_length_with_transfer_encoding(self) -> None:
        for headers in (
            ["Content-Length: 3", "Transfer-Encoding: chunked"],
            ["Transfer-Encoding: chunked", "Content-Length: 3"],
            ["Content-Length: 3", "Transfer-Encoding: identity"],
        ):
            self.assertRefused(request(body=None, headers=headers) + b"0\r\n\r\n")

    def test_two_lengths(self) -> None:
        for lengths in (["3", "3"], ["3", "4"], ["3, 3"], ["-3"], ["+3"], ["0x3"], ["3 3"], ["9" * 5000]):
            headers = [f"Content-Length: {length}" for length in lengths]
            self.assertRefused(request(body=None, headers=headers) + b"abc")

    def test_other_transfer_encodings(self) -> None:
        for coding in ("gzip, chunked", "chunked, chunked", "identity", "xchunked"):
            self.assertRefused(request(body=None, headers=[f"Transfer-Encoding: {coding}"]) + chunked(b"x"))

    def test_two_transfer_encodings(self) -> None:
        headers = ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"]
        self.assertRefused(request(body=None, headers=headers) + chunked(b"x"))

    def test_transfer_encoding_in_http_1_0(self) -> None:
        wire = request(body=None, headers=["Transfer-Encoding: chunked"], version="1.0") + chunked(b"x")
        self.assertRefused(wire)

    def test_no_host(self) -> None:
        self.assertRefused(b"GET /healthz HTTP/1.1\r\n\r\n")

    def test_two_hosts(self) -> None:
        self.assertRefused(request("GET", "/healthz", headers=["Host: other"]))

    def test_a_host_that_is_no_host(self) -> None:
        self.assertRefused(b"GET /healthz HTTP/1.1\r\nHost: a/b\r\n\r\n")

    def test_bytes_that_are_not_http(self) -> None:
        for wire in (
            b"hello\r\n\r\n",
            b"\x16\x03\x01\r\n\r\n",
            b"GET / HTTP/2.0\r\n\r\n",
            b"GET  / HTTP/1.1\r\n\r\n",
        ):
            self.assertRefused(wire)

    def test_tls_is_told_apart(self) -> None:
        with capturedLogs() as events:
            self.assertRefused(b"\x16\x03\x01\x02\x00\x01")
        self.assertIn("it speaks TLS, and LFS_HTTP_TLS_CERT is not set", formatEvent(events[-1]))

    def test_a_header_without_a_colon(self) -> None:
        self.assertRefused(request("GET", "/healthz", headers=["nonsense"]))
        self.assertRefused(request("GET", "/healthz", headers=["non sense: x"]))

    def test_long_lines(self) -> None:
        self.assertRefused(b"GET /" + b"x" * 70_000, status=414)
        self.assertRefused(request("GET", "/" + "x" * 33_000), status=414)
        self.assertRefused(request("GET", "/healthz", headers=["X: " + "y" * 70_000]), status=431)

    def test_many_headers(self) -> None:
        few = [f"X-{n}: y" for n in range(StreamingChannel.maxHeaders - 2)]
        self.assertEqual(Door().ask(request("GET", "/healthz", headers=few)).status, 200)
        self.assertRefused(request("GET", "/healthz", headers=[*few, "One: more"]), status=431)
        large = [f"X-{n}: {'y' * 8000}" for n in range(5)]
        self.assertRefused(request("GET", "/healthz", headers=large), status=431)
        self.assertRefused(request("GET", "/" + "x" * 30_000, headers=large[:1]), status=431)

"""``lfsproxy upload`` against a small HTTP server: what it sends, and what it makes of answers."""

from __future__ import annotations

import hashlib
import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.cli.main import main
from lfsproxy.cli.upload import refusal

DATA = b"0123456789" * 100_000


class Proxy(BaseHTTPRequestHandler):
    """Answers as the test says: ``server.status``, ``server.body``; with ``server.early`` before the body."""

    server: Any
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = self.server
        server.paths.append(self.path)
        server.headers.append(dict(self.headers.items()))
        if not server.early:
            server.bodies.append(self.read())
        self.send_response(server.status)
        self.send_header("Content-Length", str(len(server.body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(server.body)
        self.close_connection = True

    def read(self) -> bytes:
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def answer(data: bytes, **fields: Any) -> bytes:
    envelope = {"checksum_algo": "sha256", "checksum": hashlib.sha256(data).hexdigest(), **fields}
    return json.dumps({"topic": "demo", "partition": 2, "offset": 41, "envelope": envelope}).encode()


class Server(HTTPServer):
    """What the test wants answered, and what came."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.status, self.body, self.early = 201, answer(DATA), False
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []


class UploadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.proxy = Server(("127.0.0.1", 0), Proxy)
        thread = Thread(target=self.proxy.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.addCleanup(self.proxy.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(self.proxy.shutdown)
        self.file = Path(self.mktemp())
        self.file.write_bytes(DATA)

    def upload(self, file: str | None = None, *options: str, **kwargs: Any) -> Result:
        url = f"http://127.0.0.1:{self.proxy.server_port}"
        return CliRunner().invoke(
            main, ["upload", file or str(self.file), "--topic", "demo", "--url", url, *options], **kwargs
        )

    def sent(self) -> tuple[str, list[tuple[str, str]]]:
        parts = urlsplit(self.proxy.paths[0])
        return parts.path, parse_qsl(parts.query)

    def test_sends_a_file_and_prints_its_record(self) -> None:
        result = self.upload()
        self.assertEqual((result.exit_code, result.stdout), (0, "demo:2:41\n"))
        self.assertEqual(self.proxy.bodies, [DATA])
        self.assertEqual(self.proxy.headers[0]["Content-Length"], str(len(DATA)))
        name = self.file.name
        self.assertEqual(self.sent(), ("/v1/topics/demo/records", [("header", f"lfs-filename:{name}")]))

    def test_sends_an_api_key(self) -> None:
        for options, variables in ((("--api-key", "k1"), {}), ((), {"LFS_API_KEY": "k1"})):
            self.assertEqual(self.upload(None, *options, env=variables).exit_code, 0)
            self.assertEqual(self.proxy.headers.pop()["Authorization"], "Bearer k1")
        result = self.upload(None, "--api-key", "k\n1")
        self.assertEqual((result.exit_code, self.proxy.headers), (2, []))

    def test_sends_options(self) -> None:
        result = self.upload(
            None,
            *("--key", "k&=", "--partition", "3", "--timestamp", "5", "--header", "a:b:c"),
            *("--header", "lfs-filename:mine", "--content-type", "image/png", "--checksum", "auto"),
        )
        self.assertEqual(result.exit_code, 0, result.output)
        self.assertEqual(
            sorted(self.sent()[1]),
            [
                ("checksum", hashlib.sha256(DATA).hexdigest()),
                ("checksum_algo", "sha256"),
                ("content_type", "image/png"),
                ("header", "a:b:c"),
                ("header", "lfs-filename:mine"),
                ("key", "k&="),
                ("partition", "3"),
                ("timestamp", "5"),
            ],
        )

    def test_prints_the_whole_answer_when_asked(self) -> None:
        self.assertEqual(json.loads(self.upload(None, "--json", "--quiet").output)["offset"], 41)

    def test_quiet_shows_nothing_else(self) -> None:
        self.assertEqual(self.upload(None, "-q").output, "demo:2:41\n")

    def test_says_how_fast_it_was(self) -> None:
        self.assertIn(f"{self.file}: {len(DATA)} bytes in ", self.upload().stderr)

    def test_an_answer_with_another_checksum_is_a_failure(self) -> None:
        self.proxy.body = answer(b"other")
        result = self.upload()
        self.assertEqual((result.exit_code, result.stdout), (1, ""))
        self.assertIn("the sha256 of the bytes is", result.stderr)

    def test_a_problem_is_told_in_the_proxys_words(self) -> None:
        self.proxy.status = 404
        self.proxy.body = b'{"title":"The topic does not exist","detail":"the topic demo does not exist"}'
        result = self.upload()
        self.assertEqual(result.exit_code, 1)
        self.assertEqual(
            result.stderr.splitlines()[-1], "Error: the proxy answers 404: the topic demo does not exist"
        )

    def test_an_answer_before_the_end_of_the_body_is_told(self) -> None:
        self.file.write_bytes(DATA * 30)
        self.proxy.status, self.proxy.early, self.proxy.body = (
            413,
            True,
            b'{"title":"The upload is too large"}',
        )
        result = self.upload()
        self.assertIn("Error: the proxy answers 413: The upload is too large", result.stderr)

    def test_nobody_there(self) -> None:
        result = self.upload(None, "--url", "http://127.0.0.1:1")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("Error: the proxy at http://127.0.0.1:1 cannot be reached:", result.stderr)

    def test_a_url_that_is_none(self) -> None:
        self.assertEqual(self.upload(None, "--url", "localhost:8080").exit_code, 2)

    def test_a_file_that_is_not_there(self) -> None:
        result = self.upload("no-such-file")
        self.assertEqual(result.exit_code, 1)
        self.assertIn("Error: no-such-file: No such file or directory", result.stderr)

    def test_a_header_without_a_colon_is_not_understood(self) -> None:
        self.assertEqual(self.upload(None, "--header", "x").exit_code, 2)

    def test_a_checksum_that_is_none_sends_nothing(self) -> None:
        result = self.upload(None, "--checksum", "00")
        self.assertIn("a sha256 checksum is 64 hex digits", result.stderr)
        self.assertEqual(self.proxy.paths, [])


class RefusalTests(SynchronousTestCase):
    def test_says_what_there_is(self) -> None:
        self.assertEqual(refusal(502, b"<html>"), "the proxy answers 502: <html>")
        self.assertEqual(refusal(502, b""), "the proxy answers 502: Bad Gateway")
        self.assertEqual(refusal(502, b"[]"), "the proxy answers 502: []")
        self.assertEqual(refusal(502, b"{}"), "the proxy answers 502: {}")

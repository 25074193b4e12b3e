"""Uploader against a small HTTP server: what it sends, and what it makes of answers and of their absence."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.client import Published, Uploader
from lfsproxy.client.errors import ProxyUnavailable, UploadRefused
from lfsproxy.client.problems import error_of
from lfsproxy.errors import (
    BrokerTooLarge,
    ChecksumMismatch,
    Draining,
    InvalidChecksum,
    LfsError,
    NotAuthorised,
    OutcomeUnknown,
    StoreUnavailable,
    TooLarge,
    UnknownTopic,
)
from tests.client.doubles import envelope_of
from tests.client.proxy_double import DATA, answer, start_proxy

SHA256 = hashlib.sha256(DATA).hexdigest()


def problem(name: str, **fields: Any) -> bytes:
    return json.dumps({"type": f"/problems/{name}", "title": "Title", "detail": "words", **fields}).encode()


class UploaderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.proxy = start_proxy(self)

    def upload(self, body: Any = DATA, **options: Any) -> Published:
        with Uploader(self.proxy.url, api_key="secret") as proxy:
            return proxy.upload("demo", body, **options)

    def test_bytes_have_a_length(self) -> None:
        self.assertEqual(self.upload(), Published("demo", 2, 41, 7, envelope_of(DATA)))
        headers = self.proxy.headers[0]
        self.assertEqual((self.proxy.bodies, headers["Content-Length"]), ([DATA], str(len(DATA))))
        self.assertEqual(headers["Authorization"], "Bearer secret")

    def test_a_file_is_sent_from_where_it_stands(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(b"not this" + DATA)
        with path.open("rb") as file:
            file.seek(8)
            self.upload(file)
        self.assertEqual(self.proxy.headers[0]["Content-Length"], str(len(DATA)))
        self.assertEqual(self.proxy.bodies, [DATA])

    def test_what_has_no_length_is_sent_in_chunks(self) -> None:
        for body in (io.BytesIO(DATA), iter([DATA[:5], b"", DATA[5:]])):
            self.upload(body)
        self.assertEqual(self.proxy.bodies, [DATA, DATA])
        self.assertEqual(
            [headers.get("Transfer-Encoding") for headers in self.proxy.headers], ["chunked"] * 2
        )

    def test_nothing_is_a_body_too(self) -> None:
        self.proxy.body = answer(b"")
        self.assertEqual(self.upload(b"").envelope.content_length, 0)
        self.assertEqual(self.proxy.headers[0]["Content-Length"], "0")

    def test_options(self) -> None:
        told: list[int] = []
        self.proxy.body = answer(DATA, checksum_algo="md5", checksum=hashlib.md5(DATA).hexdigest())
        self.upload(
            key=b"\xff&",
            partition=0,
            headers=[("a", b"b:c"), ("d", b"\xff")],
            filename="ü.png",
            content_type="image/png",
            timestamp=5,
            checksum=hashlib.md5(DATA).hexdigest().upper(),
            algorithm="md5",
            on_progress=told.append,
        )
        parts = urlsplit(self.proxy.paths[0])
        self.assertEqual(parts.path, "/v1/topics/demo/records")
        self.assertEqual(
            parse_qsl(parts.query, errors="surrogateescape"),
            [
                ("partition", "0"),
                ("content_type", "image/png"),
                ("timestamp", "5"),
                ("checksum", hashlib.md5(DATA).hexdigest()),
                ("checksum_algo", "md5"),
                ("key_base64", "/yY="),
                ("header", "a:b:c"),
                ("header", "d:\udcff"),
                ("header", "lfs-filename:ü.png"),
            ],
        )
        self.assertEqual((told, told[-1]), (sorted(told), len(DATA)))

    def test_a_path_before_the_api_and_a_topic_to_escape(self) -> None:
        with Uploader(self.proxy.url + "/lfs/") as proxy:
            proxy.upload("a/../b", DATA)
        self.assertEqual(urlsplit(self.proxy.paths[0]).path, "/lfs/v1/topics/a%2F..%2Fb/records")

    def test_an_unusable_checksum_sends_nothing(self) -> None:
        self.assertRaises(InvalidChecksum, self.upload, checksum="00")
        self.assertEqual(self.proxy.paths, [])

    def test_an_answer_with_another_checksum_is_a_failure_in_every_algorithm(self) -> None:
        for algorithm in ("sha256", "md5", "crc32"):
            wrong = "0" * {"sha256": 64, "md5": 32, "crc32": 8}[algorithm]
            self.proxy.body = answer(DATA, checksum_algo=algorithm, checksum=wrong)
            self.assertRaises(ChecksumMismatch, self.upload)
            self.assertRaises(ChecksumMismatch, self.upload, algorithm="sha256", checksum=SHA256)

    def test_a_problem_is_its_error(self) -> None:
        self.proxy.status, self.proxy.body = 404, problem("unknown-topic")
        self.assertEqual(str(self.assertRaises(UnknownTopic, self.upload)), "words")

    def test_an_answer_before_the_end_of_the_body_is_told(self) -> None:
        self.proxy.status, self.proxy.early, self.proxy.body = 413, True, problem("too-large")
        self.assertRaises(TooLarge, self.upload, DATA * 30)

    def test_nobody_there_is_safe_to_send_again(self) -> None:
        with Uploader("http://127.0.0.1:1") as proxy:
            error = self.assertRaises(ProxyUnavailable, proxy.upload, "demo", DATA)
        self.assertTrue(error.retriable)

    def test_no_answer_to_a_whole_body_is_an_unknown_outcome(self) -> None:
        self.proxy.hang_up = True
        self.assertRaises(OutcomeUnknown, self.upload)

    def test_an_answer_that_is_none_is_an_unknown_outcome(self) -> None:
        for body in (b"[]", b"{", b"{}", b'{"envelope":{}}'):
            self.proxy.body = body
            self.assertRaises(OutcomeUnknown, self.upload)

    def test_what_the_body_raises_comes_back(self) -> None:
        def pieces(error: Exception) -> Iterator[bytes]:
            yield DATA
            raise error

        self.assertRaises(OSError, self.upload, pieces(OSError("of the body")))
        self.assertRaises(RuntimeError, self.upload, pieces(RuntimeError("of the body")))

    def test_what_the_callers_code_raises_is_not_taken_for_the_connections(self) -> None:
        def pieces(error: Exception) -> Iterator[bytes]:
            yield DATA
            raise error

        def progress(size: int) -> None:
            raise kind("of the caller")

        # urllib3 passes over a BrokenPipeError, and would wait for the proxy's answer.
        with Uploader(self.proxy.url, silent_timeout=20) as proxy:
            for kind in (BrokenPipeError, ConnectionResetError, TimeoutError, ValueError):
                started = monotonic()
                self.assertRaises(kind, proxy.upload, "demo", pieces(kind("of the caller")))
                self.assertRaises(kind, proxy.upload, "demo", DATA, on_progress=progress)
                self.assertLess(monotonic() - started, 20)

    def test_a_url_that_is_none(self) -> None:
        self.assertRaises(ValueError, Uploader, "localhost:8080")

    def test_the_time_to_connect_is_not_the_time_to_send(self) -> None:
        proxy = Uploader(self.proxy.url, connect_timeout=3, silent_timeout=50)
        connection: Any = proxy._pool.connection_from_url(self.proxy.url)._get_conn()
        self.addCleanup(connection.close)
        connection.connect()
        self.assertEqual(connection.sock.gettimeout(), 50)


class ErrorTests(SynchronousTestCase):
    def test_each_problem_has_its_type(self) -> None:
        for status, kind in (
            (503, StoreUnavailable),
            (503, Draining),
            (504, OutcomeUnknown),
            (403, NotAuthorised),
            (413, BrokerTooLarge),
        ):
            error = error_of(status, problem(kind.problem, kafka_error_code=29))
            self.assertIs(type(error), kind)
            self.assertEqual(str(error), "words")

    def test_a_mismatch_names_both_checksums(self) -> None:
        body = problem("checksum-mismatch", algorithm="md5", expected="aa", actual="bb")
        error = error_of(400, body)
        assert isinstance(error, ChecksumMismatch)
        self.assertEqual((error.algorithm, error.expected, error.actual), ("md5", "aa", "bb"))

    def test_a_broker_code_is_kept(self) -> None:
        error = error_of(502, problem("broker-refused", kafka_error_code=87))
        self.assertEqual(getattr(error, "code", None), 87)

    def test_what_is_not_known_is_told_as_it_is(self) -> None:
        others = (
            "and not the proxy's: is this the URL of its HTTP API, or does a gateway answer in its place?"
        )
        for body, name, said in (
            (problem("of-tomorrow"), "of-tomorrow", "the proxy answers 418: words"),
            (b"<html>", "", f"the answer is 418, I'm a Teapot, {others}"),
            (b"", "", f"the answer is 418, I'm a Teapot, {others}"),
            (b"no\n way\n", "", f"the answer is 418, no way, {others}"),
            (problem("checksum-mismatch"), "checksum-mismatch", "the proxy answers 418: words"),
        ):
            error = error_of(418, body)
            assert isinstance(error, UploadRefused)
            self.assertEqual((error.status, error.type, str(error)), (418, name, said))

    def test_every_error_is_an_lfs_error(self) -> None:
        self.assertIsInstance(error_of(500, problem("internal-error")), LfsError)

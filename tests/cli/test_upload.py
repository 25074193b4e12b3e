"""``lfsproxy upload`` against a small HTTP server: what it sends, and what it makes of answers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.cli.main import main
from tests.client.proxy_double import DATA, answer, start_proxy


class UploadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.proxy = start_proxy(self)
        self.file = Path(self.mktemp())
        self.file.write_bytes(DATA)

    def upload(self, file: str | None = None, *options: str, **kwargs: Any) -> Result:
        return CliRunner().invoke(
            main,
            ["upload", file or str(self.file), "--topic", "demo", "--url", self.proxy.url, *options],
            **kwargs,
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

    def test_a_variable_says_where_the_proxy_is(self) -> None:
        arguments = ["upload", str(self.file), "--topic", "demo"]
        result = CliRunner().invoke(main, arguments, env={"LFS_PROXY_URL": self.proxy.url})
        self.assertEqual((result.exit_code, result.stdout), (0, "demo:2:41\n"), result.output)
        # The option wins.
        result = self.upload(env={"LFS_PROXY_URL": "http://127.0.0.1:1"})
        self.assertEqual(result.exit_code, 0, result.output)

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

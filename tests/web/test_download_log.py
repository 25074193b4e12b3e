"""What the log says of downloads: one line for each, whichever way it ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.logger import LogEvent, capturedLogs

from lfsproxy.errors import StoreUnavailable
from tests.uploadlog import download_lines
from tests.web.doubles import Answer, request
from tests.web.downloads import BLOB, PATH, SHA256, DownloadCase

PEER = "192.168.1.1:54321"


class DownloadLogTests(DownloadCase):
    def logged(self, *headers: str, path: str = PATH, method: str = "GET") -> tuple[Answer, dict[str, Any]]:
        """The answer, and the one line about the download."""
        with capturedLogs() as events:
            answer = self.get(path, "X-Request-Id: order-7", *headers, method=method)
        return answer, self.only(events)

    def only(self, events: Iterable[LogEvent]) -> dict[str, Any]:
        (line,) = download_lines(events)
        return line

    def test_a_whole_blob(self) -> None:
        key = self.upload()
        _, line = self.logged()
        self.assertEqual(
            line,
            {
                "event": "download",
                "result": "ok",
                "door": "http",
                "method": "GET",
                "status": 200,
                "peer": PEER,
                "topic": "t",
                "partition": 0,
                "offset": 0,
                "key": key,
                "bytes": len(BLOB),
                "seconds": 0.0,
                "request_id": "order-7",
            },
        )

    def test_each_kind_of_success(self) -> None:
        self.upload()
        self.publish(b"plain")
        self.publish(None)
        there = PATH[:-1]
        for headers, path, method, status, given in (
            (["Range: bytes=5-9"], PATH, "GET", 206, 5),
            ([f'If-None-Match: "{SHA256}"'], PATH, "GET", 304, 0),
            ([], PATH, "HEAD", 200, 0),
            ([], f"{there}1", "GET", 200, 5),
            ([], f"{there}2", "GET", 204, 0),
            ([], f"{PATH}?presign=true", "GET", 307, 0),
        ):
            answer, line = self.logged(*headers, path=path, method=method)
            self.assertEqual(answer.status, status)
            found = (line["result"], line["method"], line["status"], line["bytes"], line.get("range"))
            self.assertEqual(found, ("ok", method, status, given, "5-9" if status == 206 else None))
            self.assertNotIn("reason", line)

    def test_an_ordinary_record_has_no_key(self) -> None:
        self.publish(b"plain")
        self.assertNotIn("key", self.logged()[1])

    def test_a_refusal_says_why(self) -> None:
        for path, status, said in (
            (PATH, 404, "0"),
            (f"{PATH[:-1]}nowhere", 400, "the offset"),
            (f"{PATH}?what=1", 400, "unknown option"),
        ):
            answer, line = self.logged(path=path)
            self.assertEqual((answer.status, line["status"]), (status, status))
            self.assertEqual(line["result"], "client_error")
            self.assertIn(said, line["reason"])
        self.assertEqual(line["offset"], 0)

    def test_trouble_with_the_store_before_the_first_byte(self) -> None:
        key = self.upload()
        self.door.source.fail_next("open", StoreUnavailable("away"))
        _, line = self.logged()
        self.assertEqual(
            (line["result"], line["status"], line["reason"], line["key"], line["bytes"]),
            ("store_error", 503, "away", key, 0),
        )

    def test_one_that_is_cut_says_what_was_sent_and_why(self) -> None:
        self.upload()
        client = self.door.client()
        client.transport.fills = True
        with capturedLogs() as events:
            client.send(request("GET", PATH, body=None))
            self.door.source.fail_next("read", StoreUnavailable("gone"))
            client.transport.make_room()
            self.assertEqual(download_lines(events), [])
            client.leave()
        line = self.only(events)
        self.assertEqual((line["result"], line["status"], line["reason"]), ("store_error", 200, "gone"))
        self.assertTrue(0 < line["bytes"] < len(BLOB), line)

    def test_a_client_that_leaves(self) -> None:
        self.upload()
        self.door.source.hold("open")
        client = self.door.client()
        with capturedLogs() as events:
            client.send(request("GET", PATH, body=None))
            self.door.clock.advance(2)
            client.leave()
        line = self.only(events)
        self.assertEqual(
            (line["result"], line["reason"], line["seconds"]), ("cancelled", "the client went away", 2.0)
        )
        self.assertNotIn("status", line)

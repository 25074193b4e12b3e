"""What the log says of uploads over HTTP, and the request id by which a client finds its lines."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.address import IPv6Address
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import BrokerUnavailable, StoreUnavailable
from tests.uploadlog import upload_lines
from tests.web.doubles import Answer, Door, request
from tests.web.tus_door import DATA, EXPIRY, TusDoor, patch

PEER = "192.168.1.1:54321"


class LogCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.door = Door()

    def logged(self, wire: bytes) -> tuple[Answer, list[dict[str, Any]]]:
        """The answer to a request, and the lines about uploads."""
        with capturedLogs() as events:
            answer = self.door.ask(wire)
        self.events = events
        return answer, upload_lines(events)

    def requests(self) -> list[str]:
        """The lines about requests, those at debug aside."""
        return [
            formatEvent(event)
            for event in self.events
            if event.get("fields", {}).get("event") == "request" and event["log_level"] != LogLevel.debug
        ]


class AddressTests(LogCase):
    def test_an_ipv4_client_of_a_socket_for_both_is_shown_as_one(self) -> None:
        client = self.door.client()
        client.transport.peerAddr = IPv6Address("TCP", "::ffff:10.1.2.3", 4000)
        with capturedLogs() as self.events:
            client.send(request("GET", "/nothing", b""))
            client.send(b"\x16\x03\x01")
        (line,) = self.requests()
        self.assertTrue(line.startswith("10.1.2.3 GET /nothing 404 "), line)
        self.assertNotIn("ffff", "".join(formatEvent(event) or "" for event in self.events))


class UploadLogTests(LogCase):
    def test_an_upload_is_found_by_its_request_id(self) -> None:
        answer, lines = self.logged(
            request("POST", "/v1/topics/t/records?partition=2", b"abc", ["X-Request-Id: order-7"])
        )
        self.assertEqual((answer.status, answer.headers["x-request-id"]), (201, "order-7"))
        self.assertEqual(
            lines,
            [
                {
                    "event": "upload",
                    "result": "ok",
                    "door": "http",
                    "peer": PEER,
                    "topic": "t",
                    "partition": 2,
                    "offset": 0,
                    "key": answer.json["envelope"]["s3_key"],
                    "bytes": 3,
                    "seconds": 0.0,
                    "request_id": "order-7",
                }
            ],
        )
        self.assertEqual(self.requests(), ["192.168.1.1 POST /v1/topics/t/records 201 request_id=order-7"])

    def test_what_fails_before_it_stores_anything_has_a_line_too(self) -> None:
        answer, lines = self.logged(request("POST", "/v1/topics/t/records?partition=9", b"abc"))
        (line,) = lines
        self.assertEqual((answer.status, line["result"], line["topic"]), (400, "client_error", "t"))
        self.assertIn("partition", line["reason"])
        self.assertEqual(line["request_id"], answer.headers["x-request-id"])
        self.assertNotIn("key", line)
        self.assertEqual(self.door.metrics.of("upload"), [])

    def test_a_checksum_that_is_none_has_one_line(self) -> None:
        answer, (line,) = self.logged(request("POST", "/v1/topics/t/records?checksum=abc", b"abc"))
        self.assertEqual((answer.status, line["result"]), (400, "client_error"))

    def test_what_fails_in_the_middle_has_one_line(self) -> None:
        self.door.store.fail_next("commit", StoreUnavailable("S3 is asleep"))
        answer, (line,) = self.logged(request("POST", body=b"abc"))
        self.assertEqual(
            (answer.status, line["result"], line["reason"]), (503, "store_error", "S3 is asleep")
        )
        self.door.publisher.fail_next("publish", BrokerUnavailable("Kafka is away"))
        answer, (line,) = self.logged(request("POST", body=b"abc"))
        self.assertEqual(
            (answer.status, line["result"], line["reason"]), (503, "broker_error", "Kafka is away")
        )

    def test_a_request_that_fails_says_why(self) -> None:
        self.logged(request("GET", "/no\x85where", None, ["X-Request-Id: 7"]))
        self.assertEqual(
            self.requests(),
            [
                '192.168.1.1 GET "/no\\u0085where" 400 request_id=7 reason="the path is not UTF-8"',
            ],
        )

    def test_probes_of_health_are_logged_at_debug_only(self) -> None:
        for path in ("/healthz", "/readyz"):
            self.logged(request("GET", path, None))
            self.assertEqual(self.requests(), [])
            self.assertEqual([event["log_level"] for event in self.events], [LogLevel.debug])


class RequestIdTests(LogCase):
    def test_an_id_that_is_not_sane_is_replaced(self) -> None:
        seen = set()
        for given in ("", "a b", "a\x7fb", "é", "x" * 129, "-x", "a\tb", '"a"', "{a}"):
            answer = self.door.ask(request("GET", "/healthz", None, [f"X-Request-Id: {given}"]))
            self.assertRegex(answer.headers["x-request-id"], r"\A[0-9a-f]{32}\Z")
            seen.add(answer.headers["x-request-id"])
        self.assertEqual(len(seen), 9)

    def test_a_sane_one_is_given_back(self) -> None:
        for given in (
            "7",
            "x" * 128,
            "Root=1-67891233-abcdef012345678912345678",
            "b9c4/xyz-000001",
            "a:b@c+d",
        ):
            answer = self.door.ask(request("GET", "/nowhere", None, [f"x-request-id: {given}"]))
            self.assertEqual((answer.status, answer.headers["x-request-id"]), (404, given))

    def test_two_of_them_are_not_sane(self) -> None:
        answer = self.door.ask(request("GET", "/healthz", None, ["X-Request-Id: a", "X-Request-Id: b"]))
        self.assertTrue(re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"]))

    def test_every_kind_of_answer_has_it_and_a_problem_says_it(self) -> None:
        path = self.mktemp()
        with open(path, "w") as file:
            file.write('{"keys": []}')
        keys = Door(http_api_keys_file=path)
        for door, method, where, status in (
            (self.door, "OPTIONS", "/v1/topics/t/records", 204),
            (self.door, "BREW", "/v1/topics/t/records", 405),
            (self.door, "GET", "//", 404),
            (keys, "POST", "/v1/topics/t/records", 401),
        ):
            answer = door.ask(request(method, where, None, ["X-Request-Id: order-7"]))
            self.assertEqual((answer.status, answer.headers["x-request-id"]), (status, "order-7"))
            if status >= 400:
                self.assertEqual(answer.json["request_id"], "order-7")

    def test_bytes_that_are_no_request_get_one_that_the_log_has_too(self) -> None:
        for data in (b"nonsense\r\n\r\n", b"GET /" + b"x" * 40_000, request("GET", "/", None, ["Host: b"])):
            answer, _ = self.logged(data)
            id = answer.headers["x-request-id"]
            self.assertRegex(id, r"\A[0-9a-f]{32}\Z")
            lines = [formatEvent(event) for event in self.events]
            self.assertTrue(any(f"(request_id={id})" in line for line in lines), lines)

    def test_pages_may_read_it(self) -> None:
        answer = self.door.ask(request("GET", "/healthz", None))
        self.assertIn("X-Request-Id", answer.headers["access-control-expose-headers"])


class ResumableLogTests(LogCase):
    def setUp(self) -> None:
        self.door: TusDoor = TusDoor()

    def test_the_request_that_publishes_is_named(self) -> None:
        path = self.door.new(len(DATA))
        _, lines = self.logged(patch(path, 0, DATA[:1000]))
        self.assertEqual(lines, [])
        answer, (line,) = self.logged(patch(path, 1000, DATA[1000:], "X-Request-Id: last"))
        (key,) = self.door.uploads_store.blobs
        self.assertEqual(answer.status, 204)
        self.assertEqual(
            {name: line[name] for name in ("result", "door", "peer", "topic", "offset", "key", "bytes")},
            {
                "result": "ok",
                "door": "tus",
                "peer": PEER,
                "topic": "t",
                "offset": 0,
                "key": key,
                "bytes": len(DATA),
            },
        )
        self.assertEqual(line["request_id"], "last")

    def test_one_that_is_given_up_says_why(self) -> None:
        path = self.door.new(len(DATA))
        self.door.ask(patch(path, 0, DATA[:3]))
        _, (line,) = self.logged(request("DELETE", path, None, ["Tus-Resumable: 1.0.0"]))
        self.assertEqual((line["result"], line["reason"]), ("cancelled", "it was terminated"))
        self.assertEqual(line["bytes"], 3)
        path = self.door.new(len(DATA))
        self.door.clock.advance(EXPIRY + 1)
        _, (line,) = self.logged(request("HEAD", path, None, ["Tus-Resumable: 1.0.0"]))
        self.assertEqual((line["result"], line["reason"]), ("cancelled", "it has expired"))

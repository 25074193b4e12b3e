"""API keys at the HTTP door: which requests pass, what the others are told, and the file that changes."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import SettingError
from lfsproxy.web.keys import ApiKey, new_key, write_keys
from tests.web.doubles import OPERATIONS, Answer, Door, request
from tests.web.tus_door import OFFSET, TUS, TusDoor

NOW = datetime.fromtimestamp(0, UTC)
UPLOADS = "/v1/topics/t/uploads"
EXPECT = "Expect: 100-continue"


class KeyedTests(SynchronousTestCase):
    """A door with a file of keys; its clock begins at the epoch."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.keys: list[ApiKey] = []
        self.writer = self.add("writer", ["t", "image-*"], ["write"])
        self.reader = self.add("reader", ["*"], ["read"])
        self.short = self.add("short", ["*"], ["read", "write"], datetime.fromtimestamp(100, UTC))
        self.door = TusDoor(http_api_keys_file=str(self.path))

    def add(self, name: str, topics: list[str], actions: list[str], expires: datetime | None = None) -> str:
        key, token = new_key(name, topics, actions, NOW, expires)
        self.keys.append(key)
        self.save(write_keys(self.keys))
        return token

    def save(self, text: str) -> None:
        """Replace the file as ``lfsproxy keys`` does."""
        new = self.path.with_suffix(".new")
        new.write_text(text)
        os.replace(new, self.path)

    def upload(self, token: str | None, topic: str = "t", *headers: str) -> Answer:
        given = [] if token is None else [f"Authorization: Bearer {token}"]
        return self.door.ask(
            request(path=f"/v1/topics/{topic}/records", body=b"x", headers=[*given, *headers])
        )

    def assertProblem(self, answer: Answer, status: int, problem: str) -> None:
        self.assertEqual((answer.status, answer.json["type"]), (status, f"/problems/{problem}"))
        self.assertEqual(answer.json["status"], status)


class RequestTests(KeyedTests):
    def test_a_key_lets_through(self) -> None:
        self.assertEqual(self.upload(self.writer).status, 201)

    def test_without_a_key_nothing_happens(self) -> None:
        answer = self.upload(None)
        self.assertProblem(answer, 401, "api-key-required")
        self.assertEqual(answer.headers["www-authenticate"], 'Bearer realm="lfsproxy"')
        self.assertEqual(self.door.publisher.records, [])

    def test_another_scheme_is_no_key(self) -> None:
        for value in ("Basic dTpw", self.writer, "Bearer", "bearerx y"):
            answer = self.door.ask(request(body=b"x", headers=[f"Authorization: {value}"]))
            self.assertEqual(answer.status, 401, value)

    def test_the_scheme_is_not_case_sensitive(self) -> None:
        answer = self.door.ask(request(body=b"x", headers=[f"Authorization: bEARER  {self.writer} "]))
        self.assertEqual(answer.status, 201)

    def test_a_key_that_nobody_has(self) -> None:
        other = new_key("other", ["*"], ["write"], NOW)[1]
        same_id = self.writer[:-1] + ("A" if self.writer[-1] != "A" else "B")
        for token in (other, same_id, self.writer.upper(), "é", "x" * 9000):
            answer = self.upload(token)
            self.assertProblem(answer, 401, "api-key-invalid")
            self.assertIn('error="invalid_token"', answer.headers["www-authenticate"])

    def test_two_keys_are_none(self) -> None:
        answer = self.upload(self.writer, "t", f"Authorization: Bearer {self.writer}")
        self.assertProblem(answer, 401, "api-key-invalid")

    def test_an_expired_key(self) -> None:
        self.door.clock.advance(99)
        self.assertEqual(self.upload(self.short).status, 201)
        self.door.clock.advance(1)
        self.assertProblem(self.upload(self.short), 401, "api-key-invalid")

    def test_a_key_for_other_topics(self) -> None:
        # The topic does not exist, which only a key that may write to it is told.
        self.assertProblem(self.upload(self.writer, "image-1"), 404, "unknown-topic")
        for topic in ("image", "other", "T"):
            answer = self.upload(self.writer, topic)
            self.assertProblem(answer, 403, "api-key-not-allowed")
            self.assertIn('error="insufficient_scope"', answer.headers["www-authenticate"])

    def test_a_key_for_other_actions(self) -> None:
        answer = self.upload(self.reader)
        self.assertProblem(answer, 403, "api-key-not-allowed")
        self.assertIn("does not allow to write 't'", answer.json["detail"])

    def test_a_key_for_every_topic_does_not_make_one_legal(self) -> None:
        self.assertProblem(self.upload(self.short, "__consumer_offsets"), 400, "bad-request")

    def test_a_refusal_comes_before_the_body(self) -> None:
        for path in ("/v1/topics/t/records", UPLOADS):
            client = self.door.client()
            client.send(request(path=path, body=b"xyz", headers=[EXPECT, TUS, OFFSET])[:-3])
            self.assertTrue(client.received.startswith(b"HTTP/1.1 401 "), client.received)
            self.assertEqual(client.answer().headers["connection"], "close")

    def test_every_method_of_tus_needs_to_write(self) -> None:
        path = f"{UPLOADS}/{'0' * 32}"
        asked = [("POST", UPLOADS), *((method, path) for method in ("HEAD", "PATCH", "DELETE", "POST"))]
        for method, where in asked:
            for token, status in ((None, 401), (self.reader, 403)):
                given = [] if token is None else [f"Authorization: Bearer {token}"]
                client = self.door.client()
                client.send(request(method, where, b"", [TUS, OFFSET, *given]))
                self.assertEqual(client.answer(head=method == "HEAD").status, status, (method, where))

    def test_an_upload_by_tus(self) -> None:
        given = f"Authorization: Bearer {self.writer}"
        path = self.door.new(3, given)
        self.assertEqual(self.door.patch(path, 0, b"abc", given).status, 204)
        self.assertEqual(len(self.door.publisher.records), 1)

    def test_what_is_public(self) -> None:
        for path in ("/", "/docs", "/openapi.json", "/assets/app.js", "/healthz", "/readyz"):
            self.assertEqual(self.door.ask(request("GET", path)).status, 200, path)
        for path in ("/v1/topics/t/records", UPLOADS, f"{UPLOADS}/{'0' * 32}"):
            headers = ["Origin: https://a.example", "Access-Control-Request-Method: POST"]
            answer = self.door.ask(request("OPTIONS", path, headers=headers))
            self.assertEqual(answer.status, 204)
            self.assertIn("Authorization", answer.headers["access-control-allow-headers"])

    def test_a_page_of_another_origin_may_read_a_refusal(self) -> None:
        answer = self.upload(None, "t", "Origin: https://a.example")
        self.assertEqual(answer.headers["access-control-allow-origin"], "*")

    def test_no_token_is_logged_but_the_id_of_its_key(self) -> None:
        with capturedLogs() as events:
            self.upload(self.writer)
            self.upload(self.reader)
            self.upload(self.writer + "x")
        said = " ".join(formatEvent(event) + repr(event) for event in events)
        for token in (self.writer, self.reader):
            self.assertNotIn(token[-43:], said)
        lines = [formatEvent(event) for event in events if event["log_level"] >= LogLevel.info]
        self.assertTrue(any(f"(key {self.keys[0].id}) POST" in line for line in lines), lines)
        self.assertTrue(any(f"(key {self.keys[1].id}) POST" in line for line in lines), lines)

    def test_refusals_are_counted(self) -> None:
        for token in (None, self.reader):
            self.upload(token)
        route = "/v1/topics/{topic}/records"
        self.assertEqual(self.door.metrics.of("http_request"), [(route, "POST", 401), (route, "POST", 403)])


class FileTests(KeyedTests):
    def test_a_key_that_is_added_works_at_once(self) -> None:
        self.assertEqual(self.upload(self.add("new", ["t"], ["write"])).status, 201)

    def test_a_key_that_is_taken_away_works_no_more(self) -> None:
        self.assertEqual(self.upload(self.writer).status, 201)
        self.save(write_keys(self.keys[1:]))
        self.assertEqual(self.upload(self.writer).status, 401)

    def test_a_file_that_breaks_leaves_the_keys_and_is_logged_once(self) -> None:
        for text in ("{", None):
            with capturedLogs() as events:
                if text is None:
                    self.path.unlink()
                else:
                    self.save(text)
                for _ in range(3):
                    self.assertEqual(self.upload(self.writer).status, 201)
            errors = [formatEvent(event) for event in events if event["log_level"] == LogLevel.error]
            self.assertEqual(len(errors), 1)
            self.assertIn(f"LFS_HTTP_API_KEYS_FILE is '{self.path}': not usable now", errors[0])
            self.save(write_keys(self.keys))
            self.assertEqual(self.upload(self.writer).status, 201)

    def test_an_empty_file_of_keys_lets_nobody_through(self) -> None:
        self.save(write_keys([]))
        self.assertEqual(self.upload(self.writer).status, 401)

    def test_a_start_without_a_usable_file(self) -> None:
        whole = json.loads(self.path.read_text())

        def without(field: str) -> str:
            return json.dumps({"keys": [{k: v for k, v in whole["keys"][0].items() if k != field}]})

        def changed(**fields: object) -> str:
            return json.dumps({"keys": [{**whole["keys"][0], **fields}]})

        for text, why in (
            (None, "No such file"),
            ("nonsense", r"it is no JSON, at line 1, column 1\)$"),
            ("", "it is no JSON, at line 1, column 1"),
            ("\udcff", "it is not UTF-8"),
            ("[]", 'an object with "keys"'),
            (json.dumps({"keys": whole["keys"], "more": 1}), 'an object with "keys"'),
            (json.dumps({"keys": whole["keys"][:1] * 2}), "two keys have the id"),
            (without("sha256"), r"key 1 \(writer\) has no sha256"),
            (changed(sha256="abc"), r"key 1 \(writer\): sha256 is 'abc'"),
            (changed(actions=["delete"]), "actions is 'delete'"),
            (changed(actions=[]), "actions is not a list"),
            (changed(topics="*"), "topics is not a list"),
            (changed(topics=["a b"]), "'a b' is neither a topic"),
            (changed(expires="soon"), "'soon' is not a time"),
            (changed(expires=""), "'' is not a time"),
            (changed(expires=False), "expires is 'False'"),
            (changed(expires=0), "expires is '0'"),
            ("[" * 100_000, "nested too deep"),
            (changed(topic="t"), "unknown field 'topic'"),
        ):
            if text is None:
                self.path.unlink()
            else:
                self.path.write_text(text, errors="surrogateescape")
            error = self.assertRaises(SettingError, Door, http_api_keys_file=str(self.path))
            self.assertRegex(str(error), f"^LFS_HTTP_API_KEYS_FILE is '{self.path}': not usable.*{why}")
            self.assertNotIn("\n", str(error))


class DeclarationTests(SynchronousTestCase):
    def test_every_operation_of_the_api_says_what_a_key_must_allow(self) -> None:
        for one in OPERATIONS:
            if one.path.startswith("/v1/") and one.method != "OPTIONS":
                self.assertIn(one.action, ("read", "write"), one.id)
                self.assertIn("{topic}", one.path)
            else:
                self.assertIsNone(one.action, one.id)

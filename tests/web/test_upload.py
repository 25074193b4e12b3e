"""Uploads over HTTP: what is stored, what is published, what is answered."""

from __future__ import annotations

import hashlib

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import (
    BrokerUnavailable,
)
from tests.web.doubles import MIB, NOW, Door, chunked, form, request


class UploadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.door = Door()

    def test_raw_bytes_are_stored_and_published(self) -> None:
        answer = self.door.ask(request(body=b"hello", headers=["Content-Type: text/plain"]))
        self.assertEqual(answer.status, 201, answer.body)
        self.assertEqual(answer.headers["location"], "/v1/topics/t/partitions/0/records/0")
        envelope = answer.json["envelope"]
        self.assertEqual(
            {name: value for name, value in answer.json.items() if name != "envelope"},
            {"topic": "t", "partition": 0, "offset": 0, "timestamp": NOW},
        )
        self.assertEqual(envelope["content_type"], "text/plain")
        self.assertEqual(envelope["content_length"], 5)
        self.assertEqual(envelope["checksum"], hashlib.sha256(b"hello").hexdigest())
        blob = self.door.store.blobs[envelope["s3_key"]]
        self.assertEqual((blob.data, blob.content_type), (b"hello", "text/plain"))
        self.assertRegex(envelope["s3_key"], r"^lfs/default/t/0/0-[0-9a-f-]{36}\.bin$")
        self.assertEqual(len(self.door.publisher.records), 1)
        self.assertEqual(self.door.metrics.of("http_request"), [("/v1/topics/{topic}/records", "POST", 201)])
        self.assertEqual(len(self.door.metrics.of("publish")), 1)
        self.assertEqual(self.door.budget.used, 0)

    def test_form_with_options_before_the_file(self) -> None:
        body, content_type = form(
            ("key", None, b"k\xff"), ("header", None, b"a:b:c"), ("file", "x.png", b"data")
        )
        answer = self.door.ask(request(body=body, headers=[content_type]))
        self.assertEqual(answer.status, 201, answer.body)
        sent = self.door.publisher.records[0]
        self.assertEqual(sent.key, b"k\xff")
        self.assertEqual(sent.headers, ((b"a", b"b:c"), (b"lfs-filename", b"x.png")))
        self.assertEqual(answer.json["envelope"]["content_type"], "image/png")
        self.assertEqual(self.door.stored, [b"data"])

    def test_a_type_that_a_script_did_not_know(self) -> None:
        for given in ("undefined", "null"):
            raw = request(headers=[f"Content-Type: {given}"], body=b"x")
            body, content_type = form(("file", "f", b"x"))
            part = request(headers=[content_type], body=body.replace(b"image/png", given.encode()))
            asked = request(path=f"/v1/topics/t/records?content_type={given}", body=b"x")
            for wire in (raw, part, asked):
                answer = self.door.ask(wire)
                self.assertEqual(answer.json["envelope"]["content_type"], "application/octet-stream", wire)

    def test_a_file_without_a_name_that_has_bytes(self) -> None:
        body, content_type = form(("file", "", b"x"))
        self.assertEqual(self.door.ask(request(headers=[content_type], body=body)).status, 201)
        (record,) = self.door.publisher.records
        self.assertEqual(record.headers, ())

    def test_options_in_the_query(self) -> None:
        query = (
            "key_base64=/+8=&partition=2&header=a:b&header=c:d%20e&content_type=image/x%3Bq=1"
            "&timestamp=1700000000005&checksum_algo=MD5&checksum=5D41402ABC4B2A76B9719D911017C592"
        )
        answer = self.door.ask(request(path=f"/v1/topics/t/records?{query}", body=b"hello"))
        self.assertEqual(answer.status, 201, answer.body)
        sent = self.door.publisher.records[0]
        self.assertEqual((sent.key, sent.partition, sent.timestamp), (b"\xff\xef", 2, 1700000000005))
        self.assertEqual(sent.headers, ((b"a", b"b"), (b"c", b"d e")))
        envelope = answer.json["envelope"]
        self.assertEqual(envelope["content_type"], "image/x;q=1")
        self.assertEqual(envelope["checksum_algo"], "md5")
        self.assertEqual(envelope["checksum"], "5d41402abc4b2a76b9719d911017c592")

    def test_a_form_takes_options_of_the_query_too(self) -> None:
        body, content_type = form(("partition", None, b"2"), ("file", None, b"data"))
        answer = self.door.ask(request(path="/v1/topics/t/records?key=k", body=body, headers=[content_type]))
        self.assertEqual(answer.status, 201, answer.body)
        sent = self.door.publisher.records[0]
        self.assertEqual((sent.key, sent.partition, sent.headers), (b"k", 2, ()))

    def test_no_content_type_is_octet_stream(self) -> None:
        answer = self.door.ask(request(body=b"x"))
        self.assertEqual(answer.json["envelope"]["content_type"], "application/octet-stream")

    def test_an_empty_body_is_an_empty_blob(self) -> None:
        answer = self.door.ask(request(body=b""))
        self.assertEqual(answer.status, 201, answer.body)
        self.assertEqual(answer.json["envelope"]["content_length"], 0)

    def test_chunked_body(self) -> None:
        answer = self.door.ask(
            request(body=None, headers=["Transfer-Encoding: chunked"]) + chunked(b"one", b"two")
        )
        self.assertEqual(answer.status, 201, answer.body)
        self.assertEqual(self.door.stored, [b"onetwo"])

    def test_small_pieces_are_gathered(self) -> None:
        body, content_type = form(("partition", None, b"2"), ("file", "f", b"data" * 10))
        client = self.door.client()
        for byte in request(body=body, headers=[content_type]):
            client.send(bytes([byte]))
        self.assertEqual(client.answer().status, 201)
        self.assertEqual(self.door.stored, [b"data" * 10])
        self.assertEqual(self.door.store.pieces, [40])

    def test_large_pieces_are_passed_on_as_they_come(self) -> None:
        client = self.door.client()
        client.send(request(body=bytes(4 * MIB))[: -4 * MIB])
        for _ in range(16):
            client.send(bytes(256 * 1024))
        self.assertEqual(client.answer().status, 201)
        self.assertEqual(self.door.store.pieces, [256 * 1024] * 16)

    def test_the_offset_hint_may_fail(self) -> None:
        async def no_hint(topic: str, partition: int) -> int:
            raise BrokerUnavailable("no")

        self.door.ask(request(body=b"first"))
        self.patch(self.door.publisher, "next_offset", no_hint)
        self.door.publisher.hold("publish")
        self.door.client().send(request(body=b"hello"))
        self.assertIn("/t/0/0-", list(self.door.store.blobs)[1])

"""Resumable uploads through the HTTP door: creating them, and adding bytes."""

from __future__ import annotations

import hashlib
import json

from lfsproxy.envelope import DEFAULT_CONTENT_TYPE
from lfsproxy.web.options import NAMES
from tests.web.doubles import request
from tests.web.tus_door import DATA, OFFSET, TUS, TusDoor, TusTests, encode, metadata


class CreationTests(TusTests):
    def test_options_say_what_is_offered(self) -> None:
        self.door = TusDoor(max_upload_size=5000)
        for path in ("/v1/topics/t/uploads", "/v1/topics/t/uploads/" + "0" * 32):
            answer = self.door.ask(request("OPTIONS", path, None))
            self.assertEqual(answer.status, 204)
            self.assertEqual(answer.headers["tus-version"], "1.0.0")
            self.assertIn("creation-defer-length", answer.headers["tus-extension"])
            self.assertEqual(answer.headers["tus-checksum-algorithm"], "sha1,sha256,md5")
            self.assertEqual(answer.headers["tus-max-size"], "5000")

    def test_a_page_may_send_and_read_what_tus_needs(self) -> None:
        asked = ["Origin: https://a.example", "Access-Control-Request-Method: PATCH"]
        answer = self.door.ask(request("OPTIONS", "/v1/topics/t/uploads/" + 32 * "0", None, asked))
        for name in ("Tus-Resumable", "Upload-Offset", "Upload-Checksum", "X-HTTP-Method-Override"):
            self.assertIn(name, answer.headers["access-control-allow-headers"])
        self.assertIn("PATCH", answer.headers["access-control-allow-methods"])
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        for name in (
            "Upload-Offset",
            "Upload-Length",
            "Upload-Defer-Length",
            "Upload-Metadata",
            "Lfs-Record",
        ):
            self.assertIn(name, exposed)

    def test_another_version_is_412_with_ours(self) -> None:
        for headers in ([], ["Tus-Resumable: 0.2.2"]):
            answer = self.door.ask(
                request("POST", "/v1/topics/t/uploads", b"", [*headers, "Upload-Length: 1"])
            )
            self.assertEqual((answer.status, answer.headers["tus-version"]), (412, "1.0.0"))

    def test_creation_needs_a_length_or_its_promise(self) -> None:
        for headers in (
            [],
            ["Upload-Length: -1"],
            ["Upload-Length: 1", "Upload-Defer-Length: 1"],
            ["Upload-Defer-Length: 2"],
            ["Upload-Length: 1", "Upload-Concat: partial"],
        ):
            self.assertEqual(self.door.create(*headers).status, 400, headers)
        self.assertNothingLeft()

    def test_too_long_is_413(self) -> None:
        self.door = TusDoor(max_upload_size=5000)
        answer = self.door.create("Upload-Length: 5001")
        self.assertEqual((answer.status, answer.json["type"]), (413, "/problems/too-large"))

    def test_an_unknown_topic_is_404(self) -> None:
        answer = self.door.ask(request("POST", "/v1/topics/none/uploads", b"", [TUS, "Upload-Length: 1"]))
        self.assertEqual((answer.status, answer.json["type"]), (404, "/problems/unknown-topic"))

    def test_bad_metadata_is_400(self) -> None:
        for text in (
            "key ***",
            "key YQ==,key YQ==",
            "name YQ==,name YQ==",
            "n\xe4me YQ==",
            "partition YQ==",
            f"filetype {encode('text/ü')}",
        ):
            self.assertEqual(
                self.door.create("Upload-Length: 1", f"Upload-Metadata: {text}").status, 400, text
            )
        self.assertNothingLeft()

    def test_metadata_become_the_record(self) -> None:
        fields = metadata(
            key="k",
            filename="ü.bin",
            filetype="image/png",
            header="a:1\nb:2",
            timestamp="1700000000000",
            checksum_algo="md5",
        )
        path = self.door.new(4, fields)
        self.assertEqual(self.door.head(path).headers["upload-metadata"], fields.partition(": ")[2])
        answer = self.door.patch(path, 0, b"data")
        envelope = self.assertPublished(b"data", answer)
        self.assertEqual((envelope["content_type"], envelope["checksum_algo"]), ("image/png", "md5"))
        (record,) = self.door.publisher.records
        self.assertEqual((record.key, record.timestamp), (b"k", 1700000000000))
        self.assertEqual(record.headers, ((b"a", b"1"), (b"b", b"2"), (b"lfs-filename", "ü.bin".encode())))

    def published(self, metadata: str) -> tuple[str, bytes | None, dict[bytes, bytes | None]]:
        """The content type, key and headers of a record with that metadata."""
        answer = self.door.create("Upload-Length: 0", f"Upload-Metadata: {metadata}")
        self.assertEqual(answer.status, 201, (metadata, answer.body))
        record = self.door.publisher.records.pop()
        return json.loads(record.value or b"")["content_type"], record.key, dict(record.headers)

    def test_other_names_are_the_client_s_own_business(self) -> None:
        for text in (
            "relativePath bnVsbA==,mime_type dGV4dC9wbGFpbg==",
            "relativePath",
            "strange ***",
            "Filename YQ==,Content-Type dGV4dC9wbGFpbg==",
            "x" * 200 + " YQ==",
            ",".join(f"n{number} YQ==" for number in range(300)),
            ",",
        ):
            self.assertEqual(self.published(text), (DEFAULT_CONTENT_TYPE, None, {}), text)

    def test_names_that_uppy_sends(self) -> None:
        name, type = encode("a.png"), encode("image/png")
        sent = f"relativePath {encode('null')},name {name},type {type},filename {name},filetype {type}"
        for text in (sent, f"name {name},type {type}", f"name {name}, type {type}, mime_type {type}"):
            self.assertEqual(self.published(text), ("image/png", None, {b"lfs-filename": b"a.png"}), text)

    def test_of_several_names_for_the_same_the_most_exact_counts(self) -> None:
        text = f"name {encode('a')},filename {encode('b')},type {encode('a/a')},filetype {encode('b/b')}"
        self.assertEqual(self.published(text), ("b/b", None, {b"lfs-filename": b"b"}))
        text += f",content_type {encode('c/c')}"
        self.assertEqual(self.published(text)[0], "c/c")

    def test_an_empty_value_is_not_given(self) -> None:
        for name in (*NAMES, "filename", "name", "filetype", "type"):
            for text in (name, f"{name} "):
                self.assertEqual(self.published(text), (DEFAULT_CONTENT_TYPE, None, {}), text)
        text = f"filetype,type {encode('image/png')},filename ,name {encode('a')}"
        self.assertEqual(self.published(text), ("image/png", None, {b"lfs-filename": b"a"}))

    def test_a_type_that_a_script_did_not_know(self) -> None:
        for name in ("filetype", "type", "content_type"):
            for value in ("undefined", "null"):
                self.assertEqual(self.published(f"{name} {encode(value)}")[0], DEFAULT_CONTENT_TYPE)

    def test_what_aiotus_sends(self) -> None:
        # As aiotus 1.1.0 writes them: a space after each comma, and a name of its own for the type.
        text = f"filename {encode('a.txt')}, mime_type {encode('text/plain')}"
        path = self.door.new(4, f"Upload-Metadata: {text}")
        self.assertEqual(self.door.head(path).headers["upload-metadata"], text)
        self.assertPublished(b"data", self.door.patch(path, 0, b"data"))

    def test_where_an_upload_is_is_a_path_whoever_is_in_front(self) -> None:
        # A whole URL would have the wrong scheme behind what ends TLS and does not say so.
        for said in (
            [],
            ["X-Forwarded-Proto: https", "X-Forwarded-Host: lfs.example"],
            ["Forwarded: proto=https"],
        ):
            answer = self.door.create("Upload-Length: 1", *said)
            self.assertRegex(answer.headers["location"], "^/v1/topics/t/uploads/[0-9a-f]{32}$")

    def test_a_preflight_is_answered_by_its_route(self) -> None:
        asked = ["Origin: https://a.example", "Access-Control-Request-Method: PATCH"]
        for path, method in (
            ("uploads/malformed", "PATCH"),
            ("uploads/" + 32 * "f", "PATCH"),
            ("uploads", "POST"),
            ("records", "POST"),
        ):
            for topic in ("t", "none", "%2e%2e", "a%20b"):
                answer = self.door.ask(request("OPTIONS", f"/v1/topics/{topic}/{path}", None, asked))
                self.assertEqual(answer.status, 204, (topic, path))
                self.assertIn(method, answer.headers["access-control-allow-methods"])
                self.assertEqual(answer.headers["access-control-allow-origin"], "*")

    def test_an_empty_upload_is_published_at_once(self) -> None:
        answer = self.door.create("Upload-Length: 0")
        self.assertEqual(answer.status, 201)
        self.assertPublished(b"", answer)

    def test_creation_with_all_bytes_publishes(self) -> None:
        answer = self.door.create(f"Upload-Length: {len(DATA)}", OFFSET, body=DATA)
        self.assertEqual((answer.status, answer.headers["upload-offset"]), (201, str(len(DATA))))
        self.assertPublished(DATA, answer)

    def test_creation_with_some_bytes_goes_on(self) -> None:
        answer = self.door.create(f"Upload-Length: {len(DATA)}", OFFSET, body=DATA[:1500])
        self.assertEqual((answer.status, answer.headers["upload-offset"]), (201, "1500"))
        self.assertPublished(DATA, self.door.patch(answer.headers["location"], 1500, DATA[1500:]))

    def test_creation_with_bytes_of_another_type_is_415(self) -> None:
        answer = self.door.create("Upload-Length: 4", body=b"data")
        self.assertEqual(answer.status, 415)
        self.assertNothingLeft()

    def test_a_store_without_conditional_writes_has_no_uploads(self) -> None:
        self.door.uploads_store.conditional = False
        answer = self.door.create("Upload-Length: 1")
        self.assertEqual((answer.status, answer.json["type"]), (501, "/problems/resumable-uploads-off"))


class PatchTests(TusTests):
    def test_pieces_of_any_size_become_one_blob(self) -> None:
        for size in (1, 7, 999, 1000, 1001, 2500, len(DATA)):
            self.door = TusDoor()
            data = DATA if size > 7 else DATA[: 30 * size]
            path = self.door.new(len(data))
            for start in range(0, len(data), size):
                piece = data[start : start + size]
                answer = self.door.patch(path, start, piece)
                self.assertEqual(
                    (answer.status, answer.headers["upload-offset"]), (204, str(start + len(piece)))
                )
            self.assertPublished(data, answer)

    def test_each_piece_may_go_through_another_replica(self) -> None:
        path = self.door.new(len(DATA), metadata(checksum=hashlib.sha256(DATA).hexdigest()))
        for start in range(0, len(DATA), 700):
            answer = self.door.replica().patch(path, start, DATA[start : start + 700])
            self.assertEqual(answer.status, 204, answer)
        self.assertPublished(DATA, answer)

    def test_the_head_of_an_upload_says_where_to_go_on(self) -> None:
        path = self.door.new(len(DATA))
        self.door.patch(path, 0, DATA[:1700])
        answer = self.door.head(path)
        self.assertEqual((answer.status, answer.body), (200, b""))
        said = {name: answer.headers[name] for name in ("upload-offset", "upload-length", "cache-control")}
        self.assertEqual(
            said, {"upload-offset": "1700", "upload-length": str(len(DATA)), "cache-control": "no-store"}
        )
        self.assertIn("upload-expires", answer.headers)

    def test_the_wrong_offset_is_409(self) -> None:
        path = self.door.new(10)
        self.door.patch(path, 0, b"1234")
        for offset in (0, 3, 5):
            self.assertEqual(self.door.patch(path, offset, b"x").status, 409)
        self.assertEqual(self.door.offset(path), 4)

    def test_another_content_type_is_415_and_no_offset_400(self) -> None:
        path = self.door.new(10)
        answer = self.door.ask(request("PATCH", path, b"x", [TUS, "Upload-Offset: 0"]))
        self.assertEqual(answer.status, 415)
        self.assertEqual(self.door.ask(request("PATCH", path, b"x", [TUS, OFFSET])).status, 400)

    def test_more_than_the_length_is_refused(self) -> None:
        path = self.door.new(10)
        self.assertEqual(self.door.patch(path, 0, b"x" * 11).status, 400)
        chunks = b"5\r\nhello\r\n6\r\nworld!\r\n0\r\n\r\n"
        wire = request("PATCH", path, None, [TUS, OFFSET, "Upload-Offset: 0", "Transfer-Encoding: chunked"])
        self.assertEqual(self.door.ask(wire + chunks).status, 413)
        self.assertEqual(self.door.publisher.records, [])

    def test_the_length_may_come_later(self) -> None:
        answer = self.door.create("Upload-Defer-Length: 1")
        path = answer.headers["location"]
        self.assertEqual(self.door.head(path).headers["upload-defer-length"], "1")
        self.assertEqual(self.door.patch(path, 0, DATA[:1200]).status, 204)
        self.assertEqual(self.door.patch(path, 1200, b"", f"Upload-Length: {len(DATA)}").status, 204)
        self.assertEqual(self.door.head(path).headers["upload-length"], str(len(DATA)))
        self.assertEqual(self.door.patch(path, 1200, b"", "Upload-Length: 9000").status, 400)
        self.assertPublished(DATA, self.door.patch(path, 1200, DATA[1200:]))

    def test_a_checksum_that_is_right_counts(self) -> None:
        path = self.door.new(len(DATA))
        for name, start in (("sha1", 0), ("md5", 1500), ("sha256", 3000)):
            piece = DATA[start : start + 1500] if start < 3000 else DATA[start:]
            digest = encode(hashlib.new(name, piece).digest())
            answer = self.door.patch(path, start, piece, f"Upload-Checksum: {name} {digest}")
            self.assertEqual(answer.status, 204)
        self.assertPublished(DATA, answer)

    def test_bytes_with_a_wrong_checksum_are_dropped(self) -> None:
        path = self.door.new(len(DATA))
        self.door.patch(path, 0, DATA[:500])
        wrong = encode(hashlib.sha1(b"other").digest())
        answer = self.door.patch(path, 500, b"\0" * 4000, f"Upload-Checksum: sha1 {wrong}")
        self.assertEqual((answer.status, self.door.offset(path)), (460, 500))
        self.assertPublished(DATA, self.door.patch(path, 500, DATA[500:]))

    def test_a_checksum_that_cannot_be_used_is_400(self) -> None:
        path = self.door.new(10)
        for text in ("crc32 AAAAAA==", "sha1 ***", "sha1 AAAA", "sha1"):
            self.assertEqual(self.door.patch(path, 0, b"x", f"Upload-Checksum: {text}").status, 400, text)

    def test_the_wrong_checksum_of_the_whole_publishes_nothing(self) -> None:
        for size in (500, len(DATA)):
            self.door = TusDoor()
            path = self.door.new(size, metadata(checksum=hashlib.sha256(b"other").hexdigest()))
            answer = self.door.patch(path, 0, DATA[:size])
            self.assertEqual((answer.status, answer.json["type"]), (400, "/problems/checksum-mismatch"))
            self.assertEqual(self.door.publisher.records, [])
            self.assertNothingLeft()
            self.assertEqual(self.door.head(path).status, 404)

    def test_a_blob_that_is_read_back_and_wrong_is_not_published(self) -> None:
        path = self.door.new(len(DATA), metadata(checksum=hashlib.sha256(b"other").hexdigest()))
        self.door.patch(path, 0, DATA[:2500])
        other = self.door.replica()
        self.assertEqual(other.patch(path, 2500, DATA[2500:]).status, 400)
        self.assertEqual(other.metrics.of("checksum_mismatch"), [("tus",)])
        self.assertEqual(self.door.publisher.records, [])
        self.assertNothingLeft()

    def test_the_method_can_be_overridden(self) -> None:
        path = self.door.new(4)
        overridden = ["X-HTTP-Method-Override: PATCH", TUS, OFFSET, "Upload-Offset: 0"]
        self.assertPublished(b"data", self.door.ask(request("POST", path, b"data", overridden)))
        self.assertEqual(self.door.ask(request("POST", path, b"", [TUS])).status, 405)


del TusTests

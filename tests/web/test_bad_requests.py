"""Every way an upload can be asked for wrongly is a 400 that says what is wrong, and publishes nothing."""

from __future__ import annotations

import base64
import hashlib

from twisted.trial.unittest import SynchronousTestCase

from tests.web.doubles import Answer, Door, chunked, form, request

FORM_TYPE = "Content-Type: multipart/form-data; boundary=b"


class BadRequestTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.door = Door()

    def assertBad(self, wire: bytes, detail: str, problem: str = "bad-request") -> Answer:
        answer = self.door.ask(wire)
        self.assertEqual(answer.status, 400, answer.body)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        self.assertEqual(answer.json["type"], f"/problems/{problem}")
        self.assertRegex(answer.json["detail"], detail)
        self.assertEqual(self.door.publisher.records, [])
        self.assertEqual(self.door.store.blobs, {})
        self.assertEqual(self.door.budget.used, 0)
        return answer

    def assertBadQuery(self, query: str, detail: str, problem: str = "bad-request") -> None:
        self.assertBad(request(path=f"/v1/topics/t/records?{query}", body=b"x"), detail, problem)

    def assertBadForm(self, *parts: tuple[str, str | None, bytes], detail: str) -> None:
        body, content_type = form(*parts)
        self.assertBad(request(body=body, headers=[content_type]), detail)

    def test_topic_name(self) -> None:
        for name in ("a%20b", "%2e%2e", ".", "a" * 250, "caf%C3%A9", "a:b"):
            self.assertBad(request(path=f"/v1/topics/{name}/records"), "is not a topic name")

    def test_a_path_that_is_not_utf8(self) -> None:
        self.assertBad(request(path="/v1/topics/%ff/records"), "not UTF-8")

    def test_unknown_option_in_the_query(self) -> None:
        self.assertBadQuery("colour=red", "'colour' is not an option; these are: key, ")

    def test_unknown_option_in_the_form(self) -> None:
        self.assertBadForm(("colour", None, b"red"), ("file", "f", b"x"), detail="'colour' is not an option")

    def test_the_same_option_twice(self) -> None:
        self.assertBadQuery("key=a&key=a", "key is given more than once")
        self.assertBadForm(
            ("key", None, b"a"),
            ("key", None, b"b"),
            ("file", "f", b"x"),
            detail="key is given more than once",
        )

    def test_the_same_option_in_query_and_form(self) -> None:
        body, content_type = form(("key", None, b"a"), ("file", "f", b"x"))
        self.assertBad(
            request(path="/v1/topics/t/records?key=a", body=body, headers=[content_type]),
            "key is given more than once",
        )

    def test_key_with_key_base64(self) -> None:
        self.assertBadQuery("key=a&key_base64=YQ==", "key and key_base64")

    def test_key_that_is_not_base64(self) -> None:
        self.assertBadQuery("key_base64=a", "key_base64 is not base64: 'a'")
        self.assertBadQuery("key_base64=%C3%A9%C3%A9", "key_base64 is not base64")

    def test_partition(self) -> None:
        for value in ("-1", "x", "", "2147483648", "1.0", "%D9%A1", "99999999999999999999"):
            self.assertBadQuery(f"partition={value}", "partition is '.*': a whole number from 0 to")

    def test_a_partition_that_does_not_exist(self) -> None:
        self.assertBadQuery("partition=3", "partition 3 of t does not exist, it has 3")

    def test_timestamp(self) -> None:
        for value in ("-1", "now", "9223372036854775808"):
            self.assertBadQuery(f"timestamp={value}", "timestamp is")

    def test_a_timestamp_in_seconds(self) -> None:
        for value in ("1", "1700000000", "9999999999", "0001700000000"):
            self.assertBadQuery(
                f"timestamp={value}",
                f"timestamp is '{value}', which looks like seconds: milliseconds since 1970 are needed",
            )

    def test_header(self) -> None:
        for value in ("no-colon", ":value", "%FF:value"):
            self.assertBadQuery(f"header={value}", "header")

    def test_headers_that_would_offload_the_envelope_again(self) -> None:
        for name in ("LFS_BLOB", "LFS_BLOB_ALG"):
            self.assertBadQuery(f"header={name}:", f"the header {name} is for Kafka clients")

    def test_content_type(self) -> None:
        for value in ("", "a%0Ab", "a%00", "%C3%A9", "x" * 256, "a%20"):
            self.assertBadQuery(f"content_type={value}", "the content type is")

    def test_content_type_of_the_request(self) -> None:
        self.assertBad(request(headers=["Content-Type: caf\xe9"]), "the content type is")

    def test_two_content_types(self) -> None:
        self.assertBad(
            request(headers=["Content-Type: a/b", FORM_TYPE]), "Content-Type is given more than once"
        )

    def test_a_piece_of_a_file(self) -> None:
        self.assertBad(
            request(headers=["Content-Range: bytes 0-0/10"], body=b"x"), "Content-Range is not taken"
        )

    def test_a_part_in_a_transfer_encoding(self) -> None:
        head = b'--b\r\nContent-Disposition: form-data; name="file"\r\nContent-Transfer-Encoding: '
        body = head + b"base64\r\n\r\neA==\r\n--b--\r\n"
        self.assertBad(request(headers=[FORM_TYPE], body=body), "'file' is in 'base64'")
        body = head + b"8BIT\r\n\r\nx\r\n--b--\r\n"
        self.assertEqual(self.door.ask(request(headers=[FORM_TYPE], body=body)).status, 201)

    def test_a_method_in_small_letters(self) -> None:
        self.assertBad(request(method="post", body=b"x"), "methods are written in capitals")

    def test_checksum(self) -> None:
        self.assertBadQuery("checksum=00", "a sha256 checksum is 64 hex digits", "invalid-checksum")
        self.assertBadQuery("checksum=", "a sha256 checksum is 64 hex digits", "invalid-checksum")
        self.assertBadQuery("checksum=zz&checksum_algo=crc32", "8 hex digits", "invalid-checksum")

    def test_checksum_algorithm(self) -> None:
        self.assertBadQuery("checksum_algo=sha1", "unknown checksum algorithm 'sha1'", "invalid-checksum")

    def test_too_many_options(self) -> None:
        self.assertBadQuery("&".join(["header=a:b"] * 257), "more than 256 options")

    def test_an_option_after_the_file(self) -> None:
        self.assertBadForm(("file", "f", b"x"), ("key", None, b"k"), detail="'key' comes after the file")

    def test_two_files(self) -> None:
        self.assertBadForm(("file", "f", b"x"), ("file", "g", b"y"), detail="more than one 'file' part")

    def test_no_file(self) -> None:
        self.assertBadForm(("key", None, b"x"), detail="no 'file' part")

    def test_an_empty_form(self) -> None:
        self.assertBad(request(headers=[FORM_TYPE], body=b"--b--\r\n"), "no 'file' part")
        self.assertBad(request(headers=[FORM_TYPE], body=b""), "the form is broken")

    def test_a_form_without_boundary(self) -> None:
        for parameters in ("", "; boundary=", '; boundary=""', "; boundary=" + "x" * 201):
            self.assertBad(request(headers=[f"Content-Type: multipart/form-data{parameters}"]), "boundary")

    def test_a_form_without_its_closing_boundary(self) -> None:
        body, content_type = form(("file", "f", b"x"))
        for cut in (3, 4, 6, 12):
            self.assertBad(request(body=body[:-cut], headers=[content_type]), "the form is broken")

    def test_a_form_with_text_after_its_boundary(self) -> None:
        self.assertBad(request(headers=[FORM_TYPE], body=b"--bxx\r\n\r\n"), "the form is broken")

    def test_a_form_with_a_part_that_is_no_field(self) -> None:
        body = b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n"
        self.assertBad(request(headers=[FORM_TYPE], body=body), "the form is broken: Missing Content-Disp")

    def test_a_form_with_a_filename_that_is_not_utf8(self) -> None:
        body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="\xff"\r\n\r\nx\r\n--b--\r\n'
        self.assertBad(request(headers=[FORM_TYPE], body=body), "the file's name is not UTF-8")

    def test_a_form_in_which_no_file_was_chosen(self) -> None:
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename=""\r\n'
        for more in (b"", b"Content-Type: application/octet-stream\r\n"):
            body = head + more + b"\r\n\r\n--b--\r\n"
            self.assertBad(request(headers=[FORM_TYPE], body=body), "no file was chosen")
        spelt = head.replace(b'filename=""', b'size=0; filename=""')
        self.assertBad(request(headers=[FORM_TYPE], body=spelt + b"\r\n\r\n--b--\r\n"), "no file was chosen")

    def test_a_multipart_body_that_is_no_form(self) -> None:
        body, _ = form(("file", "f", b"x"))
        for given in (
            "multipart/mixed; boundary=bOuNd",
            "multipart/form-data, boundary=bOuNd",
            "multipart/form-data,boundary=bOuNd",
            "Multipart/Related; boundary=bOuNd",
            "multipart/x",
            "multipart/form-data boundary=bOuNd",
        ):
            self.assertBad(
                request(headers=[f"Content-Type: {given}"], body=body),
                "a form is multipart/form-data; boundary",
            )

    def test_a_form_with_too_much_besides_its_file(self) -> None:
        self.assertBadForm(
            ("key", None, bytes(70_000)), ("file", "f", b"x"), detail="more than 65536 bytes besides"
        )

    def test_a_form_with_too_much_after_its_file(self) -> None:
        body, content_type = form(("file", "f", b"x"))
        self.assertBad(
            request(body=body + bytes(70_000), headers=[content_type]), "more than 65536 bytes besides"
        )

    def test_a_form_with_too_much_before_its_first_part(self) -> None:
        self.assertBad(request(headers=[FORM_TYPE], body=b"x" * 70_000), "more than 65536 bytes besides")

    def test_a_form_with_an_endless_header(self) -> None:
        body = b"--b\r\nX-Long: " + b"x" * 9000 + b"\r\n\r\n"
        self.assertBad(request(headers=[FORM_TYPE], body=body), "the form is larger than is read")

    def test_malformed_chunks(self) -> None:
        head = request(body=None, headers=["Transfer-Encoding: chunked"])
        for body in (b"zz\r\n", b"-1\r\nx", b"1\r\nxx\r\n", b"1" * 2000):
            answer = self.assertBad(head + body, "chunks of the body are malformed")
            self.assertEqual(answer.headers["connection"], "close")

    def test_content_digests(self) -> None:
        for header in (
            "Content-Digest: sha-256",
            "Content-Digest: sha-256=abc",
            "Content-Digest: sha-256=:AAAA:",
            "Content-Digest: sha-256=:*:",
            "Content-Digest: ",
            "Repr-Digest: sha-256=:AAAA:,",
            "Content-MD5: AAAA",
            "Content-MD5: *",
            "Content-MD5: caf\xe9",
        ):
            self.assertBad(
                request(headers=[header], body=b"x"),
                "(malformed|base64|bytes are needed)",
                "invalid-checksum",
            )

    def test_a_digest_that_does_not_match(self) -> None:
        other = base64.b64encode(hashlib.sha256(b"y").digest()).decode()
        md5 = base64.b64encode(hashlib.md5(b"y").digest()).decode()
        for header in (
            f"Content-Digest: sha-256=:{other}:",
            f"Repr-Digest: md5=:{md5}:",
            f"Content-MD5: {md5}",
        ):
            answer = self.assertBad(
                request(headers=[header], body=b"x"), "of the bytes is", "checksum-mismatch"
            )
            self.assertIn("expected", answer.json)
            body, content_type = form(("file", "f", b"x"))
            self.assertBad(
                request(headers=[header, content_type], body=body), "of the bytes is", "checksum-mismatch"
            )


class DigestTests(SynchronousTestCase):
    def test_digests_cover_the_content(self) -> None:
        body, content_type = form(("file", "f", b"x"))
        for content, headers in ((body, [content_type]), (b"plain", [])):
            sha256 = base64.b64encode(hashlib.sha256(content).digest()).decode()
            md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
            digests = [
                f"Content-Digest: sha-256=:{sha256}:, unixsum=:AA==:;a=1;b",
                f"Repr-Digest: md5=:{md5}:",
                f"Content-MD5: {md5}",
            ]
            answer = Door().ask(request(body=content, headers=[*headers, *digests]))
            self.assertEqual(answer.status, 201, answer.body)
            self.assertEqual(answer.json["envelope"]["checksum_algo"], "sha256")

    def test_digests_cover_a_chunked_content(self) -> None:
        md5 = base64.b64encode(hashlib.md5(b"onetwo").digest()).decode()
        head = request(body=None, headers=["Transfer-Encoding: chunked", f"Content-MD5: {md5}"])
        self.assertEqual(Door().ask(head + chunked(b"one", b"two")).status, 201)
        self.assertEqual(Door().ask(head + chunked(b"one", b"three")).status, 400)

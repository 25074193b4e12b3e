"""Bytes that are no text, in every field of every request: no answer shows Python's notation."""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Iterator

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.quoting import quoted
from lfsproxy.web.schemas import OPTIONS
from tests.web.doubles import OPERATIONS, Answer
from tests.web.tus_door import OFFSET, TUS, TusDoor

BROKEN = {
    "Latin-1": b"r\xe9sum\xe9.txt",
    "invalid UTF-8": b"\xff\xfe\xc3/",
    "cut UTF-8": "€".encode()[:2],
    "NUL": b"a\0b",
    "lone surrogate": "\ud800".encode("utf-8", "surrogatepass"),
    "overlong": b"\xc0\xaf",
    "controls": b"\x01\x1b[31m\x7f",
    "quotes": b'it\'s \\ "so"',
    "very long": b"x" * 3000,
    "long and broken": b"\xff" * 3000,
}

PYTHON = re.compile(
    r"(?:^|[\s(\[{,:])b['\"]|Error\(|codec can't|object at 0x|[A-Za-z]Error\b|\('|\(\"|Traceback"
    r"|\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|\bNone\b"
)

RECORDS = b"/v1/topics/t/records"
UPLOADS = b"/v1/topics/t/uploads"
HEADERS = (
    "Accept", "Authorization", "Content-Digest", "Content-MD5", "Content-Range", "Content-Type", "Expect",
    "Host", "If-Match", "If-None-Match", "If-Range", "Origin", "Range", "Repr-Digest", "Tus-Resumable",
    "Upload-Checksum", "Upload-Concat", "Upload-Defer-Length", "Upload-Length", "Upload-Metadata",
    "Upload-Offset", "X-HTTP-Method-Override", "X-Request-ID", "Access-Control-Request-Method",
)  # fmt: skip

PART_HEADERS = (
    b'Content-Disposition: form-data; name="%s"',
    b'Content-Disposition: form-data; name="file"; filename="%s"',
    b"Content-Disposition: form-data; name=file; filename=%s",
    b"Content-Disposition: form-data; name=file; filename*=UTF-8''%s",
    b"Content-Disposition: %s",
    b'Content-Disposition: form-data; name="file"; filename="a"\r\nContent-Type: %s',
    b'Content-Disposition: form-data; name="file"; filename="a"\r\nContent-Transfer-Encoding: %s',
    b'Content-Disposition: form-data; name="file"; filename="a"\r\nContent-Length: %s',
    b'Content-Disposition: form-data; name="file"; filename="a"\r\n%s: x',
    b"%s",
)


def wire(method: str, path: bytes, body: bytes | None = None, *headers: bytes) -> bytes:
    lines = [method.encode() + b" " + path + b" HTTP/1.1", *headers]
    if not any(header.startswith(b"Host:") for header in headers):
        lines.append(b"Host: localhost")
    if body is not None:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


def escaped(data: bytes) -> bytes:
    return b"".join(b"%%%02X" % byte for byte in data)


def form(part: bytes, content: bytes = b"x") -> bytes:
    body = b"--b\r\n" + part + b"\r\n\r\n" + content + b"\r\n--b--\r\n"
    return wire("POST", RECORDS, body, b"Content-Type: multipart/form-data; boundary=b")


def creation(name: bytes, value: bytes) -> bytes:
    metadata = b"Upload-Metadata: " + name + b" " + base64.b64encode(value)
    return wire("POST", UPLOADS, b"", TUS.encode(), b"Upload-Length: 1", metadata)


def paths() -> Iterator[tuple[str, bytes, str]]:
    """Every operation's method and path, with a mark for each parameter; and the parameter's name."""
    for operation in OPERATIONS:
        for name in re.findall(r"\{(\w+)\}", operation.path):
            path = operation.path.replace("{" + name + "}", "@")
            for other, value in (("topic", "t"), ("partition", "0"), ("offset", "0"), ("id", "0" * 32)):
                path = path.replace("{" + other + "}", value)
            yield operation.method, path.encode(), name


def in_the_path(broken: bytes) -> Iterator[tuple[str, bytes]]:
    for method, path, name in paths():
        there = path.replace(b"@", escaped(broken))
        override = [b"X-HTTP-Method-Override: DELETE"] if method == "POST" else []
        yield f"{method} {name}", wire(method, there, b"", TUS.encode(), *override)
    raw = broken.replace(b"\0", b"").replace(b" ", b"")
    yield "method", wire("BAD", b"/").replace(b"BAD", raw, 1)
    yield "path", wire("GET", b"/" + escaped(broken))
    yield "raw path", wire("GET", b"/v1/topics/" + raw + b"/records")
    yield "raw query", wire("POST", RECORDS + b"?key=" + raw, b"x")


def in_options(broken: bytes) -> Iterator[tuple[str, bytes]]:
    for option in OPTIONS:
        name = option.name.encode()
        yield f"query {option.name}", wire("POST", RECORDS + b"?" + name + b"=" + escaped(broken), b"x")
        yield f"field {option.name}", form(PART_HEADERS[0] % name, broken)
        yield f"metadata {option.name}", creation(name, broken)
    for name in (b"filename", b"name", b"filetype", b"type", b"other"):
        yield f"metadata {name.decode()}", creation(name, broken)
    yield "query's name", wire("POST", RECORDS + b"?" + escaped(broken) + b"=1", b"x")
    yield "header's name", wire("POST", RECORDS + b"?header=" + escaped(broken) + b":1", b"x")
    yield "header's value", wire("POST", RECORDS + b"?header=a:" + escaped(broken), b"x")
    yield "download's query", wire("GET", b"/v1/topics/t/partitions/0/records/0?" + escaped(broken))
    yield "presign", wire("GET", b"/v1/topics/t/partitions/0/records/0?presign=" + escaped(broken))


def in_headers(broken: bytes) -> Iterator[tuple[str, bytes]]:
    for number, template in enumerate(PART_HEADERS):
        yield f"part {number}", form(template % broken)
    yield (
        "boundary",
        wire("POST", RECORDS, b"--b--", b"Content-Type: multipart/form-data; boundary=" + broken),
    )
    patched = [TUS.encode(), OFFSET.encode(), b"Upload-Offset: 0"]
    for name in HEADERS:
        line = name.encode() + b": " + broken
        for method, path, body, others in (
            ("POST", RECORDS, b"x", []),
            ("POST", UPLOADS, b"", [TUS.encode(), b"Upload-Length: 1"]),
            ("PATCH", UPLOADS + b"/" + b"0" * 32, b"x", patched),
            ("GET", b"/v1/topics/t/partitions/0/records/0", None, []),
        ):
            kept = [other for other in others if not other.startswith(name.encode() + b":")]
            yield f"{method} {path.decode()} {name}", wire(method, path, body, *kept, line)


class BrokenBytesTests(SynchronousTestCase):
    def answer(self, door: TusDoor, request: bytes) -> Answer | None:
        client = door.client()
        client.send(request)
        raw = client.received
        # What cannot be read at all is answered barely, or not at all.
        return client.answer(head=request.startswith(b"HEAD")) if b"\r\n\r\n" in raw else None

    def test_no_answer_shows_pythons_notation(self) -> None:
        door = TusDoor()
        door.ask(wire("POST", RECORDS, b"data"))
        told = 0
        for kind, broken in BROKEN.items():
            for place, request in (*in_the_path(broken), *in_options(broken), *in_headers(broken)):
                answer = self.answer(door, request)
                if answer is None or answer.status < 400:
                    continue
                self.assertNotEqual(answer.status, 500, (kind, place, answer.body))
                shown = answer.body.decode("utf-8") + "\n".join(answer.headers.values())
                found = PYTHON.search(shown)
                self.assertIsNone(found, (kind, place, found and found[0], shown))
                told += bool(answer.body)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertGreater(told, 800)

    def test_no_answer_about_an_envelope_does(self) -> None:
        good = {
            "lfs_version": 1, "s3_bucket": "kafscale", "s3_key": "lfs/default/t/0/0-x.bin",
            "content_type": "a/b", "content_length": 1, "checksum_algo": "sha256", "checksum": "0" * 64,
        }  # fmt: skip
        values = (None, True, 1.5, [None, "a"], {"a": None}, "\ud800", "a\0\x1b", "é\\'\"", "x" * 3000, -1, 0)
        door = TusDoor()
        told = 0
        for name, value in itertools.product(good, values):
            door.publisher.records.clear()
            text = json.dumps({**good, name: value})
            record = self.successResultOf(
                Deferred.fromCoroutine(door.publisher.publish("t", 0, None, text.encode(), [], None))
            )
            for way in ("", "/envelope"):
                path = f"/v1/topics/t/partitions/0/records/{record.offset}{way}".encode()
                answer = door.ask(wire("GET", path))
                if answer.status >= 400:
                    told += 1
                    self.assertIsNone(PYTHON.search(answer.body.decode()), (name, value, answer.body))
        self.assertGreater(told, 60)

    def test_a_file_name_in_latin_1_is_told_in_a_sentence(self) -> None:
        for number, name, said in (
            (0, b"\xe9", "the name of a form's field is not UTF-8: '\ufffd'"),
            (1, b"r\xe9sum\xe9.txt", "the file's name is not UTF-8: 'r\ufffdsum\ufffd.txt'"),
            (
                2,
                b"r\xe9",
                "a header of a form's part is not UTF-8: "
                "'Content-Disposition: form-data; name=file; filename=r\ufffd'",
            ),
        ):
            answer = TusDoor().ask(form(PART_HEADERS[number] % name))
            self.assertEqual((answer.status, answer.json["detail"]), (400, said))


class QuotedTests(SynchronousTestCase):
    def test_text_stands_in_quotes_as_it_is(self) -> None:
        self.assertEqual(quoted("grün's"), "'grün's'")
        self.assertEqual(quoted("grün".encode()), "'grün'")

    def test_what_cannot_be_shown_is_shown_by_a_sign(self) -> None:
        self.assertEqual(quoted(b"\xfcber"), "'\ufffdber'")
        self.assertEqual(quoted("a\0b\n\x7f"), "'a\u2400b\u240a\u2421'")
        self.assertEqual(quoted("\ud800\u202e"), "'\ufffd\ufffd'")

    def test_only_the_beginning_of_a_long_one_is_shown(self) -> None:
        self.assertEqual(quoted("x" * 81), f"'{'x' * 80}…'")
        self.assertEqual(quoted("é".encode() * 81), f"'{'é' * 80}…'")
        self.assertEqual(quoted("x" * 80), f"'{'x' * 80}'")
        self.assertEqual(quoted("xyz", most=2), "'xy…'")

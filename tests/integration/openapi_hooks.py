"""What schemathesis has to know of the world that the OpenAPI document cannot say (its SCHEMATHESIS_HOOKS).

The parts of a request that are meant to be right name the topic LFS_TEST_TOPIC, partitions and records that
exist, checksums that are those of the bytes, and one of the options that exclude each other. A part that is
meant to be wrong is sent as it was made.
"""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from typing import Any

import schemathesis
from requests import Request

TOPIC = os.environ.get("LFS_TEST_TOPIC", "")
RECORDS_THERE = int(os.environ.get("LFS_TEST_RECORDS", "1"))
PARTITIONS = int(os.environ.get("LFS_TEST_PARTITIONS", "1"))
RECORDS = "/v1/topics/{topic}/records"
UPLOADS = "/v1/topics/{topic}/uploads"
PLACE = "/v1/topics/{topic}/partitions/{partition}/records/{offset}"
OFFSET_TYPE = "application/offset+octet-stream"
DIGESTS = ("Content-Digest", "Repr-Digest", "Content-MD5")


schemathesis.serializer.alias(OFFSET_TYPE, "application/octet-stream")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Make the parts of a case that are right by the schema right in this world, too."""
    if case.meta is None:
        return
    wrong = {place.value for place, part in case.meta.components.items() if part.mode.is_negative}
    if "path" not in wrong and "topic" in (case.path_parameters or {}):
        case.path_parameters["topic"] = TOPIC
    if not case.meta.generation.mode.is_positive:
        return
    if case.path.startswith(PLACE) and not wrong:
        make_found(case)
    if case.path.startswith(UPLOADS) and case.method in ("POST", "PATCH"):
        # Also where a header is counted as wrong: the coverage phase has 0 for a pattern it cannot meet.
        make_upload_true(case)
    elif case.path == RECORDS and not wrong:
        make_true(case, kwargs)


def make_true(case: Any, kwargs: dict[str, Any]) -> None:
    """Let the options of an upload agree with each other, and its checksums with its bytes."""
    arguments = case.as_transport_kwargs()
    query, headers = case.query or {}, case.headers or {}
    is_form = case.media_type == "multipart/form-data"
    # Fields are sent in their order, and the file has to be the last.
    fields = sorted(arguments.get("files") or (), key=lambda field: field[0] == "file") if is_form else []
    content = b"" if is_form else content_of(arguments)
    for name in DIGESTS:
        if name in headers and is_form:
            # A form's boundary is drawn when it is sent: its digest cannot be told before.
            del headers[name]
        elif name in headers:
            headers[name] = digest_of(name, content)

    names = {name for name, _ in fields}
    fields = [field for field in fields if field[0] != "key_base64" or "key" not in names]
    form = {name: text_of(value) for name, value in fields if name not in ("file", "header")}
    for name in list(query):
        if name != "header" and exclusive(name) in {exclusive(other) for other in form}:
            del query[name]
    if "key" in query and "key_base64" in query:
        del query["key_base64"]
    data = next((bytes_of(value) for name, value in fields if name == "file"), content)
    algorithm = {**query, **form}.get("checksum_algo", "sha256")
    for options in (query, form):
        if "partition" in options:
            options["partition"] = str(int(options["partition"]) % PARTITIONS)
        if "checksum" in options:
            options["checksum"] = checksum_of(algorithm, data)
    if is_form:
        # Not in case.body: schemathesis takes one with bytes in it that a hook has changed for a wrong one.
        kwargs["files"] = [(name, (None, form[name]) if name in form else value) for name, value in fields]


def make_upload_true(case: Any) -> None:
    """Let a resumable upload be as long as its bytes, or longer, and its metadata those of a record."""
    headers, content = case.headers, content_of(case.as_transport_kwargs())
    if "Upload-Length" in headers:
        headers["Upload-Length"] = str(len(content) + int(headers["Upload-Length"]) % 3)
        headers.pop("Upload-Defer-Length", None)
    if "Upload-Metadata" in headers:
        headers["Upload-Metadata"] = f"key {base64.b64encode(headers['Upload-Metadata'].encode()).decode()}"
    if "Upload-Checksum" in headers:
        digest = hashlib.sha1(content).digest()
        headers["Upload-Checksum"] = f"sha1 {base64.b64encode(digest).decode()}"
    if case.path != UPLOADS:
        headers["Upload-Offset"] = "0"
    elif "Upload-Length" not in headers:
        headers["Upload-Defer-Length"] = "1"


def make_found(case: Any) -> None:
    """Let a download be of one of the records that were put into partition 0 before."""
    offset = int(case.path_parameters["offset"])
    case.path_parameters["partition"] = 0
    if "If-Match" in (case.headers or {}):
        case.headers["If-Match"] = "*"
    case.path_parameters["offset"] = offset % RECORDS_THERE


def exclusive(name: str) -> str:
    """Of the options with the same one, only one may be given."""
    return "key" if name == "key_base64" else name


def content_of(arguments: dict[str, Any]) -> bytes:
    """The request's content as it will be sent."""
    body = {name: arguments[name] for name in ("data", "json") if arguments.get(name) is not None}
    content: Any = Request("POST", "http://localhost", **body).prepare().body or b""
    return content if isinstance(content, bytes) else bytes(content, "utf-8")


def bytes_of(field: Any) -> bytes:
    """A form field's value as requests sends it: alone, or after a file name."""
    value = field[1] if isinstance(field, tuple) else field
    return value if isinstance(value, bytes) else str(value).encode()


def text_of(field: Any) -> str:
    """The same of an option."""
    return bytes_of(field).decode()


def checksum_of(algorithm: str, data: bytes) -> str:
    """In hex, as the option ``checksum`` has it."""
    if algorithm == "crc32":
        return f"{zlib.crc32(data):08x}"
    return hashlib.new(algorithm, data).hexdigest()


def digest_of(name: str, content: bytes) -> str:
    """The value of a header that covers the request's content."""
    if name == "Content-MD5":
        return base64.b64encode(hashlib.md5(content).digest()).decode()
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"

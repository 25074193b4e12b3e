"""The objects and unfinished uploads of an S3 server, and what it answers to each operation.

It checks what a real store checks: checksums, If-None-Match, ETags of parts.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import formatdate
from urllib.parse import quote_plus
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import attrs
from crc32c import crc32c

BUCKET = "kafscale"
MOST_LISTED = 1000

OF_NEW_OBJECTS = {
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-bucket-key-enabled",
    "x-amz-storage-class",
    "x-amz-tagging",
}
MAKING = {"put_object", "create_multipart_upload"}
"""Operations that take these header fields."""

Reply = tuple[int, dict[str, str], bytes]
"""Status, headers and body of an answer."""


@attrs.define
class Request:
    """A request whose headers have come."""

    operation: str
    method: str
    bucket: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    connection: int
    received: int = 0

    @property
    def access_key(self) -> str:
        """Whose signature it has."""
        return self.headers.get("authorization", "").partition("Credential=")[2].partition("/")[0]


@attrs.frozen
class StoredObject:
    """An object: its bytes, the headers it was made with, and its checksum as S3 would tell it. ``parts`` are
    the sizes of those that it was made of; ``checksum_type`` is empty where S3 does not name it. ``weak``: a
    program in front of the store has made its ETag a weak one."""

    data: bytes
    headers: dict[str, str]
    checksum: str | None
    written: float = 0.0
    parts: tuple[int, ...] = ()
    checksum_type: str = ""
    weak: bool = False

    @property
    def etag(self) -> str:
        """As S3 makes it: that of an object of parts has their number behind it, and that of one that is
        encrypted with a key of the KMS is no MD5."""
        by_kms = self.headers.get("x-amz-server-side-encryption", "").startswith("aws:kms")
        etag = _etag(b"not its bytes" + self.data) if by_kms else _etag(self.data)
        etag = f'{etag[:-1]}-{len(self.parts)}"' if self.parts else etag
        return f"W/{etag}" if self.weak else etag

    def told(self, request: Request) -> dict[str, str]:
        """The fields of its checksum, for who asks for them."""
        if self.checksum is None or "x-amz-checksum-mode" not in request.headers:
            return {}
        kind = {"x-amz-checksum-type": self.checksum_type} if self.checksum_type else {}
        return {"x-amz-checksum-crc32c": self.checksum, **kind}

    def matches(self, request: Request) -> bool:
        """Whether it is what If-Match wants, if the request has that: a weak ETag matches nothing."""
        wanted = request.headers.get("if-match")
        return wanted is None or (wanted == self.etag and not self.weak)


@attrs.define
class OpenUpload:
    """A multipart upload and its parts by number."""

    key: str
    headers: dict[str, str]
    begun: float
    parts: dict[int, tuple[bytes, str, int]] = attrs.Factory(dict)


class FakeBucket:
    """``seconds`` is the server's time, since the epoch. ``encodes`` False: it knows no encoding-type.

    ``full_object`` is what becomes of a multipart upload of that checksum type: kept, refused or ignored.
    ``knows_parts`` False: it does not answer to HEAD of one part. ``accepted`` are the access keys that it
    takes, None for any; the token of another one has expired. ``encrypts`` False: it takes the header fields
    that ask for it, and does not. ``deletes_many`` False: it does not know DeleteObjects, which leaves
    those of ``locked``.
    """

    def __init__(self) -> None:
        self.objects: dict[str, StoredObject] = {}
        self.uploads: dict[str, OpenUpload] = {}
        self.knows_ranges = True
        self.encodes = True
        self.full_object = "kept"
        self.knows_parts = True
        self.encrypts = True
        self.accepted: set[str] | None = None
        self.deletes_many = True
        self.locked: set[str] = set()
        self.seconds = 1_700_000_000.0
        self._next_id = 0

    def do(self, request: Request, body: bytes) -> Reply:
        """Do what a request asks for: status, headers, body."""
        if self.accepted is not None and request.access_key not in self.accepted:
            return error_answer(400, "ExpiredToken")
        if request.bucket != BUCKET:
            return error_answer(404, "NoSuchBucket")
        if OF_NEW_OBJECTS & set(request.headers) and request.operation not in MAKING:
            return error_answer(400, "InvalidArgument")
        crc = request.headers.get("x-amz-checksum-crc32c") if request.method == "PUT" else None
        if crc is not None and crc != _encode(crc32c(body)):
            return error_answer(400, "BadDigest")
        return getattr(self, request.operation)(request, body)  # type: ignore[no-any-return]

    def head_bucket(self, request: Request, body: bytes) -> Reply:
        return 200, {}, b""

    def put_object(self, request: Request, body: bytes) -> Reply:
        if request.headers.get("if-none-match") == "*" and request.key in self.objects:
            return error_answer(412, "PreconditionFailed")
        crc = request.headers.get("x-amz-checksum-crc32c")
        kind = "FULL_OBJECT" if crc else ""
        self.objects[request.key] = StoredObject(body, request.headers, crc, self.seconds, (), kind)
        return 200, {"ETag": self.objects[request.key].etag, **self._encrypted(request.headers)}, b""

    def _encrypted(self, made_with: dict[str, str]) -> dict[str, str]:
        """What is told of an object's encryption."""
        name = "x-amz-server-side-encryption"
        return {name: made_with[name]} if name in made_with and self.encrypts else {}

    def head_object(self, request: Request, body: bytes) -> Reply:
        stored = self.objects.get(request.key)
        if stored is None:
            return 404, {}, b""
        headers = {"ETag": stored.etag, **self._encrypted(stored.headers)}
        if not stored.matches(request):
            return 412, {}, b""
        number = int(request.query.get("partNumber", "0"))
        checksum = stored.checksum if "x-amz-checksum-mode" in request.headers else None
        if number and not self.knows_parts:
            return 501, {}, b""
        if number and stored.parts:
            start = sum(stored.parts[: number - 1])
            part = stored.data[start : start + stored.parts[number - 1]]
            told = {"x-amz-checksum-crc32c": _encode(crc32c(part))} if checksum else {}
            return 206, {**headers, "Content-Length": str(len(part)), **told}, b""
        return 200, {**headers, "Content-Length": str(len(stored.data)), **stored.told(request)}, b""

    def get_object(self, request: Request, body: bytes) -> Reply:
        stored = self.objects.get(request.key)
        if stored is None:
            return error_answer(404, "NoSuchKey")
        etag = stored.etag
        if not stored.matches(request):
            return error_answer(412, "PreconditionFailed")
        asked = request.headers.get("range", "").removeprefix("bytes=")
        if not asked or not self.knows_ranges:
            return 200, {"ETag": etag, **stored.told(request)}, stored.data
        first, _, last = asked.partition("-")
        data = stored.data[int(first) : int(last) + 1 if last else None]
        if not data:
            return error_answer(416, "InvalidRange")
        shown = f"bytes {first}-{int(first) + len(data) - 1}/{len(stored.data)}"
        return 206, {"ETag": etag, "Content-Range": shown}, data

    def delete_object(self, request: Request, body: bytes) -> Reply:
        self.objects.pop(request.key, None)
        return 204, {}, b""

    def delete_objects(self, request: Request, body: bytes) -> Reply:
        if not self.deletes_many:
            return error_answer(501, "NotImplemented")
        digest = base64.b64encode(hashlib.md5(body).digest()).decode()
        if request.headers.get("content-md5") != digest:
            return error_answer(
                400, "InvalidDigest" if "content-md5" in request.headers else "InvalidRequest"
            )
        keys = [each.text or "" for each in ElementTree.fromstring(body).iter() if each.tag.endswith("}Key")]
        if len(keys) > MOST_LISTED:
            return error_answer(400, "MalformedXML")
        shown = ""
        for key in keys:
            if key in self.locked:
                said = "<Code>AccessDenied</Code><Message>it is locked</Message>"
                shown += f"<Error><Key>{escape(key)}</Key>{said}</Error>"
            else:
                self.objects.pop(key, None)
        return 200, {}, _xml("DeleteResult", shown)

    def create_multipart_upload(self, request: Request, body: bytes) -> Reply:
        kind = request.headers.get("x-amz-checksum-type", "")
        if kind == "FULL_OBJECT" and self.full_object != "kept":
            if self.full_object == "refused":
                return error_answer(400, "InvalidRequest")
            kind = ""
        self._next_id += 1
        upload_id = f"upload+{self._next_id}/="
        headers = {**request.headers, "x-amz-checksum-type": kind}
        self.uploads[upload_id] = OpenUpload(request.key, headers, self.seconds)
        told = {"x-amz-checksum-type": kind} if kind else {}
        return 200, told, _xml("InitiateMultipartUploadResult", f"<UploadId>{upload_id}</UploadId>")

    def upload_part(self, request: Request, body: bytes) -> Reply:
        upload = self.uploads.get(request.query["uploadId"])
        if upload is None:
            return error_answer(404, "NoSuchUpload")
        upload.parts[int(request.query["partNumber"])] = (body, _etag(body), crc32c(body))
        return 200, {"ETag": _etag(body), **self._encrypted(upload.headers)}, b""

    def complete_multipart_upload(self, request: Request, body: bytes) -> Reply:
        upload = self.uploads.get(request.query["uploadId"])
        if upload is None:
            return error_answer(404, "NoSuchUpload")
        if request.headers.get("if-none-match") == "*" and request.key in self.objects:
            return error_answer(412, "PreconditionFailed")
        crcs = data = b""
        sizes = []
        listed = list(ElementTree.fromstring(body))
        for element in listed:
            fields = {child.tag.rpartition("}")[2]: child.text or "" for child in element}
            part, etag, crc = upload.parts[int(fields["PartNumber"])]
            if fields["ETag"] != etag or fields.get("ChecksumCRC32C", _encode(crc)) != _encode(crc):
                return error_answer(400, "InvalidPart")
            data += part
            sizes.append(len(part))
            crcs += crc.to_bytes(4, "big")
        kind = upload.headers.get("x-amz-checksum-type", "")
        checksum = None
        if "x-amz-checksum-algorithm" in upload.headers:
            composite = f"{_encode(crc32c(crcs))}-{len(listed)}"
            checksum = _encode(crc32c(data)) if kind == "FULL_OBJECT" else composite
        if request.headers.get("x-amz-checksum-type", kind) != kind:
            return error_answer(400, "InvalidArgument")
        if request.headers.get("x-amz-checksum-crc32c", checksum) != checksum:
            return error_answer(400, "BadDigest")
        self.objects[request.key] = StoredObject(
            data, upload.headers, checksum, self.seconds, tuple(sizes), kind
        )
        del self.uploads[request.query["uploadId"]]
        told = f"<ChecksumCRC32C>{checksum}</ChecksumCRC32C>" if checksum else ""
        return 200, {}, _xml("CompleteMultipartUploadResult", f"<Key>{request.key}</Key>{told}")

    def abort_multipart_upload(self, request: Request, body: bytes) -> Reply:
        if self.uploads.pop(request.query["uploadId"], None) is None:
            return error_answer(404, "NoSuchUpload")
        return 204, {}, b""

    def get_bucket(self, request: Request, body: bytes) -> Reply:
        """ListObjectsV2."""
        if "delimiter" in request.query:
            return self._prefixes(request)
        after = base64.b64decode(request.query.get("continuation-token", "")).decode()
        listed = [
            (key, f"<Size>{len(stored.data)}</Size>{self._time('LastModified', stored.written)}")
            for key, stored in sorted(self.objects.items())
            if key.startswith(request.query.get("prefix", "")) and key > after
        ]
        page = listed[: self._most(request, "max-keys")]

        def token() -> str:
            after = base64.b64encode(page[-1][0].encode()).decode()
            return f"<NextContinuationToken>{after}</NextContinuationToken>"

        shown = "".join(f"<Contents>{self._key(request, 'Key', key)}{said}</Contents>" for key, said in page)
        return self._list("ListBucketResult", request, self._cut(listed, page, token) + shown)

    def _prefixes(self, request: Request) -> Reply:
        """What is before the delimiter; nothing else of the list."""
        prefix = request.query["prefix"]
        rests = (key[len(prefix) :] for key in self.objects if key.startswith(prefix))
        listed = sorted({prefix + rest.partition("/")[0] + "/" for rest in rests if "/" in rest})
        after = base64.b64decode(request.query.get("continuation-token", "")).decode()
        listed = [one for one in listed if one > after]
        page = listed[: self._most(request, "max-keys")]

        def token() -> str:
            after = base64.b64encode(page[-1].encode()).decode()
            return f"<NextContinuationToken>{after}</NextContinuationToken>"

        shown = "".join(
            f"<CommonPrefixes>{self._key(request, 'Prefix', one)}</CommonPrefixes>" for one in page
        )
        return self._list("ListBucketResult", request, self._cut(listed, page, token) + shown)

    def list_multipart_uploads(self, request: Request, body: bytes) -> Reply:
        after = request.query.get("key-marker", ""), request.query.get("upload-id-marker", "")
        listed = sorted(
            ((upload.key, id), upload.begun)
            for id, upload in self.uploads.items()
            if upload.key.startswith(request.query.get("prefix", "")) and (upload.key, id) > after
        )
        page = listed[: self._most(request, "max-uploads")]

        def markers() -> str:
            key, id = page[-1][0]
            return f"{self._key(request, 'NextKeyMarker', key)}<NextUploadIdMarker>{id}</NextUploadIdMarker>"

        cut = self._cut(listed, page, markers)
        shown = "".join(
            f"<Upload>{self._key(request, 'Key', key)}<UploadId>{id}</UploadId>"
            f"{self._time('Initiated', begun)}</Upload>"
            for (key, id), begun in page
        )
        return self._list("ListMultipartUploadsResult", request, cut + shown)

    @staticmethod
    def _most(request: Request, name: str) -> int:
        return min(int(request.query.get(name, MOST_LISTED)), MOST_LISTED)

    @staticmethod
    def _cut(listed: Sequence[object], page: Sequence[object], go_on: Callable[[], str]) -> str:
        is_cut = len(page) < len(listed)
        return f"<IsTruncated>{str(is_cut).lower()}</IsTruncated>{go_on() if is_cut else ''}"

    def _key(self, request: Request, name: str, key: str) -> str:
        encoded = self.encodes and request.query.get("encoding-type") == "url"
        return f"<{name}>{quote_plus(key, safe='/') if encoded else escape(key)}</{name}>"

    @staticmethod
    def _time(name: str, seconds: float) -> str:
        return f"<{name}>{datetime.fromtimestamp(seconds, UTC).isoformat().replace('+00:00', 'Z')}</{name}>"

    def _list(self, name: str, request: Request, inner: str) -> Reply:
        encoding = (
            "<EncodingType>url</EncodingType>" if self.encodes and "encoding-type" in request.query else ""
        )
        return 200, {"Date": formatdate(self.seconds, usegmt=True)}, _xml(name, encoding + inner)


def _xml(name: str, inner: str) -> bytes:
    namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} xmlns="{namespace}">{inner}</{name}>'.encode()


def error_answer(status: int, code: str) -> Reply:
    body = f"<Error><Code>{code}</Code><Message>told to say {code}</Message></Error>"
    return status, {"Content-Type": "application/xml"}, body.encode() if code else b""


def _etag(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


def _encode(crc: int) -> str:
    return base64.b64encode(crc.to_bytes(4, "big")).decode()

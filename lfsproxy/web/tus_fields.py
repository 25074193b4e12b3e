"""tus 1.0.0's header fields (https://tus.io/protocols/resumable-upload): read, or refused by name."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence

import attrs
from twisted.web.iweb import IRequest

from lfsproxy.checksums import Checksum, new_checksum
from lfsproxy.envelope import DEFAULT_CONTENT_TYPE
from lfsproxy.errors import BadRequest, InvalidChecksum, LfsError
from lfsproxy.logs import Logger
from lfsproxy.quoting import quoted
from lfsproxy.resumable.state import UploadOptions
from lfsproxy.web.digests import read_digest
from lfsproxy.web.options import FILENAME_HEADER, NAMES, OptionReader, parse_text

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,creation-defer-length,checksum,termination,expiration"
OFFSET_TYPE = "application/offset+octet-stream"

CHECKSUMS: dict[str, Callable[[], Checksum]] = {
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
    "md5": lambda: hashlib.md5(usedforsecurity=False),
}

_WHOLE = re.compile(r"[0-9]{1,18}")
_NAME = re.compile(r"[!-+\--~]+")

FILENAMES = ("filename", "name")
TYPES = ("content_type", "filetype", "type")
"""Names for the same thing, of which clients send several: the first that is given counts."""
KNOWN = frozenset({*NAMES, *FILENAMES, *TYPES})

_log = Logger()


class TusVersionUnsupported(LfsError):
    """Tus-Resumable is missing, or names another version."""

    http_status = 412
    problem = "tus-version"
    title = "This version of tus is not spoken here"
    result = "client_error"

    def http_headers(self) -> Mapping[str, str]:
        return {"Tus-Version": VERSION}


class NotOffsetBytes(LfsError):
    """The body's Content-Type is not tus's."""

    http_status = 415
    problem = "content-type"
    title = "The content type is not that of upload bytes"
    result = "client_error"


class BytesMismatch(LfsError):
    """The request's bytes do not have the checksum of Upload-Checksum; none of them is kept."""

    http_status = 460
    problem = "upload-checksum-mismatch"
    title = "The checksum does not match"
    result = "client_error"


@attrs.frozen
class ExpectedBytes:
    """What Upload-Checksum says of a request's bytes."""

    algorithm: str
    digest: str
    running: Checksum

    def verify(self) -> None:
        """All bytes went through ``running``. Raises BytesMismatch."""
        actual = self.running.hexdigest()
        if actual != self.digest:
            raise BytesMismatch(f"the {self.algorithm} of the bytes is {actual}, expected {self.digest}")


def field(request: IRequest, name: str) -> str | None:
    """A request's header, None where it is not there. Raises BadRequest where it comes twice."""
    values = request.requestHeaders.getRawHeaders(name.encode("ascii"), [])
    if len(values) > 1:
        raise BadRequest(f"{name} is given {len(values)} times")
    return str(values[0].decode("latin-1")).strip() if values else None


def check_version(request: IRequest) -> None:
    """Raises TusVersionUnsupported."""
    given = field(request, "Tus-Resumable")
    if given != VERSION:
        what = "missing" if given is None else quoted(given)
        raise TusVersionUnsupported(f"Tus-Resumable is {what}: {VERSION} is needed")


def whole_number(request: IRequest, name: str) -> int | None:
    """A header that is a whole number of bytes."""
    text = field(request, name)
    if text is None:
        return None
    if not _WHOLE.fullmatch(text):
        raise BadRequest(f"{name} is {quoted(text)}: a whole number of up to 18 digits is needed")
    return int(text)


def new_upload_length(request: IRequest) -> int | None:
    """Upload-Length of a creation; None where Upload-Defer-Length says that it comes later."""
    length, deferred = whole_number(request, "Upload-Length"), field(request, "Upload-Defer-Length")
    if deferred is not None and deferred != "1":
        raise BadRequest(f"Upload-Defer-Length is {quoted(deferred)}: only 1 is allowed")
    if (length is None) == (deferred is None):
        raise BadRequest("one of Upload-Length and Upload-Defer-Length: 1 is needed")
    if field(request, "Upload-Concat") is not None:
        raise BadRequest("Upload-Concat is given, but uploads are not concatenated here")
    return length


def expected_bytes(request: IRequest) -> ExpectedBytes | None:
    """Upload-Checksum: an algorithm and a base64 digest. Raises InvalidChecksum."""
    text = field(request, "Upload-Checksum")
    if text is None:
        return None
    algorithm, _, encoded = text.partition(" ")
    algorithm = algorithm.lower()
    if algorithm not in CHECKSUMS:
        raise InvalidChecksum(
            f"Upload-Checksum's algorithm is {quoted(algorithm)}; one of {', '.join(CHECKSUMS)} is needed"
        )
    running = CHECKSUMS[algorithm]()
    size = len(running.hexdigest()) // 2
    digest = read_digest(encoded.strip(), size, f"Upload-Checksum's {algorithm}", "Upload-Checksum")
    return ExpectedBytes(algorithm, digest, running)


def read_metadata(text: str, default_algorithm: str) -> UploadOptions:
    """Upload-Metadata: the record's options by their names, besides ``filename`` and ``filetype``.

    An empty value is not given; ``header`` may hold several, one a line. Any other name is the client's own
    business. Raises BadRequest or InvalidChecksum.
    """
    given = _known(text)
    reader = OptionReader()
    for line in given.pop("header", b"").split(b"\n"):
        if line:
            reader.add("header", line)
    filename = _first(given, FILENAMES)
    content_type = _first(given, TYPES)
    for name, value in given.items():
        reader.add(name, value)
    if content_type is not None:
        reader.add("content_type", content_type)
    options = reader.options(default_algorithm)
    algorithm = options.checksum_algo or default_algorithm
    new_checksum(algorithm)
    headers = options.headers
    if filename is not None:
        headers = (*headers, (FILENAME_HEADER, parse_text("filename", filename).encode("utf-8")))
    return UploadOptions(
        key=options.key,
        partition=options.partition,
        headers=headers,
        content_type=options.content_type or DEFAULT_CONTENT_TYPE,
        timestamp=options.timestamp,
        checksum=options.checksum,
        algorithm=algorithm,
    )


def _known(text: str) -> dict[str, bytes]:
    """The values of the names that mean something here, those that are empty left out."""
    known: dict[str, bytes] = {}
    names: set[str] = set()
    others = 0
    for pair in text.split(","):
        name, _, encoded = pair.strip(" ").partition(" ")
        if not name:
            continue
        if not _NAME.fullmatch(name):
            raise BadRequest(f"Upload-Metadata has no name at {quoted(pair.strip(' '))}")
        if name not in KNOWN:
            others += 1
            continue
        if name in names:
            raise BadRequest(f"{name} is given more than once")
        names.add(name)
        try:
            value = base64.b64decode(encoded.strip(" "), validate=True)
        except ValueError:
            raise BadRequest(f"Upload-Metadata's {name} is not base64: {quoted(encoded)}") from None
        if value:
            known[name] = value
    if others:
        _log.debug("an upload's metadata has {count} names that mean nothing here", count=others)
    return known


def _first(given: dict[str, bytes], names: Sequence[str]) -> bytes | None:
    """Take all these names out; the value of the first that is there."""
    values = [given.pop(name) for name in names if name in given]
    return values[0] if values else None

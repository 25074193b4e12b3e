"""What S3 answers: results and errors in XML, and which errors are worth another try.

Error codes: "Error responses" in the Amazon S3 API reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from xml.etree import ElementTree

import attrs

from lfsproxy.s3.stream import BodyStream

MAX_ANSWER = 1024 * 1024
"""Bytes of an answer's body, at most; S3's own are far below, except for lists and what was asked for."""
MAX_LIST = 4 * 1024 * 1024
"""Bytes of a list, at most: 1000 keys of 1024 bytes are 3 MiB when they are percent-encoded, and what is said
of each key is some 400 bytes."""

_RETRIABLE_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_DOUBTFUL_STATUS = frozenset({500, 502, 504})
"""After these what was asked for may have been done all the same."""
_RETRIABLE_CODE = frozenset(
    {
        "BadDigest",
        "InternalError",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "XAmzContentChecksumMismatch",
    }
)
_REFUSED_CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)


@attrs.frozen
class Answer:
    """One answer of S3: header names in lower case; ``code`` and ``message`` of an error, else empty.

    ``attempts`` counts how often the request was sent; ``doubtful``: an earlier one may have worked.
    ``stream`` is a success's body where it is to be read bit by bit; ``told_region`` an error's Region.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    code: str = ""
    message: str = ""
    attempts: int = 1
    doubtful: bool = False
    stream: BodyStream | None = None
    told_region: str = ""

    @property
    def request_id(self) -> str:
        """S3's own name for the request, by which its log and its operators find it; else empty."""
        return self.headers.get("x-amz-request-id", "")

    @property
    def tag(self) -> str:
        """The ETag by which a later request gets the very same bytes; empty where there is no such one. A
        weak one (RFC 9110, 8.8.1), as programs in front of a store make them, matches nothing."""
        etag = self.headers.get("etag", "")
        return "" if etag.startswith("W/") else etag

    @property
    def is_error(self) -> bool:
        return self.status >= 300 or bool(self.code)

    @property
    def is_retriable(self) -> bool:
        return self.status in _RETRIABLE_STATUS or self.code in _RETRIABLE_CODE

    @property
    def may_refuse_credentials(self) -> bool:
        """Whether others may be taken. An answer to HEAD has no words that would tell."""
        return self.code in _REFUSED_CREDENTIALS or (not self.code and self.status in {400, 401, 403})

    @property
    def is_doubtful(self) -> bool:
        """Whether the request may have worked although this is an error."""
        return self.status in _DOUBTFUL_STATUS or (self.status == 200 and bool(self.code))

    @property
    def region(self) -> str:
        """The bucket's region, where an answer tells that another one was asked; else empty."""
        if self.status not in {301, 307, 400}:
            return ""
        return self.headers.get("x-amz-bucket-region", "") or self.told_region

    def __str__(self) -> str:
        said = ": ".join(part for part in (self.code, self.message) if part)
        return f"S3 answered {self.status}{' ' if said else ''}{said}"


class UnreadableAnswer(Exception):
    """A body that is not the XML that was to be expected."""


def read_answer(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """Note an error's code and message, also where they come with status 200, as CompleteMultipartUpload's
    may: it sends its status before it knows the outcome."""
    code = message = region = ""
    if status >= 300 or b"<Error" in body:
        try:
            root = parse_xml(body)
        except UnreadableAnswer:
            root = None
        if root is not None and local_name(root) == "Error":
            code, message, region = (text_of(root, name) for name in ("Code", "Message", "Region"))
    return Answer(status, headers, body, code, message, told_region=region)


def parse_xml(body: bytes) -> ElementTree.Element:
    """Parse a body that a stranger may have written: no document type, so no entities.

    Raises UnreadableAnswer.
    """
    try:
        # Stores send whitespace while they work.
        text = body.decode("utf-8").strip()
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise UnreadableAnswer("a document type is not expected")
        return ElementTree.fromstring(text)
    except (UnicodeDecodeError, ElementTree.ParseError) as error:
        raise UnreadableAnswer(str(error)) from error


def local_name(element: ElementTree.Element) -> str:
    """The element's name without its namespace, which stores disagree on."""
    return element.tag.rpartition("}")[2]


def children(element: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    """The direct children of that name, in whatever namespace."""
    return (child for child in element if local_name(child) == name)


def text_of(element: ElementTree.Element, name: str) -> str:
    """The text of the first child of that name, or nothing."""
    child = next(children(element, name), None)
    return (child.text or "").strip() if child is not None else ""

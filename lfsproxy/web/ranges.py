"""Which bytes of a representation a request asks for, and of which version (RFC 9110, sections 13.1 and 14).

    Range         = unit "=" spec *( OWS "," OWS spec )             spec = first "-" [ last ] / "-" suffix
    If-None-Match = "*" / entity-tag *( OWS "," OWS entity-tag )    entity-tag = [ "W/" ] <"> tag <">
    If-Match      = the same
    If-Range      = entity-tag / date

Elements of a list may be empty. What does not follow this is not read in another way: it is as if it was not
there, or a condition that does not hold, and both end with the whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

from twisted.web.http_headers import Headers

from lfsproxy.errors import LfsError
from lfsproxy.quoting import quoted

_RANGE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:,[ \t]*)*([0-9]*)-([0-9]*)(?:[ \t]*,)*")
_TAG = r'(?:W/)?"[!#-~\x80-\xff]*"'
_TAGS = re.compile(rf"[, \t]*{_TAG}[ \t]*(?:,[ \t]*(?:{_TAG}[ \t]*)?)*")
_DIGITS = 19
"""Digits of a number that can matter: no size has more."""


class HasHeaders(Protocol):
    """A request."""

    requestHeaders: Headers


class RangeNotSatisfiable(LfsError):
    """A range that lies behind the end; ``size`` is the number of bytes there are."""

    http_status = 416
    problem = "range-not-satisfiable"
    title = "There are no such bytes"
    result = "client_error"

    def __init__(self, asked: str, size: int) -> None:
        super().__init__(f"Range is {quoted(asked)}: there are {size} bytes")
        self.size = size

    def http_headers(self) -> Mapping[str, str]:
        return {"Content-Range": f"bytes */{self.size}"}


class AnotherVersion(LfsError):
    """If-Match names versions, and what is there is another one."""

    http_status = 412
    problem = "another-version"
    title = "It is another version"
    result = "client_error"


def is_unchanged(request: HasHeaders, tag: str) -> bool:
    """Whether If-None-Match names ``tag`` (an ETag without its quotes): the client has it already."""
    given = _header(request, b"If-None-Match")
    return given == "*" or f'"{tag}"' in {one.removeprefix("W/") for one in _tags(given)}


def is_another(request: HasHeaders, tag: str) -> bool:
    """Whether there is an If-Match that does not name ``tag``."""
    if not request.requestHeaders.hasHeader(b"If-Match"):
        return False
    given = _header(request, b"If-Match")
    return given != "*" and f'"{tag}"' not in _tags(given)


def asked_range(request: HasHeaders, tag: str, size: int) -> tuple[int, int] | None:
    """The (first, count) of the one range that is asked for, None for the whole.

    Several ranges, a unit that is not bytes, what cannot be read, and a range of another version (If-Range)
    are answered with the whole. Raises RangeNotSatisfiable.
    """
    text = _header(request, b"Range")
    match = _RANGE.fullmatch(text)
    if match is None or match[1].lower() != "bytes":
        return None
    # A weak tag, or a date, never is the very same bytes.
    if request.requestHeaders.hasHeader(b"If-Range") and _header(request, b"If-Range") != f'"{tag}"':
        return None
    return _bytes(text, match[2], match[3], size)


def _bytes(text: str, first: str, last: str, size: int) -> tuple[int, int] | None:
    if not first:
        if not last:
            return None
        count = min(_number(last), size)
        if not _number(last):
            raise RangeNotSatisfiable(text, size)
        return (size - count, count) if count else None
    if last and _number(last) < _number(first):
        return None
    if _number(first) >= size:
        raise RangeNotSatisfiable(text, size)
    end = min(_number(last) + 1, size) if last else size
    return _number(first), end - _number(first)


def _number(digits: str) -> int:
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= _DIGITS else 10**_DIGITS


def _tags(text: str) -> list[str]:
    """The entity tags of a list, none where it is no such list."""
    return re.findall(_TAG, text) if _TAGS.fullmatch(text) else []


def _header(request: HasHeaders, name: bytes) -> str:
    lines = request.requestHeaders.getRawHeaders(name, [])
    return ", ".join(line.decode("latin-1").strip(" \t") for line in lines)

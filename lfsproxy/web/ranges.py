"""Which bytes of a representation a request asks for (RFC 9110, section 14)."""

from __future__ import annotations

from twisted.web.iweb import IRequest
from werkzeug.http import parse_etags, parse_if_range_header, parse_range_header

from lfsproxy.errors import LfsError
from lfsproxy.quoting import quoted


class RangeNotSatisfiable(LfsError):
    """A range that lies behind the end; ``size`` is the number of bytes there are."""

    http_status = 416
    problem = "range-not-satisfiable"
    title = "There are no such bytes"
    result = "client_error"

    def __init__(self, asked: str, size: int) -> None:
        super().__init__(f"Range is {quoted(asked)}: there are {size} bytes")
        self.size = size


def is_unchanged(request: IRequest, etag: str) -> bool:
    """Whether If-None-Match names ``etag`` (without its quotes): the client has it already."""
    given = _header(request, b"If-None-Match")
    return bool(given) and parse_etags(given).contains_weak(etag)


def asked_range(request: IRequest, etag: str, size: int) -> tuple[int, int] | None:
    """The (first, count) of the one range that is asked for, None for the whole.

    Several ranges, a unit that is not bytes, what cannot be read, and a range of another version (If-Range)
    are answered with the whole. Raises RangeNotSatisfiable.
    """
    text = _header(request, b"Range")
    asked = parse_range_header(text) if text else None
    if asked is None or asked.units != "bytes" or len(asked.ranges) != 1:
        return None
    if given := _header(request, b"If-Range"):
        # A weak tag, or a date, never is the very same bytes.
        condition = parse_if_range_header(given)
        if given.startswith("W/") or condition.etag != etag:
            return None
    first, end = asked.ranges[0]
    if first < 0:
        first = max(0, size + first)
    end = size if end is None else min(end, size)
    if first >= end:
        raise RangeNotSatisfiable(text, size)
    return first, end - first


def _header(request: IRequest, name: bytes) -> str:
    return ", ".join(value.decode("latin-1") for value in request.requestHeaders.getRawHeaders(name, []))

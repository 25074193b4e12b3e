"""Errors as ``application/problem+json`` (RFC 9457). What an error means is in lfsproxy.errors already."""

from __future__ import annotations

import json
from typing import Any, ClassVar, cast

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest

from lfsproxy.errors import BrokerRefused, ChecksumMismatch, LfsError
from lfsproxy.logs import Logger
from lfsproxy.web.ranges import RangeNotSatisfiable

RETRY_AFTER_SECONDS = 5

_log = Logger()


class NotFound(LfsError):
    """No such path."""

    http_status = 404
    problem = "not-found"
    title = "There is nothing here"
    result = "client_error"


class MethodUnsupported(LfsError):
    """The path exists, but not for this method; ``allowed`` are those it has."""

    http_status = 405
    problem = "method-not-allowed"
    title = "The method is not allowed here"
    result = "client_error"

    def __init__(self, method: str, allowed: str) -> None:
        super().__init__(f"{method} is not one of {allowed}")
        self.allowed = allowed


class KeyRefused(LfsError):
    """A request without a key that could be used; ``challenge`` is RFC 6750's, section 3."""

    http_status = 401
    result = "client_error"
    challenge: ClassVar[str] = 'Bearer realm="lfsproxy"'


class KeyRequired(KeyRefused):
    """No API key was sent."""

    problem = "api-key-required"
    title = "An API key is needed"


class KeyInvalid(KeyRefused):
    """What was sent is no key of this proxy, or none any more."""

    problem = "api-key-invalid"
    title = "The API key is not valid"
    challenge = f'{KeyRefused.challenge}, error="invalid_token"'


class KeyNotAllowed(KeyRefused):
    """The key is good, but not for this topic or this action."""

    http_status = 403
    problem = "api-key-not-allowed"
    title = "The API key does not allow this"
    challenge = f'{KeyRefused.challenge}, error="insufficient_scope"'


class TooManyUploads(LfsError):
    """As many uploads run as the proxy takes at once."""

    http_status = 503
    problem = "too-many-uploads"
    title = "Too many uploads run at once"
    retriable = True
    result = "client_error"


class ExpectationFailed(LfsError):
    """An expectation that is not 100-continue (RFC 9110, section 10.1.1)."""

    http_status = 417
    problem = "expectation-failed"
    title = "The expectation cannot be met"
    result = "client_error"


def problem_of(error: BaseException) -> LfsError:
    """The error that a client may see in place of any exception; what nobody foresaw is logged."""
    if isinstance(error, LfsError):
        return error
    if not isinstance(error, CancelledError):
        _log.failure("an HTTP request failed in an unforeseen way", failure=Failure(error))
    return LfsError("the proxy failed in an unforeseen way; its log says more")


def render_problem(request: IRequest, error: LfsError) -> bytes:
    """Set status and headers for an error, and return the response's body."""
    document: dict[str, Any] = {
        "type": f"/problems/{error.problem}",
        "title": error.title,
        "status": error.http_status,
        "detail": str(error) or error.title,
    }
    # The request's line in the log says it too.
    cast(Any, request).problem = document["detail"]
    if isinstance(error, ChecksumMismatch):
        document.update(algorithm=error.algorithm, expected=error.expected, actual=error.actual)
    elif isinstance(error, BrokerRefused):
        document["kafka_error_code"] = error.code
    elif isinstance(error, RangeNotSatisfiable):
        request.setHeader(b"Content-Range", b"bytes */%d" % error.size)
    elif isinstance(error, MethodUnsupported):
        request.setHeader(b"Allow", error.allowed.encode("ascii"))
    elif isinstance(error, KeyRefused):
        request.setHeader(b"WWW-Authenticate", error.challenge.encode("ascii"))
    if error.http_status == 503:
        request.setHeader(b"Retry-After", b"%d" % RETRY_AFTER_SECONDS)
    return render(request, error.http_status, "application/problem+json", _json(document))


def render_json(request: IRequest, status: int, document: Any) -> bytes:
    """Set status and headers for a JSON document, and return the response's body."""
    return render(request, status, "application/json", _json(document))


def render(request: IRequest, status: int, content_type: str, body: bytes) -> bytes:
    """Set status and headers for a response whose body is whole, and return the body."""
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", content_type.encode("ascii"))
    request.setHeader(b"Content-Length", b"%d" % len(body))
    return body


def _json(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode("utf-8") + b"\n"

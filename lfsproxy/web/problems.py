"""Errors as ``application/problem+json`` (RFC 9457), and those that only an HTTP request can have.

An error knows its status, its header fields and its members by itself (lfsproxy.errors): the rendering asks
for no error's class.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, cast

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest

from lfsproxy.errors import LfsError
from lfsproxy.logs import Logger

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

    def http_headers(self) -> Mapping[str, str]:
        return {"Allow": self.allowed}


class KeyRefused(LfsError):
    """A request without a key that could be used; ``challenge`` is RFC 6750's, section 3."""

    http_status = 401
    result = "client_error"
    challenge: ClassVar[str] = 'Bearer realm="lfsproxy"'

    def http_headers(self) -> Mapping[str, str]:
        return {"WWW-Authenticate": self.challenge}


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


class TooManyDownloads(LfsError):
    """As many requests for records run as the proxy takes at once."""

    http_status = 503
    problem = "too-many-downloads"
    title = "Too many downloads run at once"
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
    asked = cast(Any, request)
    document: dict[str, Any] = {
        "type": f"/problems/{error.problem}",
        "title": error.title,
        "status": error.http_status,
        "detail": str(error) or error.title,
        **error.problem_members(),
        "request_id": asked.request_id,
    }
    # The request's line in the log says it too.
    asked.problem = document["detail"]
    for name, value in error.http_headers().items():
        request.setHeader(name.encode("ascii"), value.encode("latin-1"))
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

"""How an upload over HTTP fails besides the proxy's own errors (lfsproxy.errors): it is not there, or answers
what it never should."""

from __future__ import annotations

from lfsproxy.errors import LfsError


class ProxyUnavailable(LfsError):
    """A client cannot reach the proxy, or lost it before the end of an upload: nothing was published."""

    http_status = 503
    problem = "proxy-unavailable"
    title = "The proxy is unavailable"
    retriable = True


class UploadRefused(LfsError):
    """The proxy answered a client with something else than an error of its own.

    ``status`` is the HTTP status, ``type`` the last part of the problem's type, empty where there is none;
    where there is one, it is the error's ``problem`` too.
    """

    http_status = 502
    problem = "upload-refused"
    title = "The proxy refused the upload"

    def __init__(self, status: int, type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.problem = type or UploadRefused.problem
        self.retriable = status in (408, 429, 503)

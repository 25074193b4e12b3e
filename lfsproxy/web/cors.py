"""Cross-origin requests: which pages may call the API, and what they may see of an answer.

https://fetch.spec.whatwg.org/#http-cors-protocol. Credentials (cookies) are never allowed; a key goes into
the Authorization header, which has to be named since ``*`` does not cover it.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.web.iweb import IRequest

from lfsproxy.web.operations import Operation

EXPOSED = (
    "Location",
    "ETag",
    "Lfs-Record",
    "Upload-Offset",
    "Upload-Length",
    "Upload-Defer-Length",
    "Upload-Metadata",
    "Upload-Expires",
    "Tus-Resumable",
    "Tus-Version",
    "Tus-Extension",
    "Tus-Checksum-Algorithm",
    "Tus-Max-Size",
    "Retry-After",
    "Content-Disposition",
    "Content-Range",
    "Accept-Ranges",
    "WWW-Authenticate",
    "X-Request-Id",
)
"""Header fields of answers that pages may see; those that operations declare besides come behind them."""
ACCEPTED = (
    "Authorization",
    "Content-Type",
    "Content-Digest",
    "Repr-Digest",
    "Content-MD5",
    "If-Match",
    "If-None-Match",
    "If-Range",
    "Range",
    "Tus-Resumable",
    "Upload-Length",
    "Upload-Defer-Length",
    "Upload-Offset",
    "Upload-Metadata",
    "Upload-Checksum",
    "X-HTTP-Method-Override",
    "X-Requested-With",
    "X-Request-ID",
)
"""Header fields that pages may send; those that operations declare besides come behind them."""
ALWAYS_SEEN = frozenset({"cache-control", "content-length", "content-type"})
"""Header fields of ours that a browser shows in any case.

https://fetch.spec.whatwg.org/#cors-safelisted-response-header-name
"""
MAX_AGE_SECONDS = 7200
"""How long a browser may keep the answer to a preflight: 2 hours, the most that Chromium takes."""


class Cors:
    """``origins`` is LFS_CORS_ORIGINS: origins, or ``*`` for any."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._origins = origins
        self._exposed = ", ".join(EXPOSED).encode("ascii")
        self._accepted = ", ".join(ACCEPTED).encode("ascii")

    def allow(self, operations: Iterable[Operation]) -> None:
        """Let pages send and see the header fields of all these operations."""
        seen: list[str] = []
        sent: list[str] = []
        for declared in operations:
            seen += [name for answer in declared.answers for name in answer.headers]
            seen += declared.headers
            sent += [one.name for one in declared.parameters if one.where == "header"]
        seen = [name for name in seen if name.lower() not in ALWAYS_SEEN]
        self._exposed = _together(EXPOSED, seen)
        self._accepted = _together(ACCEPTED, sent)

    def add_headers(self, request: IRequest) -> None:
        """Say on any response, errors too, whether the page that asked may read it."""
        if "*" in self._origins:
            allowed = b"*"
        else:
            request.responseHeaders.addRawHeader(b"Vary", b"Origin")
            origin = request.getHeader(b"Origin") or b""
            if origin.decode("latin-1") not in self._origins:
                return
            allowed = origin
        request.setHeader(b"Access-Control-Allow-Origin", allowed)
        request.setHeader(b"Access-Control-Expose-Headers", self._exposed)

    def add_preflight_headers(self, request: IRequest, allowed_methods: str) -> None:
        """Say what a page may send, in answer to OPTIONS with Access-Control-Request-Method."""
        if not request.getHeader(b"Access-Control-Request-Method"):
            return
        request.setHeader(b"Access-Control-Allow-Methods", allowed_methods.encode("ascii"))
        request.setHeader(b"Access-Control-Allow-Headers", self._accepted)
        request.setHeader(b"Access-Control-Max-Age", b"%d" % MAX_AGE_SECONDS)


def _together(names: Iterable[str], more: Iterable[str]) -> bytes:
    """A list of header fields, each named once."""
    every: dict[str, str] = {}
    for name in (*names, *more):
        every.setdefault(name.lower(), name)
    return ", ".join(every.values()).encode("ascii")

"""Cross-origin requests: which pages may call the API, and what they may see of an answer.

https://fetch.spec.whatwg.org/#http-cors-protocol. Credentials (cookies) are never allowed; a key goes into
the Authorization header, which has to be named since ``*`` does not cover it.
"""

from __future__ import annotations

import attrs
from twisted.web.iweb import IRequest

EXPOSED = (
    "Location, ETag, Lfs-Record, Upload-Offset, Upload-Length, Upload-Defer-Length, Upload-Metadata, "
    "Upload-Expires, Tus-Resumable, Tus-Version, Tus-Extension, Tus-Checksum-Algorithm, Tus-Max-Size, "
    "Retry-After, Content-Disposition, Content-Range, Accept-Ranges, WWW-Authenticate, X-Request-Id"
)
REQUEST_HEADERS = (
    "Authorization, Content-Type, Content-Digest, Repr-Digest, Content-MD5, If-Match, "
    "If-None-Match, If-Range, Range, Tus-Resumable, Upload-Length, Upload-Defer-Length, Upload-Offset, "
    "Upload-Metadata, Upload-Checksum, X-HTTP-Method-Override, X-Requested-With, X-Request-ID"
)
MAX_AGE_SECONDS = 7200


@attrs.frozen
class Cors:
    """``origins`` is LFS_CORS_ORIGINS: origins, or ``*`` for any."""

    origins: tuple[str, ...]

    def add_headers(self, request: IRequest) -> None:
        """Say on any response, errors too, whether the page that asked may read it."""
        if "*" in self.origins:
            allowed = b"*"
        else:
            request.responseHeaders.addRawHeader(b"Vary", b"Origin")
            origin = request.getHeader(b"Origin") or b""
            if origin.decode("latin-1") not in self.origins:
                return
            allowed = origin
        request.setHeader(b"Access-Control-Allow-Origin", allowed)
        request.setHeader(b"Access-Control-Expose-Headers", EXPOSED.encode("ascii"))

    def add_preflight_headers(self, request: IRequest, allowed_methods: str) -> None:
        """Say what a page may send, in answer to OPTIONS with Access-Control-Request-Method."""
        if not request.getHeader(b"Access-Control-Request-Method"):
            return
        request.setHeader(b"Access-Control-Allow-Methods", allowed_methods.encode("ascii"))
        request.setHeader(b"Access-Control-Allow-Headers", REQUEST_HEADERS.encode("ascii"))
        request.setHeader(b"Access-Control-Max-Age", b"%d" % MAX_AGE_SECONDS)

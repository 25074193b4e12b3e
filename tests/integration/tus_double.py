"""A small tus 1.0.0 server at an address of its own, for tests of the upload page: creation, PATCH, HEAD.

It keeps what it gets in memory, wants an API key, and can hold a PATCH back, so that a test can pause an
upload in its midst. Everything is below /base, as behind a reverse proxy.
"""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any, cast

from twisted.internet import reactor
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

RECORD = "/v1/topics/t/partitions/0/records/7"
ENVELOPE = {"lfs_version": 1, "s3_bucket": "b", "s3_key": "lfs/default/t/0/7-x.bin", "checksum": "00"}
ALLOWED = "Authorization, Content-Type, Tus-Resumable, Upload-Length, Upload-Metadata, Upload-Offset"


class TusDouble(Resource):
    """``data`` is what was received; ``seen`` are the methods in their order, ``keys`` the Authorizations."""

    isLeaf = True

    def __init__(
        self, take: int | None = None, refuse: Sequence[int] = (), envelope_status: int = 200
    ) -> None:
        """``take``: of the first PATCH only so many bytes are kept, and it is never answered.

        ``refuse``: the statuses that the first PATCH requests are answered with.
        """
        super().__init__()
        self.data = b""
        self.length = 0
        self.metadata: dict[str, str] = {}
        self.seen: list[str] = []
        self.keys: set[str] = set()
        self._take = take
        self._refuse = list(refuse)
        self._envelope_status = envelope_status
        self.port: Any = None

    def listen(self) -> str:
        """Serve; the address of the API."""
        self.port = cast(Any, reactor).listenTCP(0, Site(self), interface="127.0.0.1")
        return f"http://127.0.0.1:{self.port.getHost().port}/base"

    def render(self, request: Request) -> Any:
        method = request.method.decode()
        request.setHeader(b"Access-Control-Allow-Origin", b"*")
        request.setHeader(
            b"Access-Control-Expose-Headers", b"Location, Upload-Offset, Lfs-Record, Tus-Version, Retry-After"
        )
        request.setHeader(b"Tus-Resumable", b"1.0.0")
        if method == "OPTIONS":
            request.setHeader(b"Tus-Version", b"1.0.0")
            request.setHeader(b"Access-Control-Allow-Methods", b"GET, HEAD, POST, PATCH, DELETE, OPTIONS")
            request.setHeader(b"Access-Control-Allow-Headers", ALLOWED.encode())
            request.setResponseCode(204)
            return b""
        self.seen.append(method)
        self.keys.add((request.getHeader(b"Authorization") or b"").decode())
        if request.path == f"/base{RECORD}/envelope".encode():
            request.setResponseCode(self._envelope_status)
            return json.dumps(ENVELOPE if self._envelope_status == 200 else {"title": "It is gone"}).encode()
        return getattr(self, f"on_{method.lower()}")(request)

    def on_post(self, request: Request) -> bytes:
        self.length = int(request.getHeader(b"Upload-Length") or b"-1")
        for pair in (request.getHeader(b"Upload-Metadata") or b"").decode().split(","):
            name, _, value = pair.partition(" ")
            self.metadata[name] = base64.b64decode(value).decode()
        request.setResponseCode(201)
        request.setHeader(b"Location", b"/v1/topics/t/uploads/1")
        return b""

    def on_head(self, request: Request) -> bytes:
        request.setHeader(b"Upload-Offset", b"%d" % len(self.data))
        return b""

    def on_patch(self, request: Request) -> Any:
        content = request.content
        assert content is not None
        offset, body = int(request.getHeader(b"Upload-Offset") or b"-1"), content.read()
        if self._refuse:
            request.setResponseCode(self._refuse.pop(0))
            request.setHeader(b"Retry-After", b"1")
            return b'{"title": "Not now"}'
        if offset != len(self.data):
            request.setResponseCode(409)
            return b'{"title": "The offset is not that of the upload"}'
        if self._take is not None:
            self.data += body[: self._take]
            self._take = None
            request.notifyFinish().addErrback(lambda _: None)
            return NOT_DONE_YET
        self.data += body
        request.setResponseCode(204)
        request.setHeader(b"Upload-Offset", b"%d" % len(self.data))
        if len(self.data) == self.length:
            request.setHeader(b"Lfs-Record", RECORD.encode())
        return b""

    def on_delete(self, request: Request) -> bytes:
        request.setResponseCode(204)
        return b""

"""The gate before every handler: the API key, room for one more transfer, and whether the proxy takes work.

A refusal comes at the headers: nothing of the body was read, and no ``100 Continue`` sent. Keys are those of
RFC 6750 (Authorization: Bearer).
"""

# twisted.web is not annotated:
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from lfsproxy.errors import Draining
from lfsproxy.net.reread import Reread
from lfsproxy.quoting import quoted
from lfsproxy.readiness import Readiness
from lfsproxy.web.keys import ApiKey, ApiKeys, read_keys
from lfsproxy.web.operations import Operation
from lfsproxy.web.problems import (
    KeyInvalid,
    KeyNotAllowed,
    KeyRequired,
    TooManyDownloads,
    TooManyUploads,
)
from lfsproxy.web.request import StreamingRequest

MAX_FILE = 16 * 1024 * 1024
"""The most bytes of a file of keys: far more than a proxy has, and an end for a file of something else."""


class KeysFile(Reread[ApiKeys]):
    """The keys of LFS_HTTP_API_KEYS_FILE, read anew when it changes."""

    what = "API keys"
    needed = "a file of API keys"

    def __init__(self, path: str) -> None:
        super().__init__({"LFS_HTTP_API_KEYS_FILE": path})
        self._path = path

    def make(self) -> ApiKeys:
        with open(self._path, "rb") as file:
            data = file.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise ValueError(f"it is larger than {MAX_FILE} bytes")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError("it is not UTF-8") from None
        return ApiKeys(read_keys(text))


class Gate:
    """Lets requests through to their handlers.

    ``keys`` None: nobody needs one. ``max_uploads`` and ``max_downloads`` run at once, 0 for any number.
    """

    def __init__(
        self,
        clock: IReactorTime,
        keys: KeysFile | None,
        max_uploads: int,
        max_downloads: int,
        readiness: Readiness,
    ) -> None:
        self._clock = clock
        self._keys = keys
        self._max_uploads = max_uploads
        self._max_downloads = max_downloads
        self._readiness = readiness

    @property
    def asks_for_keys(self) -> bool:
        return self._keys is not None

    def admit(self, request: StreamingRequest, operation: Operation, topic: str | None) -> None:
        """Raise what keeps the request from being handled. ``topic`` is the path's, as it was sent.

        A request that passes every check but the last one (draining) gets the operation's own header fields.
        """
        if self._keys is not None and operation.action is not None:
            key = self._key(request, self._keys)
            request.key_id = key.id
            if not key.allows(operation.action, topic or ""):
                named = quoted(topic or "", most=300)
                raise KeyNotAllowed(f"the key {key.id} does not allow to {operation.action} {named}")
        uploads = request.uploads_running
        if operation.body is not None and 0 < self._max_uploads <= uploads:
            raise TooManyUploads(f"{uploads} uploads run already (LFS_HTTP_MAX_UPLOADS)")
        downloads = request.downloads_running
        if operation.is_download and 0 < self._max_downloads <= downloads:
            raise TooManyDownloads(f"{downloads} downloads run already (LFS_HTTP_MAX_DOWNLOADS)")
        for name, value in operation.headers.items():
            request.setHeader(name.encode("ascii"), value.encode("ascii"))
        if operation.elsewhere is not None and self._readiness.draining:
            raise Draining(f"the proxy is shutting down; another replica {operation.elsewhere}")
        if operation.is_download:
            request.count_as_download()

    def _key(self, request: StreamingRequest, keys: KeysFile) -> ApiKey:
        values = request.requestHeaders.getRawHeaders(b"Authorization", [])
        if not values:
            raise KeyRequired("this needs Authorization: Bearer with an API key")
        if len(values) > 1:
            raise KeyInvalid("there is more than one Authorization header")
        scheme, _, token = values[0].decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            raise KeyRequired("Authorization is not Bearer with an API key")
        key = keys.current().find(token.strip())
        if key is None:
            raise KeyInvalid("the API key is not one of this proxy's")
        request.key_id = key.id
        if key.is_expired(self._clock.seconds()):
            raise KeyInvalid(f"the API key {key.id} has expired")
        return key

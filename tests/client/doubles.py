"""A store in memory behind urllib3's interface, with faults, for tests of the reader."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import unquote

import attrs
from urllib3 import HTTPResponse
from urllib3.exceptions import NewConnectionError, ProtocolError

from lfsproxy.client import BlobReader, PresignedSource, static_credentials
from lfsproxy.client.sources import BlobAnswer, BlobRequest
from lfsproxy.envelope import Envelope

AT_ONCE = 64 * 1024
"""Bytes that have come at most, as of a socket."""


class DroppedBody(io.BytesIO):
    """A body after which the connection is lost."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not data:
            raise ProtocolError("connection broken")
        return data

    def read1(self, size: int | None = -1, /) -> bytes:
        return self.read(min(size or 0, AT_ONCE))


class RaisingBody(io.BytesIO):
    """A body of which one read raises instead, then it goes on: as where a signal's handler raises."""

    def __init__(self, data: bytes, fault: Raised) -> None:
        super().__init__(data)
        self.fault = fault
        self.raised = False

    def read(self, size: int | None = -1, /) -> bytes:
        before = self.fault.after - self.tell()
        if self.raised or size is None or size < 0:
            return super().read(size)
        if before <= 0:
            self.raised = True
            raise self.fault.error
        return super().read(min(size, before))

    def read1(self, size: int | None = -1, /) -> bytes:
        return self.read(min(size or 0, AT_ONCE))


@attrs.define
class FakeStore:
    """Objects by (bucket, key). ``faults``: what the next GETs meet instead: a status, an error, or a number
    of bytes after which the connection is lost, or something is raised. It is its own connection pool.
    """

    objects: dict[tuple[str, str], bytes] = attrs.field(factory=dict)
    faults: list[int | BaseException | Dropped | Raised] = attrs.field(factory=list)
    asked: list[dict[str, str]] = attrs.field(factory=list)
    paths: list[str] = attrs.field(factory=list)
    etag: str = '"one"'
    length_known: bool = True
    not_there: str = "NoSuchKey"

    def connection_from_host(self, host: str, port: int | None, scheme: str) -> FakeStore:
        return self

    def clear(self) -> None:
        self.objects = {}

    def urlopen(self, method: str, path: str, headers: Mapping[str, str], **arguments: Any) -> HTTPResponse:
        self.asked.append(dict(headers))
        self.paths.append(path)
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, BaseException):
            raise fault
        if isinstance(fault, int):
            return self._answer(fault, f"<Error><Code>Code{fault}</Code></Error>".encode())
        bucket, _, key = unquote(path.removeprefix("/")).partition("/")
        data = self.objects.get((bucket, key))
        if data is None:
            return self._answer(404, f"<Error><Code>{self.not_there}</Code></Error>".encode())
        if headers.get("If-Match", self.etag) != self.etag:
            return self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        first = int(headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        status = 206 if "Range" in headers else 200
        if isinstance(fault, Raised):
            return self._answer(status, data[first:], body=partial(RaisingBody, fault=fault))
        if fault is not None:
            whole = data[first:]
            return self._answer(status, whole[: fault.after], len(whole), DroppedBody)
        return self._answer(status, data[first:])

    def _answer(
        self,
        status: int,
        data: bytes,
        length: int | None = None,
        body: Callable[[bytes], io.BytesIO] = io.BytesIO,
    ) -> HTTPResponse:
        headers = {"ETag": self.etag}
        if self.length_known:
            headers["Content-Length"] = str(len(data) if length is None else length)
        return HTTPResponse(
            body(data), headers, status, preload_content=False, decode_content=False, request_method="GET"
        )


@attrs.frozen
class Dropped:
    """The connection is lost after this many bytes of a GET's answer."""

    after: int


@attrs.frozen
class Raised:
    """The first read behind this many bytes of a GET's answer raises the error."""

    after: int
    error: BaseException


def refused() -> Exception:
    """What urllib3 raises when nobody listens."""
    return NewConnectionError(None, "refused")  # type: ignore[arg-type]  # the connection is only printed


def reader(
    store: FakeStore,
    sleep: Callable[[float], None] = lambda seconds: None,
    clock: Callable[[], float] = time.monotonic,
    **arguments: Any,
) -> BlobReader:
    """A reader of ``store`` whose pauses end at once."""
    given = {
        "endpoint": "http://localhost:9000",
        "path_style": True,
        "credentials": static_credentials("key", "secret"),
        **arguments,
    }
    made = BlobReader("kafscale", **given)
    made._retry = attrs.evolve(made._retry, sleep=sleep, clock=clock)
    made._http = store  # type: ignore[assignment]  # a double
    return made


class OwnSource(PresignedSource):
    """A source of the caller's own, which blocks: event loops read from it in threads."""

    def get(self, request: BlobRequest) -> BlobAnswer:
        return super().get(request)


def own_source() -> OwnSource:
    """One of a FakeStore, for its reader."""
    return OwnSource(lambda envelope, record: f"http://store/{envelope.s3_bucket}/{envelope.s3_key}")


def envelope_of(data: bytes, **fields: Any) -> Envelope:
    """The envelope of a blob, under the key lfs/k."""
    given = {
        "s3_bucket": "kafscale",
        "s3_key": "lfs/k",
        "content_type": "text/plain",
        "content_length": len(data),
        "checksum_algo": "sha256",
        "checksum": hashlib.sha256(data).hexdigest(),
    }
    return Envelope(**{**given, **fields})


def stored(data: bytes) -> tuple[FakeStore, bytes]:
    """A store with one blob, and the envelope that names it."""
    return FakeStore({("kafscale", "lfs/k"): data}), envelope_of(data).to_bytes()

"""Blobs on their way out of S3: a GET whose body is read as its reader can take it.

A connection that breaks is followed by a ranged GET from the next byte on, of the same object (If-Match). How
long that is tried counts from the last progress, so that a long download may be interrupted often.
"""

from __future__ import annotations

from contextlib import suppress

from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from zope.interface import implementer

from lfsproxy.errors import BlobMissing, BlobTruncated, StoreRefused, StoreUnavailable
from lfsproxy.interfaces import IBlobDownload, IBlobSource
from lfsproxy.s3 import explain
from lfsproxy.s3.answers import Answer
from lfsproxy.s3.client import S3Client
from lfsproxy.s3.crc import told_crc
from lfsproxy.s3.credentials import CredentialSource
from lfsproxy.s3.signing import presign_get
from lfsproxy.s3.stream import BodyBroken, BodyStream
from lfsproxy.s3.whole import Blob, WholeCrcs

PAUSE_SECONDS = 0.2
"""Between a connection that broke without a byte and the next: the client's own pauses come on top."""


@implementer(IBlobSource)
class S3BlobSource:
    """Made by S3Store; shares the store's client. ``patience`` is LFS_S3_RETRY_TIMEOUT."""

    def __init__(
        self,
        client: S3Client,
        credentials: CredentialSource,
        reactor: ReactorBase,
        clock: IReactorTime,
        patience: float,
    ) -> None:
        self.bucket = client.location.bucket
        self._client = client
        self._credentials = credentials
        self._clock = clock
        self._patience = patience
        self._crcs = WholeCrcs(client, reactor, self._open_whole)

    async def open(self, key: str, size: int, first: int, count: int) -> IBlobDownload:
        download = S3Download(self._client, self._clock, self._patience, key, size, first, count)
        await download.start()
        return download

    async def size_of(self, key: str) -> int | None:
        head = await self._client.head_object(key)
        return None if head is None else int(head.headers.get("content-length", "0"))

    async def crc32c(self, key: str, size: int) -> int:
        return await self._crcs.of(key, size)

    async def _open_whole(self, blob: Blob) -> IBlobDownload:
        size = blob.size
        download = S3Download(
            self._client, self._clock, self._patience, blob.key, size, 0, size, blob.etag or None
        )
        await download.start()
        return download

    async def presign(self, key: str, seconds: int, content_type: str, disposition: str) -> str:
        return presign_get(
            self._client.location,
            await self._credentials.current(),
            key,
            seconds,
            {"response-content-type": content_type, "response-content-disposition": disposition},
        )


@implementer(IBlobDownload)
class S3Download:
    """``count`` bytes from ``first`` on of an object of ``size`` bytes, and of that ``etag`` if known."""

    def __init__(
        self,
        client: S3Client,
        clock: IReactorTime,
        patience: float,
        key: str,
        size: int,
        first: int,
        count: int,
        etag: str | None = None,
    ) -> None:
        self._client = client
        self._clock = clock
        self._patience = patience
        self._key = key
        self._size = size
        self._whole = first == 0 and count == size
        self._position = first
        self._end = first + count
        self._etag = etag
        self.crc32c: int | None = None
        self._stream: BodyStream | None = None
        self._progress = clock.seconds()

    async def start(self) -> None:
        """Ask for the bytes, and take the head of the answer."""
        last = None if self._whole else self._end - 1
        answer = await self._client.get_object(self._key, self._position, last, self._etag)
        if answer.code == "NoSuchBucket":
            raise StoreRefused(str(explain.refused(self._client.location, answer)))
        if answer.status == 404:
            raise BlobMissing(f"the blob {self._name} is missing")
        if answer.stream is None:
            if answer.status == 412:
                raise StoreUnavailable(f"the blob {self._name} was replaced while it was read")
            raise BlobTruncated(
                f"the blob {self._name} is shorter than the {self._size} bytes of its envelope"
            )
        self._stream = answer.stream
        if (self._position or last is not None) and not _begins_at(answer, self._position):
            self.close()
            raise StoreRefused(
                f"the store does not give the part of the blob {self._name} that was asked for"
            )
        size = _size_of(answer)
        if size is not None and size != self._size:
            self.close()
            raise BlobTruncated(f"the blob {self._name} has {size} bytes, its envelope says {self._size}")
        self._etag = answer.tag or None
        if self._whole and answer.status == 200:
            self.crc32c = told_crc(answer.headers)

    def read(self) -> Deferred[bytes]:
        return Deferred.fromCoroutine(self._read())

    async def _read(self) -> bytes:
        # However long ago the last bytes were asked for: a slow reader is no trouble of the store's.
        self._progress = self._clock.seconds()
        while self._position < self._end:
            if self._stream is None:
                await self.start()
            assert self._stream is not None
            try:
                data = await self._stream.read()
            except BodyBroken as error:
                await self._broke(str(error))
                continue
            if not data:
                await self._broke("the store ended the body too early")
                continue
            self._position += len(data)
            if self._position > self._end:
                raise BlobTruncated(f"the store gives more of the blob {self._name} than was asked for")
            return data
        await self._end_body()
        return b""

    async def _end_body(self) -> None:
        """Read the body's end, so that its connection serves the next request."""
        if self._stream is not None:
            with suppress(BodyBroken):
                await self._stream.read()
        self.close()

    async def _broke(self, why: str) -> None:
        """Wait before the body is taken up again, or raise when that has been tried for long enough."""
        self.close()
        if self._clock.seconds() - self._progress >= self._patience:
            endpoint = self._client.location.named
            raise StoreUnavailable(
                f"the blob {self._name} cannot be read on at {self._position} from {endpoint}: {why}"
            )
        self._client.count_retry("get_object")
        await deferLater(self._clock, PAUSE_SECONDS)

    @property
    def _name(self) -> str:
        return f"{self._client.location.bucket}/{self._key}"

    def close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


def _begins_at(answer: Answer, position: int) -> bool:
    shown = answer.headers.get("content-range", "")
    return answer.status == 206 and shown.startswith(f"bytes {position}-")


def _size_of(answer: Answer) -> int | None:
    """The whole object's size: Content-Length of a 200, what is behind the slash in a 206's Content-Range."""
    text = answer.headers.get("content-length", "")
    if answer.status == 206:
        text = answer.headers.get("content-range", "").rpartition("/")[2]
    return int(text) if text.isdecimal() else None

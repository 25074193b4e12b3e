"""In-memory doubles of what downloads read: a MemoryPublisher's records, a MemoryBlobStore's blobs."""

from __future__ import annotations

import hashlib
from urllib.parse import quote

import attrs
from crc32c import crc32c
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from lfsproxy.errors import BlobMissing, BlobTruncated, LfsError, NoSuchRecord, UnknownTopic
from lfsproxy.interfaces import IBlobDownload, IBlobSource, IRecordLog, LogRecord
from lfsproxy.testing import Faults, MemoryBlobStore, MemoryPublisher


@implementer(IRecordLog)
class MemoryLog(Faults):
    """The records of a MemoryPublisher. ``read`` can be failed or held."""

    def __init__(self, publisher: MemoryPublisher) -> None:
        super().__init__()
        self._publisher = publisher

    async def read(self, topic: str, partition: int, offset: int, most: int) -> LogRecord:
        await self._pass("read")
        if partition >= self._publisher.topics.get(topic, 0):
            raise UnknownTopic(f"there is no partition {partition} of a topic {topic}")
        for one in self._publisher.records:
            if (one.topic, one.partition, one.offset) == (topic, partition, offset):
                size = None if one.value is None else len(one.value)
                sha256 = hashlib.sha256(one.value or b"").hexdigest()
                value = one.value if size is not None and size <= most else None
                return LogRecord(topic, partition, offset, one.timestamp, size, sha256, value, one.headers)
        raise NoSuchRecord(f"{topic}, partition {partition}, offset {offset} is not in the log")


@implementer(IBlobSource)
class MemoryBlobSource(Faults):
    """The blobs of a MemoryBlobStore, ``piece`` bytes at a time.

    Calls that can be failed or held: open, size_of, crc32c, presign; and read, of every download.
    ``open_downloads`` counts those that were not closed yet. With ``tells_crc`` a whole blob comes with its
    CRC-32C.
    """

    def __init__(self, store: MemoryBlobStore, piece: int = 256 * 1024) -> None:
        super().__init__()
        self.bucket = store.bucket
        self.piece = piece
        self.tells_crc = False
        self.open_downloads = 0
        self._store = store

    async def open(self, key: str, size: int, first: int, count: int) -> IBlobDownload:
        await self._pass("open")
        data = self._found(key, size)[first : first + count]
        return _MemoryDownload(self, data, crc32c(data) if self.tells_crc and count == size else None)

    def _found(self, key: str, size: int) -> bytes:
        found = self._store.blobs.get(key)
        if found is None:
            raise BlobMissing(f"the blob {self.bucket}/{key} is missing")
        if len(found.data) != size:
            raise BlobTruncated(f"the blob {self.bucket}/{key} has {len(found.data)} bytes, not {size}")
        return found.data

    async def size_of(self, key: str) -> int | None:
        await self._pass("size_of")
        found = self._store.blobs.get(key)
        return None if found is None else len(found.data)

    async def crc32c(self, key: str, size: int) -> int:
        await self._pass("crc32c")
        return crc32c(self._found(key, size))

    async def presign(self, key: str, seconds: int, content_type: str, disposition: str) -> str:
        await self._pass("presign")
        return f"https://s3.example/{quote(key)}?expires={seconds}&type={quote(content_type)}"


@implementer(IBlobDownload)
@attrs.define(eq=False)
class _MemoryDownload:
    _source: MemoryBlobSource
    _left: bytes
    crc32c: int | None
    _closed: bool = False

    def __attrs_post_init__(self) -> None:
        self._source.open_downloads += 1

    def read(self) -> Deferred[bytes]:
        try:
            self._source._raise_next("read")
        except LfsError as error:
            return fail(error)
        data, self._left = self._left[: self._source.piece], self._left[self._source.piece :]
        held = self._source._wait("read")
        return succeed(data) if held is None else held.addCallback(lambda _: data)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._source.open_downloads -= 1

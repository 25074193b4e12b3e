"""The in-memory double of the store that resumable uploads need.

tests/resumable_contract.py holds it and the S3 one to one suite.
"""

from __future__ import annotations

import hashlib
import itertools
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from lfsproxy.checksums import Buffer, Checksum
from lfsproxy.errors import StoreRefused
from lfsproxy.interfaces import IResumableStore, ListedObject, StoredPart
from lfsproxy.resumable.errors import OtherBytes
from lfsproxy.settings import DEFAULTS
from lfsproxy.testing import Faults, MemoryBlob


@implementer(IResumableStore)
class MemoryResumableStore(Faults):
    """State, parts and blobs in dictionaries. Every call but ``digest`` and ``remove_parts`` can be failed or
    held.

    ``objects`` are the small ones with the time they were written; ``uploads`` the multipart uploads, each
    with its key and its parts by number, ``begun`` when they were; ``blobs`` the visible blobs, also of
    somebody else where they are given. ``conditional`` False is a store that overwrites.
    """

    def __init__(
        self,
        clock: IReactorTime,
        bucket: str = DEFAULTS.s3_bucket,
        part_size: int = 1024 * 1024,
        concurrency: int = DEFAULTS.s3_concurrency,
        blobs: dict[str, MemoryBlob] | None = None,
    ) -> None:
        super().__init__()
        self.bucket = bucket
        self.concurrency = concurrency
        self.most_parts = 10_000
        self.conditional = True
        self.objects: dict[str, tuple[bytes, float]] = {}
        self.uploads: dict[str, tuple[str, dict[int, bytes]]] = {}
        self.blobs: dict[str, MemoryBlob] = {} if blobs is None else blobs
        self.begun: dict[str, float] = {}
        self._clock = clock
        self._part_size = part_size
        self._described: dict[str, tuple[str, Mapping[str, str]]] = {}
        self._numbers = itertools.count(1)

    def part_size(self, length: int | None) -> int:
        return self._part_size

    async def create_object(self, key: str, buffers: Sequence[Buffer]) -> bool:
        data = b"".join(buffers)
        await self._pass("create_object")
        if self.conditional and key in self.objects:
            return self.objects[key][0] == data
        self.objects[key] = (data, self._clock.seconds())
        return True

    async def read_object(self, key: str, start: int = 0, size: int | None = None) -> bytes | None:
        await self._pass("read_object")
        blob = self.blobs.get(key)
        data = blob.data if blob is not None else self.objects.get(key, (None, 0.0))[0]
        return None if data is None else data[start : None if size is None else start + size]

    async def list_objects(self, prefix: str) -> Sequence[ListedObject]:
        await self._pass("list_objects")
        now = self._clock.seconds()
        return [
            ListedObject(key, len(data), now - written)
            for key, (data, written) in sorted(self.objects.items())
            if key.startswith(prefix)
        ]

    async def list_pages(self, prefix: str) -> AsyncIterator[Sequence[ListedObject]]:
        yield await self.list_objects(prefix)

    async def delete_object(self, key: str) -> None:
        await self._pass("delete_object")
        self.objects.pop(key, None)

    async def digest(self, checksums: Sequence[Checksum], data: Buffer) -> None:
        for checksum in checksums:
            checksum.update(data)

    async def put_blob(
        self, key: str, content_type: str, metadata: Mapping[str, str], buffers: Sequence[Buffer]
    ) -> None:
        blob = MemoryBlob(b"".join(buffers), content_type, dict(metadata), self._clock.seconds())
        await self._pass("put_blob")
        if self.blobs.setdefault(key, blob).data != blob.data:
            raise OtherBytes(f"there is another object at {self.bucket}/{key}")

    async def begin_parts(self, key: str, content_type: str, metadata: Mapping[str, str]) -> str:
        await self._pass("begin_parts")
        upload_id = f"upload-{next(self._numbers)}"
        self.uploads[upload_id] = (key, {})
        self.begun[upload_id] = self._clock.seconds()
        self._described[upload_id] = (content_type, dict(metadata))
        return upload_id

    async def put_part(self, key: str, upload_id: str, number: int, buffers: Sequence[Buffer]) -> StoredPart:
        data = b"".join(buffers)
        await self._pass("put_part")
        if self.uploads.get(upload_id, ("", {}))[0] != key:
            raise StoreRefused(f"there is no upload {upload_id}")
        self.uploads[upload_id][1][number] = data
        return StoredPart(number, hashlib.md5(data, usedforsecurity=False).hexdigest(), zlib.crc32(data))

    async def complete_parts(
        self, key: str, upload_id: str, parts: Sequence[StoredPart], length: int, part_size: int
    ) -> bool:
        await self._pass("complete_parts")
        if upload_id not in self.uploads:
            if key in self.blobs and len(self.blobs[key].data) == length:
                return False
            raise StoreRefused(f"there is no upload {upload_id}")
        stored = self.uploads[upload_id][1]
        for part in parts:
            if hashlib.md5(stored[part.number], usedforsecurity=False).hexdigest() != part.etag:
                raise StoreRefused(f"part {part.number} of {key} was replaced")
        data = b"".join(stored[part.number] for part in parts)
        self.blobs[key] = MemoryBlob(data, *self._described[upload_id], self._clock.seconds())
        del self.uploads[upload_id]
        return True

    async def remove_parts(self, key: str, blob: bool) -> None:
        self.uploads = {id: kept for id, kept in self.uploads.items() if kept[0] != key}
        if blob:
            self.blobs.pop(key, None)

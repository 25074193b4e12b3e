"""The in-memory double of a whole store: one bucket, and each thing that a store can do.

tests/index_contract.py holds it and the S3 store to one suite.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from lfsproxy.interfaces import IObjectIndex, IStore, ListedObject, ListedUpload
from lfsproxy.settings import DEFAULTS
from lfsproxy.testing import Faults, MemoryBlobStore
from lfsproxy.testing.downloads import MemoryBlobSource
from lfsproxy.testing.resumable import MemoryResumableStore


@implementer(IStore)
class MemoryStore:
    """``clock`` gives the ages of what is listed. ``closed`` says whether ``close`` was called."""

    def __init__(
        self,
        clock: IReactorTime,
        bucket: str = DEFAULTS.s3_bucket,
        part_size: int = DEFAULTS.s3_part_size,
        page: int = 1000,
    ) -> None:
        self.blobs = MemoryBlobStore(bucket, part_size, clock.seconds)
        self.source = MemoryBlobSource(self.blobs)
        self.resumable = MemoryResumableStore(clock, bucket, part_size, blobs=self.blobs.blobs)
        self.index = MemoryIndex(clock, self.blobs, self.resumable, page)
        self.closed = False

    async def close(self) -> None:
        self.closed = True


@implementer(IObjectIndex)
class MemoryIndex(Faults):
    """Lists what its bucket's other doubles hold, ``page`` at a time.

    Calls that can be failed or held: prefixes, objects and uploads (each page of them), delete, delete_many,
    abort. ``undeletable``: keys that the store keeps, each with why.
    """

    def __init__(
        self, clock: IReactorTime, blobs: MemoryBlobStore, resumable: MemoryResumableStore, page: int = 1000
    ) -> None:
        super().__init__()
        self.bucket = blobs.bucket
        self._clock = clock
        self._blobs = blobs
        self._resumable = resumable
        self._page = page
        self.undeletable: dict[str, str] = {}

    def _there(self) -> dict[str, tuple[int, float]]:
        """The size and age of each object."""
        now = self._clock.seconds()
        there = {key: (len(blob.data), now - blob.written) for key, blob in self._blobs.blobs.items()}
        return there | {
            key: (len(data), now - written) for key, (data, written) in self._resumable.objects.items()
        }

    async def prefixes(self, prefix: str) -> AsyncIterator[Sequence[str]]:
        rests = (key[len(prefix) :] for key in self._there() if key.startswith(prefix))
        found = sorted({prefix + rest.partition("/")[0] + "/" for rest in rests if "/" in rest})
        for first in range(0, len(found), self._page):
            await self._pass("prefixes")
            yield found[first : first + self._page]

    async def objects(self, prefix: str) -> AsyncIterator[Sequence[ListedObject]]:
        there = sorted(self._there().items())
        found = [ListedObject(key, *said) for key, said in there if key.startswith(prefix)]
        for first in range(0, len(found), self._page):
            await self._pass("objects")
            yield found[first : first + self._page]

    async def uploads(self, prefix: str) -> AsyncIterator[Sequence[ListedUpload]]:
        now = self._clock.seconds()
        begun = self._resumable.begun
        there = [ListedUpload(key, id, now - begun[id]) for id, (key, _) in self._resumable.uploads.items()]
        there += [ListedUpload(each.key, id, now - each.begun) for id, each in self._blobs.multipart.items()]
        found = sorted((one for one in there if one.key.startswith(prefix)), key=lambda one: one.key)
        for first in range(0, len(found), self._page):
            await self._pass("uploads")
            yield found[first : first + self._page]

    async def delete(self, key: str) -> None:
        await self._pass("delete")
        self._blobs.blobs.pop(key, None)
        self._resumable.objects.pop(key, None)

    async def delete_many(self, keys: Sequence[str]) -> Mapping[str, str]:
        await self._pass("delete_many")
        for key in keys:
            if key not in self.undeletable:
                self._blobs.blobs.pop(key, None)
                self._resumable.objects.pop(key, None)
        return {key: self.undeletable[key] for key in keys if key in self.undeletable}

    async def abort(self, key: str, upload_id: str) -> bool:
        await self._pass("abort")
        written = self._blobs.multipart.get(upload_id)
        if written is not None and written.key == key:
            written.abort()
            return True
        if self._resumable.uploads.get(upload_id, ("", {}))[0] != key:
            return False
        del self._resumable.uploads[upload_id]
        return True

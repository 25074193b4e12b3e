"""Looks at the bucket: blobs, unfinished uploads, and what resumable uploads still work on.

A resumable upload that ends is a blob that is old already, as S3 counts a blob's age from the begin of its
upload. Its state in ``lfs-uploads/`` is there from before its first byte until it is published or given up.
So the state is read before the topics are: either it is there, and holds the blob, or the envelope is in the
log before that is looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lfsproxy.envelope import KEY_ROOT, parse_key
from lfsproxy.errors import StoreRefused
from lfsproxy.interfaces import IObjectIndex, IResumableStore, ListedObject
from lfsproxy.resumable.state import ROOT as STATE_ROOT
from lfsproxy.upkeep.orphans.book import Book, SeenBlob
from lfsproxy.upkeep.orphans.names import uuids_in
from lfsproxy.upkeep.parallel import LISTS_AT_ONCE, some_at_once

INFO: Final = "/info"
"""The object of a resumable upload that names its blob. It is there before anything of the blob is, and until
the envelope is in the log or nobody will ever publish it."""


class Listing:
    """Fills ``book``. ``seen`` is called with how many more objects were seen.

    ``resumable`` is None where the store can have no resumable uploads.
    """

    def __init__(
        self,
        index: IObjectIndex,
        resumable: IResumableStore | None,
        namespace: str,
        min_age: float,
        book: Book,
        seen: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._index = index
        self._resumable = resumable
        self._prefix = f"{KEY_ROOT}{namespace}/"
        self._namespace = namespace
        self._min_age = min_age
        self._book = book
        self._seen = seen

    async def run(self) -> None:
        """List everything anew. Raises what the store raises."""
        self._book.begin_list()
        await self._list_uploads()
        topics = await self._prefixes(self._prefix)
        partitions: list[str] = []

        async def look_into(topic: str) -> None:
            partitions.extend(await self._prefixes(topic))

        await some_at_once(LISTS_AT_ONCE, topics, look_into)
        await some_at_once(LISTS_AT_ONCE, partitions, self._list_blobs)
        await self._hold_what_is_at_work()
        self._book.end_list()

    async def _prefixes(self, prefix: str) -> list[str]:
        return [one async for page in self._index.prefixes(prefix) for one in page]

    async def _list_blobs(self, prefix: str) -> None:
        async for page in self._index.objects(prefix):
            blobs = [blob for one in page if (blob := self._blob(one)) is not None]
            self._book.add_blobs(blobs, len(page) - len(blobs))
            self._seen(len(page))

    def _blob(self, listed: ListedObject) -> SeenBlob | None:
        key = parse_key(listed.key)
        if key is None or key.namespace != self._namespace:
            return None
        return SeenBlob(key.uuid.bytes, key.topic, listed.key, listed.size, listed.age >= self._min_age)

    async def _list_uploads(self) -> None:
        async for page in self._index.uploads(self._prefix):
            old = [(one, key) for one in page if one.age >= self._min_age and (key := parse_key(one.key))]
            self._book.add_uploads((one.key, one.upload_id, key.uuid.bytes) for one, key in old)

    async def _hold_what_is_at_work(self) -> None:
        async for page in self._index.objects(STATE_ROOT):
            infos = [one.key for one in page if one.key.endswith(INFO)]
            if infos and self._resumable is None:
                raise StoreRefused("there is state of resumable uploads in the bucket, which cannot be read")
            await some_at_once(LISTS_AT_ONCE, infos, self._hold)

    async def _hold(self, key: str) -> None:
        assert self._resumable is not None
        data = await self._resumable.read_object(key)
        if data is None:
            # The upload has ended: its envelope is in the log, or it never will be.
            return
        if not (uuids := uuids_in(data)):
            raise StoreRefused(f"{key} is no state of a resumable upload: it names no blob")
        self._book.hold(uuids)

"""Removes what a search has found, after one more look at each object.

A key of a blob is written once. So an object that is listed once more, with the size that it had and old
enough, is the one that was judged; anything else stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs

from lfsproxy.envelope import topic_prefix
from lfsproxy.interfaces import IObjectIndex, ListedObject
from lfsproxy.upkeep.orphans.book import Book
from lfsproxy.upkeep.parallel import LISTS_AT_ONCE, some_at_once

_UPLOADS = 100
"""Unfinished uploads that are taken out of the book at once."""


@attrs.define
class Removed:
    """What was removed. ``failed``: why blobs are still there, by their keys; a few of them."""

    deleted: int = 0
    size: int = 0
    aborted: int = 0
    failures: int = 0
    failed: dict[str, str] = attrs.Factory(dict)

    def fail(self, why: Mapping[str, str]) -> None:
        self.failures += len(why)
        for key, text in why.items():
            if len(self.failed) < 10:
                self.failed[key] = text


class Removal:
    """``seen`` is called with how many more are done."""

    def __init__(
        self,
        index: IObjectIndex,
        namespace: str,
        min_age: float,
        book: Book,
        seen: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._index = index
        self._namespace = namespace
        self._min_age = min_age
        self._book = book
        self._seen = seen
        self._removed = Removed()

    async def run(self) -> Removed:
        """Raises what the store raises. What was removed by then is not in the book any more."""
        await some_at_once(LISTS_AT_ONCE, list(self._book.orphans_by_topic()), self._remove_of)
        last = ("", "")
        while uploads := self._book.some_uploads(_UPLOADS, last):
            await some_at_once(LISTS_AT_ONCE, uploads, self._abort)
            last = uploads[-1]
        return self._removed

    async def _remove_of(self, topic: str) -> None:
        async for page in self._index.objects(topic_prefix(self._namespace, topic)):
            if page:
                await self._remove(page)

    async def _remove(self, page: Sequence[ListedObject]) -> None:
        keys = [one.key for one in page]
        # A store may list in another order than the book's.
        orphans = self._book.orphans_between(min(keys), max(keys))
        removable = {one.key: one.size for one in page if self._is_same(one, orphans)}
        if not removable:
            return
        failed = await self._index.delete_many(list(removable))
        deleted = [key for key in removable if key not in failed]
        self._book.forget(deleted)
        self._removed.deleted += len(deleted)
        self._removed.size += sum(removable[key] for key in deleted)
        self._removed.fail(failed)
        self._seen(len(removable))

    def _is_same(self, listed: ListedObject, orphans: Mapping[str, int]) -> bool:
        return orphans.get(listed.key) == listed.size and listed.age >= self._min_age

    async def _abort(self, upload: tuple[str, str]) -> None:
        key, upload_id = upload
        if await self._index.abort(key, upload_id):
            self._removed.aborted += 1
        self._seen(1)

"""What every index of a bucket keeps to. The double and the S3 store are held to this same suite."""

from __future__ import annotations

from uuid import uuid4

from twisted.trial.unittest import TestCase

from lfsproxy.budget import HeldMemory
from lfsproxy.checksums import new_checksum
from lfsproxy.errors import StoreUnavailable
from lfsproxy.interfaces import IObjectIndex, IResumableStore, IStore, ListedObject, ListedUpload

PAGE = 3
"""How many the tested index lists at a time, where its store can be told."""


class IndexContract(TestCase):
    """Mixed into a class that says which store. ``index`` lists PAGE at a time."""

    store: IStore
    index: IObjectIndex
    odd_names: tuple[str, ...] = (
        "a b",
        "a+b",
        "a&b<c>",
        "100%25",
        "\u00e9\u4e2d",
        " both ",
        "line\nend",
        "bell\x07",
        "quote'\"",
    )
    """What keys may have in them besides what the proxy's own have."""
    tells_what_ended = True
    """False for a store that takes an upload that is gone for aborted."""

    def setUp(self) -> None:
        super().setUp()
        self.prefix = f"lfs/default/{uuid4()}/"

    @property
    def resumable(self) -> IResumableStore:
        assert self.store.resumable is not None
        return self.store.resumable

    async def put(self, *keys: str) -> None:
        """Let there be objects, each with as many bytes as its key has characters."""
        for key in keys:
            await self.resumable.put_blob(key, "text/plain", {}, [b"x" * len(key)])

    async def begin(self, *keys: str) -> list[str]:
        """Let there be uploads; their ids."""
        return [await self.resumable.begin_parts(key, "text/plain", {}) for key in keys]

    async def objects(self, prefix: str) -> list[ListedObject]:
        return [one async for page in self.index.objects(prefix) for one in page]

    async def uploads(self, prefix: str) -> list[ListedUpload]:
        return [one async for page in self.index.uploads(prefix) for one in page]

    async def test_an_object_is_listed_with_its_size_and_age(self) -> None:
        await self.put(self.prefix + "a")
        [one] = await self.objects(self.prefix)
        self.assertEqual((one.key, one.size), (self.prefix + "a", len(self.prefix) + 1))
        self.assertLess(abs(one.age), 60)

    async def test_only_what_is_below_the_prefix_is_listed(self) -> None:
        await self.put(self.prefix + "in/a", self.prefix + "in/b", self.prefix + "inn", self.prefix + "out")
        keys = [one.key for one in await self.objects(self.prefix + "in/")]
        self.assertEqual(keys, [self.prefix + "in/a", self.prefix + "in/b"])
        self.assertEqual(await self.objects(self.prefix + "none/"), [])

    async def test_a_list_of_several_pages_is_whole(self) -> None:
        for count in (PAGE, PAGE + 1, 3 * PAGE - 1):
            keys = [f"{self.prefix}{count}/{number:02d}" for number in range(count)]
            await self.put(*keys)
            self.assertEqual([one.key for one in await self.objects(f"{self.prefix}{count}/")], keys)

    async def test_a_key_is_named_as_it_is_whatever_characters_it_has(self) -> None:
        keys = [self.prefix + name for name in self.odd_names]
        await self.put(*keys)
        self.assertEqual(sorted(one.key for one in await self.objects(self.prefix)), sorted(keys))
        for key in keys:
            await self.index.delete(key)
        self.assertEqual(await self.objects(self.prefix), [])

    async def test_an_object_that_is_not_there_is_deleted_without_error(self) -> None:
        await self.put(self.prefix + "a", self.prefix + "b")
        for _ in range(2):
            await self.index.delete(self.prefix + "a")
        self.assertEqual([one.key for one in await self.objects(self.prefix)], [self.prefix + "b"])

    async def prefixes(self, prefix: str) -> list[str]:
        return [one for page in [page async for page in self.index.prefixes(prefix)] for one in page]

    async def test_prefixes_are_what_keys_have_up_to_their_next_slash(self) -> None:
        names = ("a/1", "a/2", "a b/3", "b+c/d/4", "lone", "\u00e9/5", "n/6", "o/7", "p/8")
        await self.put(*(self.prefix + name for name in names))
        expected = [self.prefix + name for name in ("a b/", "a/", "b+c/", "n/", "o/", "p/", "\u00e9/")]
        self.assertEqual(sorted(await self.prefixes(self.prefix)), expected)
        self.assertEqual(await self.prefixes(self.prefix + "b+c/"), [self.prefix + "b+c/d/"])
        self.assertEqual(await self.prefixes(self.prefix + "none/"), [])

    async def test_many_are_deleted_and_no_others(self) -> None:
        keys = [self.prefix + name for name in (*self.odd_names, "a", "b")]
        await self.put(*keys)
        deleted = [*keys[:-1], self.prefix + "was never there"]
        self.assertEqual(await self.index.delete_many(deleted), {})
        self.assertEqual([one.key for one in await self.objects(self.prefix)], [self.prefix + "b"])

    async def test_none_are_deleted(self) -> None:
        self.assertEqual(await self.index.delete_many([]), {})

    async def test_an_unfinished_upload_is_listed_and_one_that_ended_is_not(self) -> None:
        key = self.prefix + "a"
        done, left = await self.begin(key, key)
        part = await self.resumable.put_part(key, done, 1, [b"data"])
        await self.resumable.complete_parts(key, done, [part], 4, 4)
        [one] = await self.uploads(key)
        self.assertEqual((one.key, one.upload_id), (key, left))
        self.assertLess(abs(one.age), 60)
        self.assertEqual([each.key for each in await self.objects(self.prefix)], [key])

    async def test_uploads_of_several_pages_are_all_listed(self) -> None:
        keys = [f"{self.prefix}{number:02d}" for number in (0, 1, 1, 1, 1, 2, 3)]
        ids = await self.begin(*keys)
        listed = await self.uploads(self.prefix)
        self.assertEqual(
            sorted((one.key, one.upload_id) for one in listed), sorted(zip(keys, ids, strict=True))
        )

    async def test_uploads_to_keys_beside_the_prefix_are_not_listed(self) -> None:
        await self.begin(self.prefix + "in", self.prefix + "out")
        self.assertEqual([one.key for one in await self.uploads(self.prefix + "in")], [self.prefix + "in"])

    async def test_an_upload_to_any_key_is_listed_and_aborted(self) -> None:
        for name in self.odd_names:
            [upload_id] = await self.begin(self.prefix + name)
            [one] = await self.uploads(self.prefix + name)
            self.assertEqual((one.key, one.upload_id), (self.prefix + name, upload_id))
            self.assertTrue(await self.index.abort(one.key, one.upload_id))
            self.assertEqual(await self.uploads(self.prefix + name), [])

    async def test_an_upload_is_aborted_once(self) -> None:
        key = self.prefix + "a"
        first, second = await self.begin(key, key)
        await self.resumable.put_part(key, first, 1, [b"data"])
        self.assertTrue(await self.index.abort(key, first))
        self.assertEqual(await self.index.abort(key, first), not self.tells_what_ended)
        self.assertEqual([one.upload_id for one in await self.uploads(key)], [second])

    async def test_an_upload_of_a_door_is_listed_until_it_ends(self) -> None:
        key = self.prefix + "a"
        upload = self.store.blobs.begin(key, "text/plain", {}, new_checksum("md5"), None, HeldMemory())
        wait = upload.write(b"x" * (self.store.blobs.part_size + 1))
        if wait is not None:
            await wait
        await upload.seal()
        [one] = await self.uploads(key)
        self.assertTrue(await self.index.abort(key, one.upload_id))
        with self.assertRaises(StoreUnavailable):
            await upload.commit({})
        await upload.abort()
        self.assertEqual(await self.objects(self.prefix), [])


del TestCase

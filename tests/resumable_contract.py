"""What every store of resumable uploads keeps to. The double and the S3 one are held to this same suite."""

from __future__ import annotations

import hashlib
import os
from uuid import uuid4

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from lfsproxy.checksums import new_checksum
from lfsproxy.errors import StoreRefused
from lfsproxy.interfaces import IResumableStore

METADATA = {"lfs-topic": "demo-topic", "lfs-partition": "0"}


class ResumableStoreContract(TestCase):
    """Mixed into a class that says which store. ``part`` is the size of a part, in bytes."""

    store: IResumableStore
    part = 1000

    def setUp(self) -> None:
        super().setUp()
        id = uuid4()
        self.key = f"lfs/default/demo-topic/0/0-{id}.bin"
        self.prefix = f"lfs-uploads/{id.hex}/"

    async def unfinished(self, key: str) -> int:
        """How many multipart uploads to ``key`` are open."""
        raise NotImplementedError

    async def test_an_object_is_created_once(self) -> None:
        self.assertTrue(await self.store.create_object(self.prefix + "a", [b"fir", b"st"]))
        self.assertFalse(await self.store.create_object(self.prefix + "a", [b"second"]))
        self.assertEqual(await self.store.read_object(self.prefix + "a"), b"first")

    async def test_of_many_at_once_one_creates(self) -> None:
        key = self.prefix + "race"
        made = await gatherResults(
            [Deferred.fromCoroutine(self.store.create_object(key, [b"%d" % n])) for n in range(8)]
        )
        self.assertEqual(sorted(made), [False] * 7 + [True])
        self.assertEqual(await self.store.read_object(key), b"%d" % made.index(True))

    async def test_an_object_is_read_in_ranges(self) -> None:
        await self.store.create_object(self.prefix + "a", [b"0123456789"])
        for start, size, wanted in ((0, 4, b"0123"), (8, 4, b"89"), (3, None, b"3456789"), (10, 4, b"")):
            self.assertEqual(await self.store.read_object(self.prefix + "a", start, size), wanted)
        self.assertIsNone(await self.store.read_object(self.prefix + "none"))
        self.assertIsNone(await self.store.read_object(self.prefix + "none", 5, 5))

    async def test_an_empty_object_is_an_object(self) -> None:
        await self.store.create_object(self.prefix + "a", [])
        self.assertEqual(await self.store.read_object(self.prefix + "a"), b"")

    async def test_what_was_created_is_listed_and_what_was_deleted_is_not(self) -> None:
        for name in ("b", "a", "c/d"):
            await self.store.create_object(self.prefix + name, [name.encode()])
        await self.store.delete_object(self.prefix + "b")
        await self.store.delete_object(self.prefix + "b")
        listed = await self.store.list_objects(self.prefix)
        self.assertEqual(
            [(one.key, one.size) for one in listed], [(self.prefix + "a", 1), (self.prefix + "c/d", 3)]
        )
        for one in listed:
            self.assertLess(abs(one.age), 120)

    async def test_a_long_list_is_whole(self) -> None:
        names = [f"{self.prefix}{number:04d}" for number in range(1005)]
        for at in range(0, len(names), 50):
            await gatherResults(
                [Deferred.fromCoroutine(self.store.create_object(key, [b""])) for key in names[at : at + 50]]
            )
        self.assertEqual([one.key for one in await self.store.list_objects(self.prefix)], names)

    async def test_a_digest_is_that_of_the_bytes(self) -> None:
        first, second = new_checksum("sha256"), new_checksum("md5")
        data = os.urandom(300_000)
        await self.store.digest([first, second], data)
        self.assertEqual(first.hexdigest(), hashlib.sha256(data).hexdigest())
        self.assertEqual(second.hexdigest(), hashlib.md5(data).hexdigest())

    async def test_a_blob_in_one_request_may_be_stored_again_but_not_changed(self) -> None:
        for _ in range(2):
            await self.store.put_blob(self.key, "image/png", METADATA, [b"da", b"ta"])
        with self.assertRaises(StoreRefused):
            await self.store.put_blob(self.key, "image/png", METADATA, [b"else"])
        self.assertEqual(await self.store.read_object(self.key), b"data")
        await self.store.remove_parts(self.key, blob=True)
        self.assertIsNone(await self.store.read_object(self.key))

    async def test_parts_become_a_blob_once(self) -> None:
        pieces = [os.urandom(self.part), os.urandom(self.part), b"last"]
        id = await self.store.begin_parts(self.key, "image/png", METADATA)
        parts = [
            await self.store.put_part(self.key, id, number, [piece]) for number, piece in enumerate(pieces, 1)
        ]
        # A part behind those that count is no part of the blob.
        await self.store.put_part(self.key, id, 4, [b"stray"])
        self.assertIsNone(await self.store.read_object(self.key, 0, 10))
        length = 2 * self.part + 4
        for _ in range(2):
            await self.store.complete_parts(self.key, id, parts, length, self.part)
        self.assertEqual(await self.store.read_object(self.key, length - 14, 20), pieces[1][-10:] + b"last")
        self.assertEqual(await self.unfinished(self.key), 0)
        await self.store.remove_parts(self.key, blob=True)

    async def test_a_part_that_was_replaced_is_not_taken(self) -> None:
        id = await self.store.begin_parts(self.key, "image/png", METADATA)
        part = await self.store.put_part(self.key, id, 1, [b"a" * self.part])
        again = await self.store.put_part(self.key, id, 1, [b"b" * self.part])
        with self.assertRaises(StoreRefused):
            await self.store.complete_parts(self.key, id, [part], self.part, self.part)
        self.assertIsNone(await self.store.read_object(self.key, 0, 10))
        await self.store.complete_parts(self.key, id, [again], self.part, self.part)
        await self.store.remove_parts(self.key, blob=True)

    async def test_removed_parts_are_gone(self) -> None:
        ids = [await self.store.begin_parts(self.key, "image/png", METADATA) for _ in range(2)]
        await self.store.put_part(self.key, ids[0], 1, [b"data"])
        await self.store.remove_parts(self.key, blob=True)
        self.assertEqual(await self.unfinished(self.key), 0)
        self.assertIsNone(await self.store.read_object(self.key, 0, 10))


del TestCase

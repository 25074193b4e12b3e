"""What every blob store keeps to. The double and the S3 store are held to this same suite."""

from __future__ import annotations

import hashlib
import os
from uuid import uuid4

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import TestCase

from lfsproxy.budget import HeldMemory
from lfsproxy.checksums import Buffer, new_checksum
from lfsproxy.errors import StoreRefused, StoreUnavailable
from lfsproxy.interfaces import IBlobStore, IBlobUpload, StoredBlob

METADATA = {"lfs-topic": "demo-topic", "lfs-partition": "0"}


async def write_all(upload: IBlobUpload, data: bytes, chunk: int = 64 * 1024) -> None:
    """Write in chunks, waiting whenever the upload says so."""
    for start in range(0, len(data), chunk):
        wait = upload.write(data[start : start + chunk])
        if wait is not None:
            await wait


class StoreContract(TestCase):
    """Mixed into a class that says which store. ``chunk`` is how many bytes a test writes at once."""

    store: IBlobStore
    chunk = 64 * 1024

    def setUp(self) -> None:
        super().setUp()
        self.key = f"lfs/default/demo-topic/0/0-{uuid4()}.bin"

    def sizes(self, part: int) -> list[int]:
        """How large the blobs are that are stored and read back."""
        return [0, 1, part - 1, part, part + 1, 2 * part, 3 * part + 7]

    async def read(self, key: str) -> bytes | None:
        """The object's bytes, None where there is none."""
        raise NotImplementedError

    async def describe(self, key: str) -> tuple[str, dict[str, str]]:
        """The object's content type and user metadata."""
        raise NotImplementedError

    async def unfinished(self) -> int:
        """How many uploads were begun in the store and not ended."""
        raise NotImplementedError

    def begin(self, key: str | None = None, length: int | None = None) -> IBlobUpload:
        self.checksum = new_checksum("sha256")
        return self.store.begin(key or self.key, "image/png", METADATA, self.checksum, length, HeldMemory())

    async def put(self, data: bytes, key: str | None = None, length: int | None = None) -> StoredBlob:
        upload = self.begin(key, length)
        await write_all(upload, data, self.chunk)
        await upload.seal()
        return await upload.commit({"lfs-checksum": self.checksum.hexdigest()})

    async def assert_stored(self, size: int, known: bool) -> None:
        data = os.urandom(size)
        key = f"{self.key}-{size}-{known}"
        blob = await self.put(data, key, size if known else None)
        self.assertEqual(StoredBlob(self.store.bucket, key, size), blob)
        self.assertEqual(hashlib.sha256(data).hexdigest(), self.checksum.hexdigest())
        self.assertTrue(await self.read(key) == data, f"{size} bytes did not come back")
        await self.store.delete(key)

    async def test_blobs_around_the_part_size_are_stored_whole(self) -> None:
        for size in self.sizes(self.store.part_size):
            for known in (False, True):
                await self.assert_stored(size, known)
        self.assertEqual(0, await self.unfinished())

    async def test_a_chunk_may_span_several_parts(self) -> None:
        data = os.urandom(3 * self.store.part_size + 11)
        upload = self.begin()
        await write_all(upload, data, len(data))
        await upload.seal()
        await upload.commit({})
        self.assertTrue(await self.read(self.key) == data)

    async def test_chunks_may_be_any_kind_of_buffer(self) -> None:
        part = self.store.part_size
        chunks: list[Buffer] = [b"", bytearray(b"a" * part), memoryview(b"b" * part), b"", b"c"]
        upload = self.begin()
        for chunk in chunks:
            wait = upload.write(chunk)
            if wait is not None:
                await wait
        await upload.seal()
        await upload.commit({})
        self.assertTrue(await self.read(self.key) == b"".join(chunks))

    async def test_a_blob_is_read_back_through_a_checksum(self) -> None:
        for size in (0, 10, 2 * self.store.part_size + 10):
            data = os.urandom(size)
            key = f"{self.key}-{size}"
            await self.put(data, key)
            checksum, other = new_checksum("md5"), new_checksum("sha256")
            await self.store.read_back(key, size, [checksum, other])
            self.assertEqual(hashlib.md5(data).hexdigest(), checksum.hexdigest())
            self.assertEqual(hashlib.sha256(data).hexdigest(), other.hexdigest())

    async def test_a_blob_that_is_not_there_whole_cannot_be_read_back(self) -> None:
        await self.put(b"data")
        for key, size in ((self.key, 5), (self.key, 3), (self.key + "-other", 4)):
            with self.assertRaises(StoreUnavailable):
                await self.store.read_back(key, size, [new_checksum("md5")])

    async def test_nothing_is_visible_before_commit(self) -> None:
        for size in (10, self.store.part_size + 10):
            upload = self.begin()
            await write_all(upload, os.urandom(size))
            self.assertIsNone(await self.read(self.key))
            await upload.seal()
            self.assertIsNone(await self.read(self.key))
            await upload.abort()

    async def test_an_aborted_upload_leaves_nothing(self) -> None:
        for size in (10, 3 * self.store.part_size + 10):
            for sealed in (False, True):
                upload = self.begin()
                await write_all(upload, os.urandom(size), self.chunk)
                if sealed:
                    await upload.seal()
                await upload.abort()
                self.assertIsNone(await self.read(self.key))
                self.assertEqual(0, await self.unfinished())

    async def test_an_upload_can_be_aborted_twice(self) -> None:
        upload = self.begin()
        await upload.abort()
        await upload.abort()
        self.assertEqual(0, await self.unfinished())

    async def test_an_existing_object_is_never_overwritten(self) -> None:
        await self.put(b"first")
        for size in (6, self.store.part_size + 6):
            upload = self.begin()
            await write_all(upload, b"x" * size)
            await upload.seal()
            with self.assertRaises(StoreRefused):
                await upload.commit({})
            await upload.abort()
            self.assertEqual(b"first", await self.read(self.key))
            self.assertEqual(0, await self.unfinished())

    async def test_a_blob_in_one_request_has_the_metadata_known_at_its_end(self) -> None:
        await self.put(b"data")
        content_type, metadata = await self.describe(self.key)
        self.assertEqual("image/png", content_type)
        self.assertEqual({**METADATA, "lfs-checksum": hashlib.sha256(b"data").hexdigest()}, metadata)

    async def test_a_blob_in_parts_has_the_metadata_known_at_its_start(self) -> None:
        await self.put(os.urandom(self.store.part_size + 1))
        self.assertEqual(("image/png", METADATA), await self.describe(self.key))

    async def test_no_byte_is_taken_after_the_seal(self) -> None:
        upload = self.begin()
        await upload.seal()
        with self.assertRaises(RuntimeError):
            upload.write(b"late")
        await upload.abort()

    async def test_commit_needs_a_seal(self) -> None:
        upload = self.begin()
        with self.assertRaises(RuntimeError):
            await upload.commit({})
        await upload.abort()

    async def test_an_aborted_upload_takes_no_more(self) -> None:
        upload = self.begin()
        await upload.abort()
        with self.assertRaises(CancelledError):
            upload.write(b"late")

    async def test_a_deleted_blob_is_gone_and_deleting_it_again_is_no_error(self) -> None:
        await self.put(b"data")
        await self.store.delete(self.key)
        self.assertIsNone(await self.read(self.key))
        await self.store.delete(self.key)

    async def test_a_store_that_is_well_passes_its_check(self) -> None:
        await self.store.check()


del TestCase

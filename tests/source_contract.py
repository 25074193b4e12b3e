"""What every source of blobs keeps to. The double and the S3 store are held to this same suite."""

from __future__ import annotations

import os

from crc32c import crc32c
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from lfsproxy.errors import BlobMissing, BlobTruncated
from lfsproxy.interfaces import IBlobSource

KEY = "lfs/default/demo-topic/0/0-x.bin"
BLOB = os.urandom(700_001)


class SourceContract(TestCase):
    """Mixed into a class that says which source."""

    source: IBlobSource

    def put(self, key: str, data: bytes) -> None:
        """Let there be an object."""
        raise NotImplementedError

    async def read(self, first: int = 0, count: int = len(BLOB), size: int = len(BLOB)) -> bytes:
        """Open and read to the end."""
        download = await self.source.open(KEY, size, first, count)
        pieces = []
        while piece := await download.read():
            pieces.append(piece)
        self.assertEqual(await download.read(), b"")
        download.close()
        download.close()
        return b"".join(pieces)

    async def test_the_whole_and_parts_of_it(self) -> None:
        self.put(KEY, BLOB)
        self.assertTrue(await self.read() == BLOB)
        for first, count in ((0, 1), (5, 300_000), (len(BLOB) - 1, 1)):
            self.assertTrue(await self.read(first, count) == BLOB[first : first + count], (first, count))

    async def test_an_empty_blob(self) -> None:
        self.put(KEY, b"")
        self.assertEqual(await self.read(0, 0, 0), b"")

    async def test_a_blob_that_is_not_there(self) -> None:
        await self.assertFailure(Deferred.fromCoroutine(self.read()), BlobMissing)
        self.assertIsNone(await self.source.size_of(KEY))

    async def test_a_blob_of_another_size_is_refused_before_its_first_byte(self) -> None:
        self.put(KEY, BLOB)
        for size in (len(BLOB) - 1, len(BLOB) + 1):
            for count in (size, 5):
                opening = Deferred.fromCoroutine(self.source.open(KEY, size, 0, count))
                await self.assertFailure(opening, BlobTruncated)

    async def test_its_size(self) -> None:
        self.put(KEY, BLOB)
        self.assertEqual(await self.source.size_of(KEY), len(BLOB))

    async def test_the_crc32c_of_the_whole(self) -> None:
        for data in (BLOB, b"", b"123456789"):
            self.put(KEY, data)
            self.assertEqual(await self.source.crc32c(KEY, len(data)), crc32c(data))

    async def test_the_crc32c_is_that_of_what_is_there_now(self) -> None:
        for data in (BLOB, BLOB[::-1], BLOB):
            self.put(KEY, data)
            self.assertEqual(await self.source.crc32c(KEY, len(data)), crc32c(data))

    async def test_no_crc32c_of_a_blob_that_is_not_there_or_has_another_size(self) -> None:
        with self.assertRaises(BlobMissing):
            await self.source.crc32c(KEY, 1)
        self.put(KEY, BLOB)
        for size in (len(BLOB) - 1, len(BLOB) + 1, 0):
            with self.assertRaises(BlobTruncated):
                await self.source.crc32c(KEY, size)

    async def test_only_with_the_whole_the_crc32c_may_be_told(self) -> None:
        self.put(KEY, BLOB)
        for first, count, told in ((0, len(BLOB), crc32c(BLOB)), (5, 5, None), (0, 5, None)):
            download = await self.source.open(KEY, len(BLOB), first, count)
            self.assertIn(download.crc32c, (None, told))
            download.close()

    async def test_several_at_once_are_given_the_crc32c(self) -> None:
        self.put(KEY, BLOB)
        asked = [Deferred.fromCoroutine(self.source.crc32c(KEY, len(BLOB))) for _ in range(5)]
        self.assertEqual(await gatherResults(asked), [crc32c(BLOB)] * 5)

    async def test_a_url_names_the_object_and_how_long_it_holds(self) -> None:
        url = await self.source.presign(KEY, 60, "text/plain", "attachment")
        self.assertIn(KEY, url)
        self.assertIn("xpires=60", url)
        self.assertIn("text%2Fplain", url.replace("text/plain", "text%2Fplain"))


del TestCase

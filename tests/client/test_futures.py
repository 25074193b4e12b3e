"""The reader for Twisted and for asyncio: the same results, as their futures."""

from __future__ import annotations

import asyncio
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lfsproxy.client import aio, tx
from lfsproxy.errors import BlobMissing, ChecksumMismatch
from tests.client.doubles import FakeStore, reader, stored

DATA = b"0123456789" * 250_000


class TwistedTests(TestCase):
    def made(self, store: FakeStore) -> tx.BlobReader:
        made = tx.BlobReader("kafscale")
        made._reader = reader(store)
        return made

    async def test_fetch(self) -> None:
        store, value = stored(DATA)
        self.assertEqual(await self.made(store).fetch(value), DATA)

    def test_fetch_gives_a_deferred(self) -> Deferred[Any]:
        future = self.made(FakeStore()).fetch(b"ordinary")
        self.assertIsInstance(future, Deferred)
        result: Deferred[Any] = future
        return result.addCallback(self.assertEqual, b"ordinary")

    async def test_resolve(self) -> None:
        store, value = stored(b"hello")
        self.assertEqual((await self.made(store).resolve(value)).envelope.content_length, 5)

    async def test_an_error_fails_the_deferred(self) -> None:
        store, value = stored(DATA)
        store.objects = {}
        await self.assertFailure(self.made(store).fetch(value), BlobMissing)

    async def test_streams_in_chunks(self) -> None:
        store, value = stored(DATA)
        async with await self.made(store).open(value) as stream:
            chunks = [chunk async for chunk in stream]
        self.assertEqual(b"".join(chunks), DATA)
        self.assertEqual(len(chunks), 3)

    async def test_a_wrong_blob_does_not_end(self) -> None:
        store, value = stored(DATA)
        store.objects["kafscale", "lfs/k"] = DATA[:-1] + b"x"
        stream = await self.made(store).open(value)
        await stream.read(len(DATA) - 1_000_000)
        await self.assertFailure(stream.read(1_000_000), ChecksumMismatch)
        await stream.close()

    async def test_a_null_value_opens_nothing(self) -> None:
        self.assertIsNone(await self.made(FakeStore()).open(None))


class AsyncioTests(SynchronousTestCase):
    def made(self, store: FakeStore) -> aio.BlobReader:
        made = aio.BlobReader("kafscale")
        made._reader = reader(store)
        return made

    def test_fetch(self) -> None:
        store, value = stored(DATA)

        async def main() -> Any:
            future = self.made(store).fetch(value)
            self.assertIsInstance(future, asyncio.Future)
            return await future

        self.assertEqual(asyncio.run(main()), DATA)

    def test_streams_in_chunks(self) -> None:
        store, value = stored(DATA)

        async def main() -> list[bytes]:
            async with await self.made(store).open(value) as stream:
                return [chunk async for chunk in stream]

        chunks = asyncio.run(main())
        self.assertEqual((b"".join(chunks), len(chunks)), (DATA, 3))

    def test_an_error_fails_the_future(self) -> None:
        store, value = stored(DATA)
        store.objects["kafscale", "lfs/k"] = DATA[:-1] + b"x"

        async def main() -> None:
            await self.made(store).resolve(value)

        self.assertRaises(ChecksumMismatch, asyncio.run, main())

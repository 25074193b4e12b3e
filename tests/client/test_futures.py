"""The reader for Twisted and for asyncio: the same results, as their futures."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.threadable import isInIOThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lfsproxy.client import Resolution, aio, static_credentials, tx
from lfsproxy.errors import BlobMissing, ChecksumMismatch
from tests.client.doubles import FakeStore, envelope_of, own_source, reader, stored

DATA = b"0123456789" * 250_000


class TwistedTests(TestCase):
    """Of a source that blocks; tests/client/test_tx_download.py has those that ask over HTTP."""

    def made(self, store: FakeStore) -> tx.BlobReader:
        made = tx.BlobReader("kafscale")
        made._reader = reader(store, source=own_source())
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
        self.assertEqual((await self.made(store).resolve(value)).envelope, envelope_of(b"hello"))

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

    async def test_an_opening_is_a_context_manager(self) -> None:
        store, value = stored(DATA)
        told: list[Resolution] = []
        made = tx.BlobReader("kafscale")
        made._reader = reader(store, source=own_source(), on_resolve=told.append)
        async with made.open(value) as blob:
            self.assertEqual(await blob.read(10), DATA[:10])
        self.assertEqual([one.result for one in told], ["closed"])

    async def test_a_wrong_blob_does_not_end(self) -> None:
        store, value = stored(DATA)
        store.objects["kafscale", "lfs/k"] = DATA[:-1] + b"x"
        stream = await self.made(store).open(value)
        await stream.read(len(DATA) - 1_000_000)
        await self.assertFailure(stream.read(1_000_000), ChecksumMismatch)
        await stream.close()

    async def test_a_null_value_has_nothing_to_read(self) -> None:
        async with self.made(FakeStore()) as blobs, await blobs.open(None) as blob:
            self.assertEqual((blob.stream, blob.missing), (None, False))
            self.assertRaises(ValueError, blob.read)

    async def test_progress_is_told_in_the_reactors_thread(self) -> None:
        store, value = stored(DATA)
        told: list[tuple[int, bool]] = []
        await self.made(store).fetch(value, on_progress=lambda size: told.append((size, isInIOThread())))
        self.assertEqual(told[-1], (len(DATA), True))


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

    def test_an_opening_is_a_context_manager(self) -> None:
        store, value = stored(DATA)
        told: list[Resolution] = []

        async def main() -> None:
            made = aio.BlobReader("kafscale")
            made._reader = reader(store, on_resolve=told.append)
            async with made.open(value) as blob:
                self.assertEqual(await blob.read(10), DATA[:10])
            async with made.open(None) as blob:
                self.assertIsNone(blob.stream)

        asyncio.run(main())
        self.assertEqual([one.result for one in told], ["closed"])

    def test_a_blob_that_cannot_be_opened_is_raised_by_the_context_manager(self) -> None:
        _, value = stored(DATA)

        async def main() -> None:
            async with self.made(FakeStore()).open(value):
                self.fail("there is no blob")

        self.assertRaises(BlobMissing, asyncio.run, main())

    def test_32_cancelled_fetches_leave_at_once(self) -> None:
        """Each waits for a store that answers nothing: twice as many as there are threads."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        value = envelope_of(DATA).to_bytes()

        async def main() -> float:
            place = f"http://127.0.0.1:{listener.getsockname()[1]}"
            keys = static_credentials("key", "secret")
            async with aio.BlobReader("kafscale", endpoint=place, path_style=True, credentials=keys) as blobs:
                fetches = [blobs.fetch(value) for _ in range(32)]
                asked = [await asyncio.to_thread(listener.accept) for _ in range(blobs._threads.most)]
                for fetch in fetches:
                    fetch.cancel()
                started = time.monotonic()
                # A thread is free only when the fetch that it had has left.
                await blobs.resolve(b"ordinary")
                blobs._threads._pool.shutdown(wait=True)
                took = time.monotonic() - started
                for connection, _ in asked:
                    connection.close()
                return took

        # The reader would wait for 60 s, and try four times more.
        self.assertLess(asyncio.run(main()), 10)

    def test_an_error_fails_the_future(self) -> None:
        store, value = stored(DATA)
        store.objects["kafscale", "lfs/k"] = DATA[:-1] + b"x"

        async def main() -> None:
            await self.made(store).resolve(value)

        self.assertRaises(ChecksumMismatch, asyncio.run, main())

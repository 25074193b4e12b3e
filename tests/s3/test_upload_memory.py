"""How much memory an upload holds, and when it lets go of it."""

from __future__ import annotations

import gc
import tracemalloc
import weakref

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from lfsproxy.budget import MemoryBudget
from lfsproxy.errors import StoreRefused
from tests.s3.faults import Held, Refuse, Silence
from tests.s3.helpers import PART
from tests.s3.uploads import NoMemory, UploadTestCase
from tests.store_contract import write_all


class MemoryTests(UploadTestCase):
    async def test_without_more_memory_parts_go_out_one_after_the_other(self) -> None:
        upload = self.begin(memory=NoMemory())
        await write_all(upload, b"x" * 5 * PART)
        await upload.seal()
        await upload.commit({})
        self.assertEqual(1, self.fake.most_parts_at_once)
        self.assert_stored(5 * PART)

    async def test_an_upload_never_holds_more_than_its_parts_in_parallel(self) -> None:
        budget = MemoryBudget(self.clock, 100 * PART, PART, 30)
        lease = await budget.acquire(PART)
        upload = self.begin(memory=lease)
        await write_all(upload, b"x" * 40 * PART, 10_000)
        await upload.seal()
        self.assertEqual(4 * PART, budget.peak)
        # All but the first lease, which is the caller's, is back.
        self.assertEqual(PART, budget.used)
        await upload.commit({})
        lease.release()
        self.assertEqual(0, budget.used)

    async def test_bytes_held_stay_within_the_lease_and_one_chunk(self) -> None:
        budget = MemoryBudget(self.clock, 100 * PART, PART, 30)
        lease = await budget.acquire(PART)
        upload = self.begin(memory=lease)
        chunk, written, most = 10_000, 0, 0
        while written < 40 * PART:
            wait = upload.write(b"x" * chunk)
            written += chunk
            arrived = sum(r.received for r in self.fake.requests if r.operation == "upload_part")
            most = max(most, upload.held_bytes - lease.size)
            self.assertLessEqual(arrived, written)
            if wait is not None:
                await wait
        self.assertLessEqual(most, chunk)
        await upload.abort()

    async def test_tiny_pieces_cost_little_more_than_their_bytes(self) -> None:
        upload = self.begin(length=20_000)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for _ in range(10_000):
            # A slice keeps what it is one of: about two hundred bytes for two.
            upload.write(memoryview(bytes(20))[9:11])
        held, _ = tracemalloc.get_traced_memory()
        self.assertLess(held, 200_000)
        await upload.seal()
        await upload.commit({})
        self.assert_stored(20_000)

    async def test_memory_for_parallel_parts_is_given_back_while_the_client_is_slow(self) -> None:
        budget = MemoryBudget(self.clock, 100 * PART, PART, 30)
        lease = await budget.acquire(PART)
        upload = self.begin(memory=lease)
        self.assertIsNone(upload.write(b"x" * (PART + 1)))
        self.assertEqual(2 * PART, budget.used)
        while upload.parts_in_flight:
            await deferLater(reactor, 0)
        self.assertEqual(PART, budget.used)
        await upload.abort()

    async def test_memory_for_parallel_parts_is_given_back_after_an_abort(self) -> None:
        budget = MemoryBudget(self.clock, 100 * PART, PART, 30)
        lease = await budget.acquire(PART)
        self.fake.always["upload_part"] = Silence(after=None)
        upload = self.begin(memory=lease)
        upload.write(b"x" * 10 * PART)
        self.assertEqual(4 * PART, budget.used)
        await upload.abort()
        self.assertEqual(PART, budget.used)

    async def test_a_writer_waits_until_a_part_is_done(self) -> None:
        stored: Deferred[None] = Deferred()
        self.fake.fault("upload_part", Held(stored))
        came = self.fake.came("upload_part")
        upload = self.begin(memory=NoMemory())
        wait = upload.write(b"x" * (PART + 1))
        assert wait is not None
        await came
        self.assertNoResult(wait)
        stored.callback(None)
        await wait
        await upload.abort()

    async def test_the_last_bytes_of_a_known_length_are_not_waited_with(self) -> None:
        upload = self.begin(length=2 * PART, memory=NoMemory())
        self.assertIsNone(upload.write(b"x" * 2 * PART))
        await upload.abort()


class Chunk(bytearray):
    """A chunk that can be watched."""


class LetGoTests(UploadTestCase):
    """The collector is off: what hangs in a reference cycle stays."""

    def setUp(self) -> None:
        super().setUp()
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)
        self.chunks: list[weakref.ref[Chunk]] = []

    def chunk(self, size: int) -> Chunk:
        chunk = Chunk(size)
        self.chunks.append(weakref.ref(chunk))
        return chunk

    def alive(self) -> int:
        """How many chunks are still held."""
        return sum(chunk() is not None for chunk in self.chunks)

    async def test_a_parts_bytes_are_let_go_the_moment_it_is_stored(self) -> None:
        upload = self.begin()
        for _ in range(6):
            wait = upload.write(self.chunk(PART))
            if wait is not None:
                await wait
            self.assertLessEqual(self.alive(), 4)
        await upload.seal()
        self.assertEqual(0, self.alive())
        await upload.commit({})

    async def test_bytes_are_let_go_after_a_put(self) -> None:
        upload = self.begin()
        upload.write(self.chunk(PART))
        await upload.seal()
        await upload.commit({})
        self.assertEqual(0, self.alive())

    async def test_bytes_are_let_go_after_a_put_that_failed(self) -> None:
        self.fake.fault("put_object", Refuse(403, early=True, stay=True))
        self.use_store(part_size=20 * 2**20)
        upload = self.begin()
        upload.write(self.chunk(20 * 2**20))
        await upload.seal()
        with self.assertRaises(StoreRefused):
            await upload.commit({})
        await upload.abort()
        self.assertEqual(0, self.alive())

    async def test_bytes_are_let_go_after_an_abort_and_after_a_failure(self) -> None:
        upload = self.begin()
        upload.write(self.chunk(3 * PART))
        await upload.abort()
        self.assertEqual(0, self.alive())
        self.fake.fault("upload_part", Refuse(403))
        upload = self.begin()
        upload.write(self.chunk(3 * PART))
        with self.assertRaises(StoreRefused):
            await upload.seal()
        # Without an abort; a thread may be hashing one of them still.
        while self.alive():
            await deferLater(reactor, 0)
        await upload.abort()

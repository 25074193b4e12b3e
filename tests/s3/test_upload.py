"""What becomes of an upload when S3 misbehaves, and how much memory it holds."""

from __future__ import annotations

import gc
import weakref

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from lfsproxy.budget import HeldMemory, MemoryBudget
from lfsproxy.checksums import new_checksum
from lfsproxy.errors import StoreRefused, StoreUnavailable, TooLarge
from lfsproxy.interfaces import IBlobUpload, IPartMemory, StoredBlob
from lfsproxy.s3 import upload as upload_module
from tests.s3.faults import Held, OkButError, Refuse, Reset, Silence
from tests.s3.helpers import PART, FakeS3TestCase
from tests.store_contract import write_all


class UploadTestCase(FakeS3TestCase):
    def begin(
        self, key: str = "k", length: int | None = None, memory: IPartMemory | None = None
    ) -> IBlobUpload:
        return self.s3.blobs.begin(key, "a/b", {}, new_checksum("sha256"), length, memory or HeldMemory())

    async def put(self, size: int, length: int | None = None) -> StoredBlob:
        upload = self.begin(length=length)
        try:
            await write_all(upload, b"x" * size)
            await upload.seal()
            return await upload.commit({})
        except BaseException:
            await upload.abort()
            raise

    def assert_nothing_left(self) -> None:
        self.assertEqual({}, self.fake.objects)
        self.assertEqual({}, self.fake.uploads)
        self.assertEqual([], self.metrics.of("orphan"))

    def assert_stored(self, size: int) -> None:
        self.assertEqual(size, len(self.fake.objects["k"].data))
        self.assertEqual({}, self.fake.uploads)
        self.assertEqual([], self.metrics.of("orphan"))


class UploadTests(UploadTestCase):
    async def test_a_value_within_one_part_is_one_put(self) -> None:
        for size in (0, 1, PART):
            await self.put(size)
            await self.s3.blobs.delete("k")
        self.assertEqual(["put_object", "delete_object"] * 3, self.fake.operations())

    async def test_a_part_in_trouble_is_sent_again_by_itself(self) -> None:
        self.fake.fault("upload_part", Refuse(500), Reset(after=10_000), Refuse(503))
        await self.put(3 * PART)
        self.assert_stored(3 * PART)
        self.assertEqual(1, self.fake.operations().count("create_multipart_upload"))
        self.assertEqual(6, self.fake.operations().count("upload_part"))

    async def test_a_part_that_s3_refuses_fails_the_upload_and_leaves_nothing(self) -> None:
        self.fake.fault("upload_part", Refuse(403, "AccessDenied"))
        with self.assertRaisesRegex(StoreRefused, "AccessDenied"):
            await self.put(8 * PART)
        self.assert_nothing_left()

    async def test_a_writer_that_waits_hears_of_the_failure(self) -> None:
        self.fake.fault("upload_part", Refuse(403, "AccessDenied"))
        budget = MemoryBudget(self.clock, 10 * PART, PART, 30)
        upload = self.begin(memory=NoMemory())
        wait = upload.write(b"x" * 2 * PART)
        assert wait is not None
        with self.assertRaises(StoreRefused):
            await wait
        with self.assertRaises(StoreRefused):
            upload.write(b"more")
        with self.assertRaises(StoreRefused):
            await upload.seal()
        await upload.abort()
        self.assert_nothing_left()
        self.assertEqual(0, budget.used)

    async def test_a_refused_start_fails_the_upload(self) -> None:
        self.fake.fault("create_multipart_upload", Refuse(404, "NoSuchBucket"))
        with self.assertRaisesRegex(StoreRefused, "NoSuchBucket"):
            await self.put(3 * PART)
        self.assertEqual(["create_multipart_upload"], self.fake.operations())
        self.assert_nothing_left()

    async def test_a_put_that_worked_before_its_answer_was_lost_is_a_success(self) -> None:
        self.fake.fault("put_object", Reset(after=None))
        blob = await self.put(1000)
        self.assertEqual(1000, blob.length)
        self.assertEqual(["put_object", "put_object", "head_object"], self.fake.operations())
        self.assert_stored(1000)

    async def test_a_completion_that_worked_before_its_answer_was_lost_is_a_success(self) -> None:
        self.fake.fault("complete_multipart_upload", Reset(after=None))
        await self.put(2 * PART)
        self.assertEqual(["complete_multipart_upload"] * 2 + ["head_object"], self.fake.operations()[-3:])
        self.assert_stored(2 * PART)

    async def test_another_object_at_the_key_is_not_taken_for_ours(self) -> None:
        for size in (1000, 2 * PART):
            for other in (999, size):
                operation = "put_object" if size < PART else "complete_multipart_upload"
                await self.s3.client.put_object("k", {}, [b"y" * other], None)
                crc = self.fake.objects["k"]
                self.fake.objects["k"] = type(crc)(crc.data, {}, "different")
                self.fake.fault(operation, Refuse(500))
                with self.assertRaisesRegex(StoreRefused, "another object"):
                    await self.put(size)
                self.assertEqual(other, len(self.fake.objects["k"].data))
                del self.fake.objects["k"]
        self.assertEqual({}, self.fake.uploads)

    async def test_a_conflict_is_retriable(self) -> None:
        for size, operation in ((10, "put_object"), (2 * PART, "complete_multipart_upload")):
            self.fake.fault(operation, Refuse(409, "ConditionalRequestConflict"))
            with self.assertRaises(StoreUnavailable):
                await self.put(size)
        self.assert_nothing_left()

    async def test_an_upload_that_s3_lost_is_retriable(self) -> None:
        self.fake.fault("complete_multipart_upload", Refuse(404, "NoSuchUpload"))
        with self.assertRaises(StoreUnavailable):
            await self.put(2 * PART)
        self.assert_nothing_left()

    async def test_an_error_inside_a_completed_answer_is_an_error(self) -> None:
        self.fake.fault("complete_multipart_upload", OkButError("InvalidPart"))
        with self.assertRaisesRegex(StoreRefused, "InvalidPart"):
            await self.put(2 * PART)
        self.assert_nothing_left()

    async def test_an_internal_error_inside_a_completed_answer_is_tried_again(self) -> None:
        self.fake.fault("complete_multipart_upload", OkButError("InternalError"))
        await self.put(2 * PART)
        self.assert_stored(2 * PART)

    async def test_completion_without_if_none_match_where_the_store_does_not_know_it(self) -> None:
        self.fake.fault("complete_multipart_upload", Refuse(501, "NotImplemented"))
        await self.put(2 * PART)
        self.assert_stored(2 * PART)
        self.assertNotIn("if-none-match", self.fake.requests[-1].headers)

    async def test_s3_may_assemble_in_silence_for_ten_minutes(self) -> None:
        assembled: Deferred[None] = Deferred()
        self.fake.fault("complete_multipart_upload", Held(assembled))
        came = self.fake.came("complete_multipart_upload")
        result = Deferred.fromCoroutine(self.put(2 * PART))
        await came
        self.clock.pump([10.0] * 59)
        assembled.callback(None)
        await result
        self.assert_stored(2 * PART)

    async def test_every_part_carries_its_checksum(self) -> None:
        await self.put(2 * PART + 1)
        parts = [request for request in self.fake.requests if request.operation == "upload_part"]
        self.assertEqual(3, len(parts))
        self.assertTrue(all("x-amz-checksum-crc32c" in part.headers for part in parts))
        self.assertEqual("CRC32C", self.fake.objects["k"].headers["x-amz-checksum-algorithm"])

    async def test_no_more_parts_are_in_flight_than_allowed(self) -> None:
        stored: Deferred[None] = Deferred()
        self.fake.always["upload_part"] = Held(stored)
        result = Deferred.fromCoroutine(self.put(20 * PART))
        await self.advance_until(lambda: self.fake.parts_at_once == 4, step=0)
        stored.callback(None)
        await result
        self.assertEqual(4, self.fake.most_parts_at_once)

    async def test_more_parts_than_s3_allows_are_refused_and_name_the_setting(self) -> None:
        self.patch(upload_module, "MAX_PARTS", 3)
        with self.assertRaisesRegex(TooLarge, "LFS_S3_PART_SIZE"):
            await self.put(4 * PART)
        self.assert_nothing_left()

    async def test_headers_that_http_cannot_carry_do_not_reach_s3(self) -> None:
        for content_type in ("a\r\nx-evil: 1", "text/pläin", "  ", '"}', "a/b; c"):
            upload = self.s3.blobs.begin("k", content_type, {}, new_checksum("md5"), None, HeldMemory())
            await upload.seal()
            await upload.commit({})
            self.assertEqual("application/octet-stream", self.fake.objects.pop("k").headers["content-type"])

    async def test_an_upload_is_not_completed_with_fewer_bytes_than_came(self) -> None:
        upload = self.begin()
        await write_all(upload, b"x" * 3 * PART)
        await upload.seal()
        upload._received += 1  # type: ignore[attr-defined]
        with self.assertRaises(RuntimeError):
            await upload.commit({})
        await upload.abort()
        self.assert_nothing_left()


class AbortTests(UploadTestCase):
    async def test_parts_in_flight_are_stopped_and_nothing_is_left(self) -> None:
        self.fake.fault("upload_part", *[Silence(after=None)] * 2, *[Silence(after=5)] * 2)
        came = self.fake.came("upload_part")
        upload = self.begin()
        upload.write(b"x" * 5 * PART)
        await came
        await upload.abort()
        # A cut part can land behind an abort, so that it is repeated until there is no such upload.
        self.assertEqual(["abort_multipart_upload"] * 2, self.fake.operations()[-2:])
        self.assert_nothing_left()

    async def test_an_upload_that_is_being_created_is_waited_for(self) -> None:
        created: Deferred[None] = Deferred()
        self.fake.fault("create_multipart_upload", Held(created))
        came = self.fake.came("create_multipart_upload")
        upload = self.begin()
        upload.write(b"x" * 5 * PART)
        await came
        aborted = Deferred.fromCoroutine(upload.abort())
        self.assertNoResult(aborted)
        created.callback(None)
        await aborted
        self.assert_nothing_left()

    async def test_an_upload_whose_id_was_never_learnt_is_found_and_aborted(self) -> None:
        self.fake.fault("create_multipart_upload", Reset(after=None))
        upload = self.begin()
        await write_all(upload, b"x" * 3 * PART)
        await upload.seal()
        self.assertEqual(2, len(self.fake.uploads))
        await upload.abort()
        self.assert_nothing_left()

    async def test_such_an_upload_is_removed_after_a_commit_too(self) -> None:
        self.fake.fault("create_multipart_upload", Reset(after=None))
        removed = self.fake.came("abort_multipart_upload")
        await self.put(3 * PART)
        self.clock.advance(0)
        await removed
        self.assert_stored(3 * PART)

    async def test_after_a_doubtful_put_the_key_is_deleted(self) -> None:
        for size, operation in ((10, "put_object"), (2 * PART, "complete_multipart_upload")):
            self.use_store(random=self.five_seconds_later)
            self.fake.fault(operation, *[Reset(after=None)], *[Refuse(503)] * 10)
            self.fake.fault("head_object", *[Refuse(503)] * 10)
            with self.assertRaises(StoreUnavailable):
                await self.put(size)
            self.assert_nothing_left()
            self.fake.faults.clear()
            await self.s3.close()

    async def test_after_an_error_of_the_server_that_hides_a_success_the_key_is_deleted(self) -> None:
        self.use_store(random=self.five_seconds_later)
        self.fake.fault("put_object", Refuse(500, worked=True), *[Refuse(503)] * 10)
        with self.assertRaises(StoreUnavailable):
            await self.put(10)
        self.assertEqual("delete_object", self.fake.operations()[-1])
        self.assert_nothing_left()

    async def test_a_commit_that_is_cancelled_leaves_nothing(self) -> None:
        for size, operation in ((10, "put_object"), (2 * PART, "complete_multipart_upload")):
            self.fake.fault(operation, Silence(after=None))
            came = self.fake.came(operation)
            result = Deferred.fromCoroutine(self.put(size))
            await came
            result.cancel()
            with self.assertRaises(CancelledError):
                await result
            self.assert_nothing_left()

    async def test_an_abort_during_a_commit_leaves_nothing(self) -> None:
        self.fake.fault("put_object", Silence(after=None))
        came = self.fake.came("put_object")
        upload = self.begin()
        await upload.seal()
        result = Deferred.fromCoroutine(upload.commit({}))
        await came
        await upload.abort()
        with self.assertRaises(CancelledError):
            await result
        self.assert_nothing_left()

    async def test_an_abort_goes_on_when_nobody_waits_for_it_any_more(self) -> None:
        upload = self.begin()
        await write_all(upload, b"x" * 3 * PART)
        came = self.fake.came("abort_multipart_upload")
        aborted = Deferred.fromCoroutine(upload.abort())
        aborted.cancel()
        with self.assertRaises(CancelledError):
            await aborted
        await came
        self.assert_nothing_left()

    async def test_a_clean_refusal_asks_for_no_deletion(self) -> None:
        self.fake.fault("put_object", Refuse(403, "AccessDenied"))
        with self.assertRaises(StoreRefused):
            await self.put(10)
        self.assertEqual(["put_object"], self.fake.operations())

    async def test_a_store_that_closes_commits_nothing_that_lacks_a_part(self) -> None:
        self.fake.fault("upload_part", Silence(after=None))
        came = self.fake.came("upload_part")
        upload = self.begin()
        upload.write(b"x" * 3 * PART)
        await came
        sealed = Deferred.fromCoroutine(upload.seal())
        await self.s3.close()
        with self.assertRaises(CancelledError):
            await sealed
        with self.assertRaises(CancelledError):
            await upload.commit({})
        await upload.abort()
        self.assert_nothing_left()

    async def test_an_upload_of_nothing_asks_s3_for_nothing(self) -> None:
        await self.begin().abort()
        self.assertEqual([], self.fake.operations())


class NoMemory(HeldMemory):
    """A budget that is used up."""

    def try_take(self, size: int) -> bool:
        return False


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
            in_flight = upload._sender.in_flight * PART  # type: ignore[attr-defined]
            most = max(most, in_flight + upload._gathered_size - lease.size)  # type: ignore[attr-defined]
            self.assertLessEqual(arrived, written)
            if wait is not None:
                await wait
        self.assertLessEqual(most, chunk)
        await upload.abort()

    async def test_memory_for_parallel_parts_is_given_back_while_the_client_is_slow(self) -> None:
        budget = MemoryBudget(self.clock, 100 * PART, PART, 30)
        lease = await budget.acquire(PART)
        upload = self.begin(memory=lease)
        self.assertIsNone(upload.write(b"x" * (PART + 1)))
        self.assertEqual(2 * PART, budget.used)
        while upload._sender.in_flight:  # type: ignore[attr-defined]
            await upload._sender.idle()  # type: ignore[attr-defined]
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


class PlanTests(FakeS3TestCase):
    def test_parts_grow_where_a_known_length_needs_it(self) -> None:
        s3 = self.make_store(part_size=8 * 2**20)
        self.assertEqual(8 * 2**20, s3.blobs.plan(None).part_size)
        self.assertEqual(8 * 2**20, s3.blobs.plan(10_000 * 8 * 2**20).part_size)
        self.assertEqual(5, s3.blobs.first_part(5))
        self.assertEqual(8 * 2**20, s3.blobs.first_part(None))
        grown = s3.blobs.plan(10_000 * 8 * 2**20 + 1)
        self.assertEqual(grown.part_size, s3.blobs.first_part(10_000 * 8 * 2**20 + 1))
        self.assertEqual(9 * 2**20, grown.part_size)
        self.assertEqual(4, grown.concurrency)
        self.assertEqual(2, s3.blobs.plan(10_000 * 32 * 2**20).concurrency)

    def test_a_length_beyond_the_upload_memory_is_refused_and_names_the_setting(self) -> None:
        s3 = self.make_store(part_size=8 * 2**20)
        with self.assertRaisesRegex(TooLarge, "LFS_UPLOAD_MEMORY"):
            s3.blobs.begin("k", "a/b", {}, new_checksum("md5"), 10_000 * 32 * 2**20 + 1, HeldMemory())

"""What becomes of an upload when S3 misbehaves, and how it is cut into parts."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from lfsproxy.budget import HeldMemory, MemoryBudget
from lfsproxy.checksums import new_checksum
from lfsproxy.errors import StoreRefused, StoreUnavailable, TooLarge
from lfsproxy.s3 import upload as upload_module
from lfsproxy.s3.parts import PartSender
from tests.s3.faults import Held, OkButError, Refuse, Reset
from tests.s3.helpers import PART, FakeS3TestCase
from tests.s3.uploads import NoMemory, UploadTestCase
from tests.store_contract import write_all


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
        PartSender.stored = property(lambda sender: PART)  # type: ignore[assignment]  # one part is all it has
        self.addCleanup(delattr, PartSender, "stored")
        with self.assertRaises(RuntimeError):
            await upload.commit({})
        await upload.abort()
        self.assert_nothing_left()


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

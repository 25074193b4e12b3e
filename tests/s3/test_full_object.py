"""Multipart uploads ask S3 for a CRC-32C of the whole, and go on without where there is none."""

from __future__ import annotations

from crc32c import crc32c
from twisted.logger import capturedLogs, formatEvent

from lfsproxy.errors import StoreRefused, StoreUnavailable
from lfsproxy.s3.crc import encode_crc
from tests.s3.bucket import Request
from tests.s3.faults import Refuse, Reset
from tests.s3.helpers import PART
from tests.s3.uploads import UploadTestCase
from tests.store_contract import write_all

SIZE = 3 * PART + 17
CHECKSUM, TYPE = "x-amz-checksum-crc32c", "x-amz-checksum-type"


class FullObjectTests(UploadTestCase):
    def requests(self, operation: str) -> list[Request]:
        return [request for request in self.fake.requests if request.operation == operation]

    def types(self) -> list[str | None]:
        """The checksum types that uploads were begun with."""
        return [request.headers.get(TYPE) for request in self.requests("create_multipart_upload")]

    async def test_s3_compares_the_checksum_of_the_whole_and_keeps_it(self) -> None:
        await self.put(SIZE)
        whole = encode_crc(crc32c(b"x" * SIZE))
        [complete] = self.requests("complete_multipart_upload")
        self.assertEqual((complete.headers[CHECKSUM], complete.headers[TYPE]), (whole, "FULL_OBJECT"))
        self.assertEqual(self.fake.objects["k"].checksum, whole)

    async def test_a_completion_whose_answer_was_lost_is_known_by_either_checksum(self) -> None:
        for full_object in ("kept", "refused"):
            self.fake.full_object = full_object
            self.fake.objects.clear()
            self.fake.fault("complete_multipart_upload", Reset(after=None))
            await self.put(SIZE)
            self.assertEqual(self.fake.operations()[-1], "head_object")
            self.assert_stored(SIZE)

    async def test_bytes_that_s3_has_not_as_they_were_sent_are_no_blob(self) -> None:
        self.use_store(random=self.five_seconds_later)
        upload = self.begin()
        await write_all(upload, b"x" * SIZE)
        await upload.seal()
        [stored] = self.fake.uploads.values()
        _, etag, crc = stored.parts[1]
        stored.parts[1] = (b"y" * PART, etag, crc)
        with self.assertRaisesRegex(StoreUnavailable, "BadDigest"):
            await upload.commit({})
        await upload.abort()
        self.assert_nothing_left()

    async def test_a_store_that_refuses_it_is_asked_once(self) -> None:
        self.fake.full_object = "refused"
        with capturedLogs() as events:
            for _ in range(3):
                await self.put(SIZE)
                self.assertRegex(self.fake.objects.pop("k").checksum or "", r".{8}-4")
        self.assertEqual(self.types(), ["FULL_OBJECT", "COMPOSITE", "COMPOSITE", "COMPOSITE"])
        self.assertNotIn(CHECKSUM, self.requests("complete_multipart_upload")[0].headers)
        [said] = [formatEvent(event) for event in events]
        self.assertIn("keeps no CRC-32C of a whole blob", said)
        self.assertIn("400 InvalidRequest", said)

    async def test_a_store_that_ignores_it_is_not_told_the_checksum_of_the_whole(self) -> None:
        self.fake.full_object = "ignored"
        with capturedLogs() as events:
            for _ in range(2):
                await self.put(SIZE)
                self.assertRegex(self.fake.objects.pop("k").checksum or "", r".{8}-4")
        self.assertEqual(self.types(), ["FULL_OBJECT", "COMPOSITE"])
        self.assertEqual(len(events), 1)

    async def test_a_refusal_of_something_else_does_not_count(self) -> None:
        self.fake.fault("create_multipart_upload", *[Refuse(400, "InvalidRequest")] * 2)
        with self.assertRaisesRegex(StoreRefused, "InvalidRequest"):
            await self.put(SIZE)
        await self.put(SIZE)
        self.assertEqual(self.types(), ["FULL_OBJECT", "COMPOSITE", "FULL_OBJECT"])
        self.assert_stored(SIZE)

    async def test_a_store_that_no_longer_keeps_it_is_noticed(self) -> None:
        await self.put(SIZE)
        self.fake.full_object = "refused"
        del self.fake.objects["k"]
        await self.put(SIZE)
        self.assertRegex(self.fake.objects["k"].checksum or "", r".{8}-4")

    async def test_an_upload_that_may_have_begun_before_the_refusal_is_removed(self) -> None:
        self.fake.fault("create_multipart_upload", Refuse(500, worked=True), Refuse(400, "InvalidRequest"))
        removed = self.fake.came("abort_multipart_upload")
        await self.put(SIZE)
        self.clock.advance(0)
        await removed
        self.assert_stored(SIZE)

    async def test_no_checksums_at_all_where_they_are_off(self) -> None:
        self.use_store(checksums=False)
        await self.put(SIZE)
        self.assertEqual(self.types(), [None])
        self.assertNotIn(CHECKSUM, self.fake.requests[-1].headers)

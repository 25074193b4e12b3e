"""What an upload leaves behind that is given up: nothing."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred

from lfsproxy.errors import StoreRefused, StoreUnavailable
from tests.s3.faults import Held, Refuse, Reset, Silence
from tests.s3.helpers import PART
from tests.s3.uploads import UploadTestCase
from tests.store_contract import write_all


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

    async def test_an_upload_that_was_begun_before_s3_said_no_is_aborted(self) -> None:
        self.fake.fault("create_multipart_upload", Refuse(500, worked=True), Refuse(403, "AccessDenied"))
        with self.assertRaises(StoreRefused):
            await self.put(2 * PART)
        self.assertIn("abort_multipart_upload", self.fake.operations())
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

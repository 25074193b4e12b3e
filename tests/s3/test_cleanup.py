"""What could not be removed at once is removed when S3 is back, and counted where it is given up."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogLevel, capturedLogs, formatEvent

from lfsproxy.budget import HeldMemory
from lfsproxy.checksums import new_checksum
from lfsproxy.errors import StoreUnavailable
from lfsproxy.s3 import cleanup as cleanup_module
from tests.s3.faults import Refuse, Silence
from tests.s3.helpers import PART, FakeS3TestCase
from tests.store_contract import write_all


class CleanupTests(FakeS3TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.use_store(random=self.five_seconds_later)

    def s3_is_down(self) -> None:
        for operation in ("abort_multipart_upload", "delete_object", "list_multipart_uploads"):
            self.fake.always[operation] = Refuse(503)

    def s3_is_back(self) -> None:
        self.fake.always.clear()

    async def abort_one(self) -> None:
        upload = self.s3.blobs.begin("k", "a/b", {}, new_checksum("md5"), None, HeldMemory())
        await write_all(upload, b"x" * 3 * PART)
        await upload.seal()
        self.s3_is_down()
        await upload.abort()

    async def test_an_abort_that_fails_ends_soon_and_is_logged(self) -> None:
        with capturedLogs() as events:
            await self.abort_one()
        self.assertLess(self.clock.seconds(), 15)
        lines = [formatEvent(event) or "" for event in events]
        self.assertTrue([line for line in lines if "could not yet remove" in line and "/k:" in line], lines)

    async def test_it_is_removed_when_s3_is_back(self) -> None:
        await self.abort_one()
        await self.advance_until(lambda: self.fake.operations().count("abort_multipart_upload") >= 4)
        self.s3_is_back()
        await self.advance_until(lambda: not self.fake.uploads)
        self.assertEqual([], self.metrics.of("orphan"))

    async def test_it_is_given_up_after_a_while(self) -> None:
        await self.abort_one()
        await self.advance_until(lambda: self.clock.seconds() > 700, step=10)
        asked = len(self.fake.requests)
        self.clock.advance(100)
        self.assertEqual(asked, len(self.fake.requests))
        self.assertEqual([("abort_failed",)], self.metrics.of("orphan"))

    async def test_a_refusal_is_not_tried_again(self) -> None:
        await self.abort_one()
        self.fake.always["abort_multipart_upload"] = Refuse(403, "AccessDenied")
        asked = len(self.fake.requests)
        await self.advance_until(lambda: len(self.fake.requests) > asked)
        await self.advance_until(lambda: self.clock.seconds() > 200, step=10)
        self.assertEqual(asked + 1, len(self.fake.requests))
        self.assertEqual([("abort_failed",)], self.metrics.of("orphan"))

    async def test_a_delete_that_fails_is_reported_and_made_up_for(self) -> None:
        await self.s3.client.put_object("k", {}, [b"data"], None)
        self.s3_is_down()
        with self.assertRaises(StoreUnavailable):
            await self.s3.blobs.delete("k")
        self.s3_is_back()
        await self.advance_until(lambda: not self.fake.objects)
        self.assertEqual([], self.metrics.of("orphan"))

    async def test_a_delete_that_is_cancelled_goes_on(self) -> None:
        await self.s3.client.put_object("k", {}, [b"data"], None)
        self.fake.fault("delete_object", Silence())
        came = self.fake.came("delete_object")
        deleting = Deferred.fromCoroutine(self.s3.blobs.delete("k"))
        await came
        deleting.cancel()
        with self.assertRaises(CancelledError):
            await deleting
        await self.advance_until(lambda: not self.fake.objects)
        self.assertEqual([], self.metrics.of("orphan"))

    async def test_what_is_being_removed_when_the_store_closes_is_counted_once(self) -> None:
        await self.abort_one()
        await self.s3.close()
        self.assertEqual([("abort_failed",)], self.metrics.of("orphan"))

    async def test_an_abort_that_the_closing_store_cuts_is_counted(self) -> None:
        upload = self.s3.blobs.begin("k", "a/b", {}, new_checksum("md5"), None, HeldMemory())
        await write_all(upload, b"x" * 3 * PART)
        self.fake.fault("abort_multipart_upload", Silence())
        came = self.fake.came("abort_multipart_upload")
        aborting = Deferred.fromCoroutine(upload.abort())
        await came
        await self.s3.close()
        await aborting
        self.assertEqual([("abort_failed",)], self.metrics.of("orphan"))

    async def give_up_a_put(self) -> None:
        """Abort an upload to ``late`` whose one PUT is on its way."""
        self.fake.fault("put_object", Silence())
        came = self.fake.came("put_object")
        upload = self.s3.blobs.begin("late", "a/b", {}, new_checksum("md5"), None, HeldMemory())
        await write_all(upload, b"x")
        await upload.seal()
        committing = Deferred.fromCoroutine(upload.commit({}))
        await came
        await upload.abort()
        with self.assertRaises(CancelledError):
            await committing

    async def test_a_stop_before_the_second_deletion_is_no_trouble(self) -> None:
        await self.give_up_a_put()
        with capturedLogs() as events:
            await self.s3.close()
        self.assertEqual([event for event in events if event["log_level"] > LogLevel.info], [])
        self.assertEqual(
            [formatEvent(event) for event in events if "late" in (formatEvent(event) or "")],
            ["the proxy stopped before late was deleted once more, to be sure"],
        )

    async def test_a_put_that_lands_behind_its_deletion_is_removed(self) -> None:
        await self.give_up_a_put()
        await self.s3.client.put_object("late", {}, [b"x"], None)
        await self.advance_until(lambda: not self.fake.objects)
        self.assertEqual([], self.metrics.of("orphan"))

    async def test_a_put_that_lands_behind_a_later_deletion_is_removed(self) -> None:
        self.s3_is_down()
        await self.give_up_a_put()
        asked = self.fake.operations().count("delete_object")
        self.s3_is_back()
        await self.advance_until(lambda: self.fake.operations().count("delete_object") > asked)
        await self.s3.client.put_object("late", {}, [b"x"], None)
        await self.advance_until(lambda: not self.fake.objects)
        self.assertEqual([], self.metrics.of("orphan"))

    async def test_the_number_of_clean_ups_at_a_time_is_bounded(self) -> None:
        self.patch(cleanup_module, "MAX_JOBS", 1)
        for key in ("one", "two"):
            await self.s3.client.put_object(key, {}, [b"data"], None)
        self.s3_is_down()
        for key in ("one", "two"):
            with self.assertRaises(StoreUnavailable):
                await self.s3.blobs.delete(key)
        self.s3_is_back()
        await self.advance_until(lambda: "one" not in self.fake.objects)
        await self.advance_until(lambda: self.clock.seconds() > 700, step=10)
        self.assertEqual(["two"], list(self.fake.objects))

"""What a check finds out about a store that works, and about those that do not do all that S3 does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from botocore.credentials import Credentials

from lfsproxy.envelope import parse_key
from lfsproxy.errors import StoreRefused, StoreUnavailable
from lfsproxy.s3.credentials import ChainCredentials
from lfsproxy.s3.objects import NewObjects, encryption
from lfsproxy.s3.probe import StoreProbe
from lfsproxy.s3.signing import S3Location
from tests.s3.bucket import BUCKET, MAKING, OF_NEW_OBJECTS, Reply, Request, error_answer
from tests.s3.faults import Refuse
from tests.s3.helpers import EVERY_OPTION, FakeS3TestCase, reactor


class ProbeTests(FakeS3TestCase):
    def use_store(self, **changes: Any) -> None:
        self.s3 = self.make_store(**changes)
        chain = ChainCredentials(reactor, 15, lambda: Credentials("key", "secret", method="iam-role"))
        self.probe = StoreProbe(self.s3, chain, "default")

    async def use_another(self, **changes: Any) -> None:
        await self.s3.close()
        self.use_store(**changes)

    def answer(self, operation: str, with_: Callable[[Request, bytes], Reply]) -> None:
        """Have the store answer so."""
        setattr(self.fake, operation, with_)

    def assert_nothing_left(self) -> None:
        self.assertEqual((self.fake.objects, self.fake.uploads), ({}, {}))

    async def test_everything_works_and_nothing_is_left(self) -> None:
        self.assertEqual(await self.probe.resolve(), ["127.0.0.1"])
        await self.probe.connect()
        self.assertEqual(await self.probe.credentials(), "the instance's role")
        await self.probe.bucket()
        await self.probe.put()
        self.assertEqual(await self.probe.head(), "")
        await self.probe.ranged_get()
        self.assertEqual(await self.probe.conditional(), "")
        await self.probe.list_objects()
        self.assertEqual(await self.probe.multipart(), "")
        await self.probe.abort()
        await self.probe.delete()
        self.assert_nothing_left()
        before = len(self.fake.requests)
        await self.probe.remove()
        self.assertEqual(len(self.fake.requests), before)

    async def test_what_is_written_is_where_gc_looks(self) -> None:
        await self.probe.put()
        await self.probe.multipart()
        keys = [parse_key(key) for key in self.fake.objects]
        self.assertEqual(
            [key and (key.namespace, key.topic) for key in keys], [("default", "lfsproxy-check")] * 2
        )
        await self.probe.remove()
        self.assert_nothing_left()

    async def test_it_is_made_as_blobs_are(self) -> None:
        await self.use_another(objects=EVERY_OPTION)
        await self.probe.put()
        await self.probe.multipart()
        made = [request for request in self.fake.requests if request.operation in MAKING]
        self.assertEqual([OF_NEW_OBJECTS & set(request.headers) for request in made], [OF_NEW_OBJECTS] * 2)
        self.assertIn("topic=lfsproxy-check", made[0].headers["x-amz-tagging"])

    async def test_a_store_that_does_not_encrypt(self) -> None:
        self.fake.encrypts = False
        for checksums in (True, False):
            await self.use_another(objects=EVERY_OPTION, checksums=checksums)
            for tried in (self.probe.put, self.probe.multipart):
                with self.assertRaisesRegex(
                    StoreRefused, "has not encrypted so .* or use a store that does$"
                ):
                    await tried()

    async def test_an_upload_that_cannot_be_completed_is_removed(self) -> None:
        self.fake.always["complete_multipart_upload"] = Refuse(403, "AccessDenied")
        await self.probe.put()
        with self.assertRaisesRegex(StoreRefused, "AccessDenied"):
            await self.probe.multipart()
        await self.probe.delete()
        self.assertEqual(len(self.fake.uploads), 1)
        await self.probe.remove()
        self.assert_nothing_left()

    async def test_a_store_that_refuses_a_crc_32c(self) -> None:
        put = self.fake.put_object

        def refuse(request: Request, body: bytes) -> Reply:
            if "x-amz-checksum-crc32c" in request.headers:
                return error_answer(501, "NotImplemented")
            return put(request, body)

        self.answer("put_object", refuse)
        with self.assertRaisesRegex(StoreRefused, "without a CRC-32C the same object is taken") as caught:
            await self.probe.put()
        self.assertEqual(caught.exception.way_out, "set LFS_S3_CHECKSUM=none")
        await self.use_another(checksums=False)
        await self.probe.put()
        self.assertEqual(await self.probe.head(), "")

    async def test_a_store_that_refuses_every_object(self) -> None:
        self.fake.always["put_object"] = Refuse(403, "AccessDenied")
        with self.assertRaisesRegex(StoreRefused, "AccessDenied") as caught:
            await self.probe.put()
        self.assertIn("let these credentials", caught.exception.way_out)
        self.assertNotIn("let these credentials", caught.exception.wrong)

    async def test_what_is_written_asks_for_what_blobs_ask_for(self) -> None:
        await self.use_another(objects=EVERY_OPTION)
        asked = {}
        for operation in ("put_object", "create_multipart_upload"):

            def refuse(request: Request, body: bytes, operation: str = operation) -> Reply:
                asked[operation] = request.headers
                return error_answer(400, "InvalidStorageClass")

            self.answer(operation, refuse)
        for tried in (self.probe.put, self.probe.multipart):
            with self.assertRaisesRegex(StoreRefused, "InvalidStorageClass") as caught:
                await tried()
            self.assertEqual(caught.exception.way_out, "check LFS_S3_STORAGE_CLASS")
        for headers in (asked["put_object"], asked["create_multipart_upload"]):
            self.assertEqual(headers["x-amz-storage-class"], "STANDARD_IA")
            self.assertEqual(headers["x-amz-server-side-encryption"], "aws:kms")
            self.assertIn("topic=lfsproxy-check", headers["x-amz-tagging"])

    async def test_a_store_that_does_not_encrypt_has_no_trouble_with_a_crc_32c(self) -> None:
        await self.use_another(objects=NewObjects(encryption("AES256", "", bucket_key=False)))
        put = self.fake.put_object

        def forget(request: Request, body: bytes) -> Reply:
            request.headers.pop("x-amz-server-side-encryption")
            return put(request, body)

        self.answer("put_object", forget)
        with self.assertRaisesRegex(StoreRefused, "has not encrypted so") as caught:
            await self.probe.put()
        self.assertEqual(caught.exception.way_out, "unset LFS_S3_SSE, or use a store that does")

    async def test_a_store_that_keeps_no_checksum(self) -> None:
        put = self.fake.put_object

        def forget(request: Request, body: bytes) -> Reply:
            request.headers.pop("x-amz-checksum-crc32c", None)
            return put(request, body)

        self.answer("put_object", forget)
        await self.probe.put()
        self.assertIn("does not keep it", await self.probe.head())

    async def test_a_store_without_conditional_writes(self) -> None:
        put = self.fake.put_object

        def write_over(request: Request, body: bytes) -> Reply:
            request.headers.pop("if-none-match", None)
            return put(request, body)

        def does_not_know(request: Request, body: bytes) -> Reply:
            return (
                error_answer(501, "NotImplemented")
                if "if-none-match" in request.headers
                else put(request, body)
            )

        for answer in (write_over, does_not_know):
            self.answer("put_object", answer)
            await self.probe.put()
            self.assertIn("resumable uploads are off", await self.probe.conditional())

    async def test_a_store_that_keeps_no_checksum_of_the_whole(self) -> None:
        for self.fake.full_object in ("refused", "ignored"):
            await self.use_another()
            self.assertIn("no CRC-32C of a whole blob", await self.probe.multipart())

    async def test_a_store_that_knows_no_ranges(self) -> None:
        self.fake.knows_ranges = False
        await self.probe.put()
        with self.assertRaisesRegex(StoreRefused, "does not answer a GET of some bytes"):
            await self.probe.ranged_get()

    async def test_a_store_that_loses_what_it_has_stored(self) -> None:
        await self.probe.put()
        await self.probe.multipart()
        self.fake.objects.clear()
        with self.assertRaisesRegex(StoreRefused, "does not have what it has just stored"):
            await self.probe.head()
        with self.assertRaisesRegex(StoreRefused, "does not list an object"):
            await self.probe.list_objects()

    async def test_a_store_that_lists_no_uploads(self) -> None:
        listed = self.fake.list_multipart_uploads

        def hide(request: Request, body: bytes) -> Reply:
            kept, self.fake.uploads = self.fake.uploads, {}
            try:
                return listed(request, body)
            finally:
                self.fake.uploads = kept

        self.answer("list_multipart_uploads", hide)
        with self.assertRaisesRegex(StoreRefused, "does not list an upload"):
            await self.probe.abort()
        self.assert_nothing_left()

    async def test_a_store_that_does_not_delete(self) -> None:
        self.answer("delete_object", lambda request, body: (204, {}, b""))
        await self.probe.put()
        with self.assertRaisesRegex(StoreRefused, "still has an object that was just deleted"):
            await self.probe.delete()

    async def test_the_clocks(self) -> None:
        self.fake.seconds = time.time() - 300
        ahead = await self.probe.clock()
        # However long the answer takes here, it is no less.
        self.assertGreaterEqual(ahead or 0.0, 299)
        self.fake.always["get_bucket"] = Refuse(403, "RequestTimeTooSkewed")
        with self.assertRaisesRegex(StoreRefused, "set the clock"):
            await self.probe.clock()

    async def test_a_host_that_nobody_knows(self) -> None:
        await self.use_another(location=S3Location(BUCKET, endpoint="https://store.invalid"))
        for tried in (self.probe.resolve, self.probe.connect, self.probe.handshake):
            with self.assertRaisesRegex(
                StoreUnavailable, f"the host {BUCKET}.store.invalid is not known"
            ) as caught:
                await tried()
            self.assertIn("LFS_S3_PATH_STYLE=true", caught.exception.way_out)

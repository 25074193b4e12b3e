"""What new objects are made with, and the only requests that say so."""

from __future__ import annotations

from urllib.parse import parse_qsl
from uuid import uuid4

from crc32c import crc32c
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.budget import HeldMemory
from lfsproxy.checksums import new_checksum
from lfsproxy.envelope import object_key
from lfsproxy.errors import StoreRefused, StoreUnavailable
from lfsproxy.resumable.errors import NotConditional
from lfsproxy.s3.objects import NewObjects, encryption
from tests.s3.bucket import MAKING, OF_NEW_OBJECTS
from tests.s3.faults import Refuse, Reset
from tests.s3.helpers import EVERY_OPTION, PART, FakeS3TestCase
from tests.store_contract import write_all

KEY = object_key("default", "clips", 3, 42, uuid4())
SSE = "x-amz-server-side-encryption"


class HeaderTests(SynchronousTestCase):
    def test_without_options_nothing_is_asked_for(self) -> None:
        self.assertEqual(
            NewObjects().blob(KEY, "image/png", {"a": "b"}),
            {"content-type": "image/png", "x-amz-meta-a": "b"},
        )
        self.assertEqual(encryption("", "", bucket_key=False), {})

    def test_each_encryption_has_its_header_fields(self) -> None:
        for given, wanted in (
            (("AES256", "", False), {SSE: "AES256"}),
            (("aws:kms", "", False), {SSE: "aws:kms"}),
            (("aws:kms:dsse", "k", False), {SSE: "aws:kms:dsse", f"{SSE}-aws-kms-key-id": "k"}),
            (("aws:kms", "", True), {SSE: "aws:kms", f"{SSE}-bucket-key-enabled": "true"}),
        ):
            self.assertEqual(encryption(*given), wanted)

    def test_tags_are_filled_in_and_encoded(self) -> None:
        tagging = EVERY_OPTION.blob(KEY, "a/b", {})["x-amz-tagging"]
        self.assertEqual(tagging, "topic=clips&place=default%2Fclips&team=media%20%26%20more")
        self.assertEqual(dict(parse_qsl(tagging))["place"], "default/clips")

    def test_a_key_that_no_proxy_makes_has_no_topic_and_so_no_tags(self) -> None:
        self.assertNotIn("x-amz-tagging", EVERY_OPTION.blob("k", "a/b", {}))

    def test_state_is_encrypted_and_has_neither_class_nor_tags(self) -> None:
        headers = EVERY_OPTION.state()
        self.assertEqual(headers[SSE], "aws:kms")
        self.assertFalse({"x-amz-tagging", "x-amz-storage-class"} & set(headers))


class RequestTests(FakeS3TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.use_store(objects=EVERY_OPTION)

    async def upload(self, key: str, size: int) -> None:
        upload = self.s3.blobs.begin(key, "a/b", {}, new_checksum("md5"), None, HeldMemory())
        await write_all(upload, b"x" * size)
        await upload.seal()
        await upload.commit({})

    def made(self) -> list[set[str]]:
        """Which of the options the requests had that make objects; no other request has any."""
        found = []
        for request in self.fake.requests:
            options = OF_NEW_OBJECTS & set(request.headers)
            if request.operation in MAKING:
                found.append(options)
            else:
                self.assertEqual(options, set(), request.operation)
        return found

    async def test_a_blob_of_one_put_and_one_of_parts_are_made_with_them(self) -> None:
        await self.upload(KEY, 1)
        await self.upload(object_key("default", "clips", 3, 43, uuid4()), 2 * PART)
        self.assertEqual(self.made(), [OF_NEW_OBJECTS] * 2)

    async def test_so_are_those_of_resumable_uploads(self) -> None:
        store = self.s3.resumable
        await store.put_blob(KEY, "a/b", {}, [b"x"])
        key = object_key("default", "clips", 3, 43, uuid4())
        upload_id = await store.begin_parts(key, "a/b", {})
        part = await store.put_part(key, upload_id, 1, [b"x"])
        self.assertTrue(await store.complete_parts(key, upload_id, [part], 1, PART))
        self.assertEqual(self.made(), [OF_NEW_OBJECTS] * 2)

    async def test_blobs_are_found_read_and_compared_although_no_etag_is_an_md5(self) -> None:
        await self.upload(KEY, 2 * PART)
        self.assertEqual(await self.s3.source.size_of(KEY), 2 * PART)
        self.assertEqual(await self.s3.source.crc32c(KEY, 2 * PART), crc32c(b"x" * 2 * PART))
        download = await self.s3.source.open(KEY, 2 * PART, 10, 5)
        self.assertEqual(await download.read(), b"x" * 5)
        download.close()
        self.assertEqual(self.made(), [OF_NEW_OBJECTS])

    async def test_a_store_that_takes_the_wish_and_does_not_encrypt_keeps_no_blob(self) -> None:
        self.fake.encrypts = False
        for size in (1, 2 * PART):
            upload = self.s3.blobs.begin(KEY, "a/b", {}, new_checksum("md5"), None, HeldMemory())
            with self.assertRaisesRegex(StoreRefused, "takes LFS_S3_SSE=aws:kms, and has not encrypted"):
                await write_all(upload, b"x" * size)
                await upload.seal()
                await upload.commit({})
            await upload.abort()
        with self.assertRaisesRegex(StoreRefused, "LFS_S3_SSE"):
            await self.s3.resumable.create_object("lfs-uploads/x", [b"x"])
        await self.advance_until(lambda: not self.fake.objects)
        self.assertEqual(self.fake.uploads, {})

    async def test_nor_one_whose_answer_was_lost(self) -> None:
        # The next try is told that the object is there.
        self.fake.encrypts = False
        self.fake.fault("put_object", Reset(after=None))
        upload = self.s3.blobs.begin(KEY, "a/b", {}, new_checksum("md5"), None, HeldMemory())
        await write_all(upload, b"x")
        await upload.seal()
        with self.assertRaisesRegex(StoreRefused, "takes LFS_S3_SSE=aws:kms, and has not encrypted"):
            await upload.commit({})
        await upload.abort()
        self.assertEqual(self.fake.objects, {})
        # Another process may have published it already: it is removed with its upload.
        self.fake.fault("put_object", Reset(after=None))
        with self.assertRaisesRegex(StoreRefused, "takes LFS_S3_SSE=aws:kms, and has not encrypted"):
            await self.s3.resumable.put_blob(KEY, "a/b", {}, [b"x"])
        self.assertEqual([*self.fake.objects], [KEY])

    async def test_one_whose_answer_was_lost_and_that_is_gone_has_to_be_stored_again(self) -> None:
        self.fake.fault("put_object", Reset(after=None))
        self.fake.fault("head_object", Refuse(404))
        with self.assertRaisesRegex(StoreUnavailable, "stored again"):
            await self.s3.resumable.put_blob(KEY, "a/b", {}, [b"x"])

    async def test_an_encrypted_one_whose_answer_was_lost_is_there(self) -> None:
        self.fake.fault("put_object", Reset(after=None))
        await self.upload(KEY, 1)
        other = object_key("default", "clips", 3, 43, uuid4())
        self.fake.fault("put_object", Reset(after=None))
        await self.s3.resumable.put_blob(other, "a/b", {}, [b"x"])
        self.assertEqual({*self.fake.objects}, {KEY, other})
        self.assertEqual(self.fake.operations().count("put_object"), 4)

    async def test_an_encryption_that_the_store_lacks_is_not_taken_for_a_lack_of_conditions(self) -> None:
        self.fake.always["put_object"] = Refuse(501, "NotImplemented")
        with self.assertRaisesRegex(StoreRefused, "501 NotImplemented"):
            await self.upload(KEY, 1)
        with self.assertRaisesRegex(StoreRefused, "LFS_S3_SSE") as raised:
            await self.s3.resumable.create_object("lfs-uploads/x", [b"x"])
        self.assertNotIsInstance(raised.exception, NotConditional)
        self.fake.always.clear()
        await self.upload(KEY, 1)
        self.assertEqual(self.fake.requests[-1].headers["if-none-match"], "*")

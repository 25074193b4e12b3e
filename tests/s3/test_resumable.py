"""The S3 store of resumable uploads: whose an object is tells its content, not how often it was asked for."""

from __future__ import annotations

import attrs

from lfsproxy.errors import StoreRefused
from lfsproxy.resumable.errors import OtherBytes
from lfsproxy.s3.resumable import COMPARED
from tests.s3.faults import Fault, Refuse, Reset
from tests.s3.helpers import PART, FakeS3TestCase

STATE = "lfs-uploads/id/intent-00000001"


class CreationTests(FakeS3TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.store = self.s3.resumable

    async def test_what_an_earlier_try_wrote_is_ours_whatever_was_answered(self) -> None:
        faults: list[Fault] = [
            Refuse(409, "ConditionalRequestConflict", worked=True),
            Refuse(412, "PreconditionFailed", worked=True),
            Refuse(503, "SlowDown", worked=True),
            Reset(after=None),
        ]
        for number, fault in enumerate(faults):
            self.fake.fault("put_object", fault)
            self.assertTrue(await self.store.create_object(f"{STATE}-{number}", [b"ours", b" alone"]))
            self.assertFalse(await self.store.create_object(f"{STATE}-{number}", [b"another"]))

    async def test_what_another_wrote_meanwhile_is_not_ours(self) -> None:
        for other in (b"theirs", b"ours, and more", b"our"):
            await self.store.create_object(STATE, [other])
            self.fake.fault("put_object", Refuse(409, "ConditionalRequestConflict"))
            self.assertFalse(await self.store.create_object(STATE, [b"ours"]))
            await self.store.delete_object(STATE)


class StrangerTests(FakeS3TestCase):
    async def test_a_web_server_that_takes_any_put_is_no_store(self) -> None:
        self.patch(self.fake, "put_object", lambda request, body: (200, {"Server": "nginx"}, b""))
        store = self.s3.resumable
        for put in (
            store.create_object(STATE, [b"intent"]),
            store.put_blob("lfs/blob", "text/plain", {}, [b"bytes"]),
        ):
            with self.assertRaisesRegex(StoreRefused, "not as an S3 server does"):
                await put


class BlobTests(FakeS3TestCase):
    """Also where the store knows no checksums."""

    checksums = True

    def setUp(self) -> None:
        super().setUp()
        self.use_store(checksums=self.checksums)
        self.store = self.s3.resumable

    async def test_other_bytes_of_the_same_length_are_not_taken_for_ours(self) -> None:
        size = 2 * COMPARED + 10
        for place in (0, COMPARED, size - 1):
            key = f"lfs/{place}"
            first = b"x" * size
            await self.store.put_blob(key, "text/plain", {}, [first])
            other = first[:place] + b"y" + first[place + 1 :]
            with self.assertRaises(OtherBytes):
                await self.store.put_blob(key, "text/plain", {}, [other])
            await self.store.put_blob(key, "text/plain", {}, [first[:100], first[100:]])
            self.assertEqual(self.fake.objects[key].data, first)

    async def test_an_empty_blob_may_be_stored_again(self) -> None:
        for _ in range(2):
            await self.store.put_blob("lfs/empty", "text/plain", {}, [])
        with self.assertRaises(OtherBytes):
            await self.store.put_blob("lfs/empty", "text/plain", {}, [b"x"])

    async def test_a_blob_of_parts_is_sure_when_the_store_can_tell(self) -> None:
        upload = await self.store.begin_parts("lfs/parts", "text/plain", {})
        parts = [await self.store.put_part("lfs/parts", upload, n, [b"z" * PART]) for n in (1, 2)]
        self.assertTrue(await self.store.complete_parts("lfs/parts", upload, parts, 2 * PART, PART))
        again = await self.store.complete_parts("lfs/parts", upload, parts, 2 * PART, PART)
        self.assertEqual(again, self.checksums)

    async def test_a_blob_that_the_store_made_of_other_bytes_is_not_sure(self) -> None:
        for full_object in ("kept", "refused"):
            self.fake.full_object = full_object
            key = f"lfs/{full_object}"
            upload = await self.store.begin_parts(key, "text/plain", {})
            parts = [await self.store.put_part(key, upload, n, [b"z" * PART]) for n in (1, 2)]
            _, etag, crc = self.fake.uploads[upload].parts[2]
            self.fake.uploads[upload].parts[2] = (b"y" * PART, etag, crc)
            sure = await self.store.complete_parts(key, upload, parts, 2 * PART, PART)
            # Only a checksum of the whole tells it.
            self.assertEqual(sure, not self.checksums or full_object == "refused")

    async def test_nothing_is_expected_of_a_part_whose_checksum_is_not_known(self) -> None:
        upload = await self.store.begin_parts("lfs/parts", "text/plain", {})
        parts = [await self.store.put_part("lfs/parts", upload, n, [b"z" * PART]) for n in (1, 2)]
        parts[0] = attrs.evolve(parts[0], crc=None)
        self.assertTrue(await self.store.complete_parts("lfs/parts", upload, parts, 2 * PART, PART))


class BlobWithoutChecksumTests(BlobTests):
    checksums = False

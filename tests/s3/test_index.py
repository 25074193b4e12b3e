"""Lists of the bucket that cannot be read, or are not what was asked for: refused as a whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import attrs
from twisted.internet.defer import succeed

from lfsproxy.errors import StoreRefused
from lfsproxy.s3.answers import MAX_LIST
from tests.s3.bucket import OpenUpload, Reply, Request, StoredObject
from tests.s3.faults import Held, Refuse
from tests.s3.helpers import FakeS3TestCase

OBJECT = (
    "<Contents><Key>lfs/a</Key><Size>1</Size><LastModified>2023-11-14T22:13:20Z</LastModified></Contents>"
)
UPLOAD = "<Upload><Key>lfs/a</Key><UploadId>1</UploadId><Initiated>2023-11-14T22:13:20Z</Initiated></Upload>"


async def read(pages: AsyncIterator[Sequence[Any]]) -> list[Any]:
    return [one async for page in pages for one in page]


class ListTests(FakeS3TestCase):
    def answer(self, inner: str, name: str = "ListBucketResult", **headers: str) -> None:
        """Every list is this one from now on."""
        body = f"<{name}>{inner}</{name}>".encode()
        for operation in ("get_bucket", "list_multipart_uploads"):
            self.patch(self.fake, operation, lambda *_: (200, headers, body))

    async def assert_refused(self, said: str) -> None:
        for pages in (self.s3.index.objects("lfs/"), self.s3.index.uploads("lfs/")):
            with self.assertRaisesRegex(StoreRefused, said):
                await read(pages)

    async def test_another_document_is_no_empty_list(self) -> None:
        self.answer("", name="Welcome")
        await self.assert_refused("it is no list")

    async def test_a_document_type_is_not_read(self) -> None:
        self.answer("<!DOCTYPE x>" + OBJECT)
        await self.assert_refused("cannot be read")

    async def test_a_list_of_a_store_that_knows_no_prefix_is_refused(self) -> None:
        self.answer((OBJECT + UPLOAD).replace("lfs/", "theirs/"))
        await self.assert_refused("keys that do not begin with lfs/")

    async def test_an_entry_that_lacks_something_is_no_entry_of_nothing(self) -> None:
        for missing in ("<Size>1</Size>", "<UploadId>1</UploadId>"):
            self.answer((OBJECT + UPLOAD).replace(missing, ""))
            with self.assertRaises(StoreRefused):
                await read(self.s3.index.objects("lfs/"))
                await read(self.s3.index.uploads("lfs/"))
        self.answer((OBJECT + UPLOAD).replace("2023-11-14T22:13:20Z", ""))
        await self.assert_refused("cannot be read")

    async def test_a_key_that_is_encoded_as_no_text_is_refused(self) -> None:
        self.answer("<EncodingType>url</EncodingType>" + (OBJECT + UPLOAD).replace("lfs/a", "lfs/%FF"))
        await self.assert_refused("cannot be read")

    async def test_a_list_that_is_cut_without_a_place_to_go_on_is_not_taken_for_whole(self) -> None:
        self.answer("<IsTruncated>true</IsTruncated>" + OBJECT + UPLOAD)
        await self.assert_refused("does not say where it goes on")

    async def test_a_list_that_goes_on_where_it_was_ends(self) -> None:
        places = "<NextContinuationToken>x</NextContinuationToken><NextKeyMarker>x</NextKeyMarker>"
        self.answer(f"<IsTruncated>true</IsTruncated>{places}" + OBJECT + UPLOAD)
        await self.assert_refused("does not say where it goes on")

    async def test_ages_are_by_the_servers_own_clock(self) -> None:
        self.answer(OBJECT + UPLOAD, Date="Tue, 14 Nov 2023 22:14:20 GMT")
        [found] = await read(self.s3.index.objects("lfs/"))
        [upload] = await read(self.s3.index.uploads("lfs/"))
        self.assertEqual((found.age, upload.age), (60, 60))

    async def test_a_time_without_a_zone_is_in_utc(self) -> None:
        self.answer(OBJECT.replace("20Z", "20"), Date="Tue, 14 Nov 2023 22:14:20 -0000")
        [found] = await read(self.s3.index.objects("lfs/"))
        self.assertEqual(found.age, 60)

    async def test_the_largest_page_that_s3_can_give_is_read(self) -> None:
        for number in range(1001):
            self.fake.objects[f"lfs/{number:04d}" + "%" * 1016] = StoredObject(b"", {}, None)
        self.assertEqual(len(await read(self.s3.index.objects("lfs/"))), 1001)
        largest = len(self.fake.get_bucket(self.fake.requests[0], b"")[2])
        self.assertGreater(largest, 3_000_000)
        # Amazon's own names an owner, an ETag, a checksum algorithm and a storage class besides.
        self.assertLess(largest + 1000 * 300, MAX_LIST)


class UploadTests(FakeS3TestCase):
    """A store that, as MinIO, finds no upload below a prefix."""

    def setUp(self) -> None:
        super().setUp()
        by_prefix = self.fake.list_multipart_uploads

        def only_all(request: Request, body: bytes) -> Reply:
            return by_prefix(
                request
                if not request.query["prefix"]
                else attrs.evolve(request, query={**request.query, "prefix": "none"}),
                body,
            )

        self.patch(self.fake, "list_multipart_uploads", only_all)
        for key in ("lfs/default/a", "theirs/b"):
            self.fake.uploads[key] = OpenUpload(key, {}, self.fake.seconds)

    async def test_all_are_asked_for_and_those_of_others_passed_over(self) -> None:
        found = await read(self.s3.index.uploads("lfs/default/"))
        self.assertEqual([one.key for one in found], ["lfs/default/a"])

    async def test_who_may_not_list_all_has_none(self) -> None:
        self.fake.fault("list_multipart_uploads", Held(succeed(None)), Refuse(403, "AccessDenied"))
        self.assertEqual(await read(self.s3.index.uploads("lfs/default/")), [])


class DeleteTests(FakeS3TestCase):
    def put(self, count: int) -> list[str]:
        keys = [f"lfs/{number:05d}" for number in range(count)]
        self.fake.objects |= {key: StoredObject(b"", {}, None) for key in keys}
        return keys

    async def test_a_thousand_leave_in_one_request(self) -> None:
        keys = self.put(2001)
        self.assertEqual(await self.s3.index.delete_many(keys[1:]), {})
        self.assertEqual(self.fake.operations(), ["delete_objects"] * 2)
        self.assertEqual(list(self.fake.objects), keys[:1])

    async def test_what_stays_is_told(self) -> None:
        keys = self.put(3)
        self.fake.locked = {keys[1]}
        self.assertEqual(await self.s3.index.delete_many(keys), {keys[1]: "AccessDenied: it is locked"})
        self.assertEqual(list(self.fake.objects), [keys[1]])

    async def test_a_store_that_knows_no_such_request_deletes_one_after_the_other(self) -> None:
        self.fake.deletes_many = False
        for _ in range(2):
            keys = self.put(40)
            self.assertEqual(await self.s3.index.delete_many(keys), {})
            self.assertEqual(self.fake.objects, {})
        self.assertEqual(self.fake.operations().count("delete_objects"), 1)

    async def test_an_answer_that_says_nothing_is_no_success(self) -> None:
        self.patch(self.fake, "delete_objects", lambda *_: (200, {}, b"<Welcome/>"))
        with self.assertRaisesRegex(StoreRefused, "does not say"):
            await self.s3.index.delete_many(self.put(1))

    async def test_an_error_about_no_object_that_was_asked_for_is_about_all_of_them(self) -> None:
        for key in ("", "<Key>lfs%2F00000</Key>"):
            error = f"<Error>{key}<Code>SlowDown</Code><Message>later</Message></Error>"
            answer = f"<DeleteResult>{error}</DeleteResult>".encode()
            self.patch(self.fake, "delete_objects", lambda *_, answer=answer: (200, {}, answer))
            with self.assertRaisesRegex(StoreRefused, "which object stays: .*SlowDown: later"):
                await self.s3.index.delete_many(self.put(2))

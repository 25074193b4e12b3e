"""The CRC-32C of a whole blob: told by S3, put together out of its parts', or computed."""

from __future__ import annotations

import os
from base64 import b64encode
from typing import Any

from crc32c import crc32c
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from lfsproxy.budget import HeldMemory
from lfsproxy.checksums import new_checksum
from lfsproxy.errors import BlobMissing, StoreRefused, StoreUnavailable
from lfsproxy.interfaces import IBlobDownload
from lfsproxy.s3 import whole as whole_module
from lfsproxy.s3.crc import composite_crc, decode_crc, encode_crc, told_crc
from lfsproxy.s3.whole import PARTS_AT_ONCE, READS_AT_ONCE, Blob, WholeCrcs
from tests.s3.bucket import StoredObject
from tests.s3.faults import CutBody, Held, Refuse, Silence
from tests.s3.helpers import PART, FakeS3TestCase, reactor
from tests.store_contract import write_all

DATA = os.urandom(3 * PART + 17)
CRC = crc32c(DATA)
KEY = "k"


class WholeTests(FakeS3TestCase):
    async def put(self, data: bytes = DATA, key: str = KEY) -> None:
        upload = self.s3.blobs.begin(key, "a/b", {}, new_checksum("md5"), None, HeldMemory())
        await write_all(upload, data)
        await upload.seal()
        await upload.commit({})
        self.fake.requests.clear()

    async def use_another_store(self, **changes: Any) -> None:
        """One that knows nothing yet."""
        await self.s3.close()
        self.use_store(**changes)

    async def ask(self, key: str = KEY, size: int = len(DATA)) -> int:
        return await self.s3.source.crc32c(key, size)

    def asking(self) -> Deferred[int]:
        return Deferred.fromCoroutine(self.ask())

    async def assert_asked(self, *operations: str, crc: int = CRC) -> None:
        """It is right, and was asked for so."""
        self.fake.requests.clear()
        self.assertEqual(await self.ask(), crc)
        self.assertEqual(self.fake.operations(), list(operations))

    async def test_one_head_tells_it_of_a_blob_that_was_one_put(self) -> None:
        await self.put(b"small")
        self.assertEqual(await self.ask(size=5), crc32c(b"small"))
        self.assertEqual(self.fake.operations(), ["head_object"])

    async def test_where_the_bucket_is_gone_no_blob_counts_as_missing(self) -> None:
        with self.assertRaisesRegex(BlobMissing, "missing"):
            await self.ask()
        for operation in ("head_object", "head_bucket"):
            self.fake.always[operation] = Refuse(404)
        for operation in ("list_objects", "get_bucket"):
            self.fake.always[operation] = Refuse(404, "NoSuchBucket")
        with self.assertRaisesRegex(StoreRefused, "NoSuchBucket"):
            await self.ask()

    async def test_it_comes_with_the_blob(self) -> None:
        await self.put()
        download = await self.s3.source.open(KEY, len(DATA), 0, len(DATA))
        self.assertEqual(download.crc32c, CRC)
        download.close()
        await self.use_another_store(checksums=False)
        download = await self.s3.source.open(KEY, len(DATA), 0, len(DATA))
        self.assertIsNone(download.crc32c)
        download.close()

    async def test_one_head_tells_it_of_a_blob_of_parts(self) -> None:
        await self.put()
        await self.assert_asked("head_object")

    async def test_it_is_put_together_out_of_those_of_the_parts_once(self) -> None:
        self.fake.full_object = "refused"
        await self.put()
        await self.assert_asked(*["head_object"] * 5)
        await self.assert_asked("head_object")

    async def test_so_many_parts_are_asked_for_at_once(self) -> None:
        self.fake.full_object = "refused"
        await self.use_another_store(part_size=10_000)
        await self.put()
        held: Deferred[None] = Deferred()

        def hold(operation: str) -> None:
            if len(self.fake.requests) == 2:
                self.fake.always["head_object"] = Held(held)

        self.fake.seen = hold
        asking = self.asking()
        await self.advance_until(lambda: len(self.fake.requests) == 2 + PARTS_AT_ONCE, step=0)
        await self.advance_until(iter([False] * 20 + [True]).__next__, step=0)
        self.assertEqual(len(self.fake.requests), 2 + PARTS_AT_ONCE)
        held.callback(None)
        self.assertEqual(await asking, CRC)
        self.assertEqual(len(self.fake.requests), 1 + -(-len(DATA) // 10_000))

    async def test_a_store_that_tells_nothing_of_parts_has_the_blob_read_once(self) -> None:
        self.fake.full_object, self.fake.knows_parts = "refused", False
        await self.put()
        await self.assert_asked("head_object", "head_object", "get_object")
        await self.assert_asked("head_object")

    async def test_parts_that_do_not_make_the_blob_are_not_believed(self) -> None:
        self.fake.full_object = "refused"
        await self.put()
        right = self.fake.objects[KEY]
        for parts in ((PART, PART, PART, 16), (PART, PART + 1, PART - 1, 17)):
            self.fake.objects[KEY] = StoredObject(DATA, {}, right.checksum, 0.0, parts, "COMPOSITE")
            await self.use_another_store()
            await self.assert_asked(*["head_object"] * 5, "get_object")

    async def test_parts_that_are_not_all_of_the_blob_are_not_believed(self) -> None:
        self.fake.full_object = "refused"
        await self.put()
        parts = self.fake.objects[KEY]
        longer = DATA + b"more"
        self.fake.objects[KEY] = StoredObject(longer, {}, parts.checksum, 0.0, parts.parts, "COMPOSITE")
        self.assertEqual(await self.ask(size=len(longer)), crc32c(longer))

    async def test_more_parts_than_s3_allows_are_not_asked_for(self) -> None:
        self.fake.objects[KEY] = StoredObject(DATA, {}, "AAAAAA==-10001", 0.0, (1,) * len(DATA), "COMPOSITE")
        await self.assert_asked("head_object", "get_object")

    async def test_a_blob_without_a_checksum_is_read_once(self) -> None:
        self.fake.objects[KEY] = StoredObject(DATA, {}, None)
        await self.assert_asked("head_object", "get_object")
        await self.assert_asked("head_object")

    async def test_with_a_weak_etag_it_is_read_each_time(self) -> None:
        self.fake.objects[KEY] = StoredObject(DATA, {}, None, weak=True)
        await self.assert_asked("head_object", "get_object")
        await self.assert_asked("head_object", "get_object")

    async def test_a_read_that_breaks_off_is_taken_up(self) -> None:
        self.fake.objects[KEY] = StoredObject(DATA, {}, None)
        self.fake.fault("get_object", CutBody(70_000), CutBody(70_000))
        asking = self.asking()
        await self.advance_until(lambda: bool(asking.called))
        self.assertEqual(await asking, CRC)

    async def test_where_checksums_are_off_none_is_asked_for(self) -> None:
        await self.put()
        await self.use_another_store(checksums=False)
        await self.assert_asked("head_object", "get_object")
        self.assertFalse([name for one in self.fake.requests for name in one.headers if "checksum" in name])

    async def test_a_blob_that_is_replaced_meanwhile_has_none(self) -> None:
        for known, after in ((True, 2), (False, 2), (True, 3)):
            self.fake.objects.pop(KEY, None)
            self.fake.full_object, self.fake.knows_parts = "refused", known
            await self.use_another_store()
            await self.put()

            def replace(operation: str, after: int = after) -> None:
                if len(self.fake.requests) == after:
                    self.fake.objects[KEY] = StoredObject(DATA[::-1], {}, None)

            self.fake.seen = replace
            with self.assertRaisesRegex(StoreUnavailable, "replaced"):
                await self.ask()
            self.fake.seen = lambda operation: None
            self.assertEqual(await self.ask(), crc32c(DATA[::-1]))

    async def test_the_oldest_is_forgotten(self) -> None:
        self.patch(whole_module, "KNOWN", 2)
        for key in "abc":
            self.fake.objects[key] = StoredObject(DATA, {}, None)
        for key, asked in (("a", 2), ("b", 2), ("a", 1), ("c", 2), ("a", 1), ("b", 2)):
            self.fake.requests.clear()
            self.assertEqual(await self.ask(key), CRC)
            self.assertEqual(len(self.fake.requests), asked, key)

    async def test_several_that_ask_at_once_share_one_reading(self) -> None:
        self.fake.objects[KEY] = StoredObject(DATA, {}, None)
        asking = [self.asking() for _ in range(5)]
        asking[0].cancel()
        await self.assertFailure(asking.pop(0), CancelledError)
        self.assertEqual([await each for each in asking], [CRC] * 4)
        self.assertEqual(self.fake.operations(), ["head_object", "get_object"])

    async def test_trouble_and_refusals_are_said(self) -> None:
        await self.use_another_store(random=self.five_seconds_later)
        self.fake.always["head_object"] = Refuse(503, "SlowDown")
        with self.assertRaises(StoreUnavailable):
            await self.ask()
        self.fake.always = {"head_object": Refuse(403), "get_object": Refuse(403, "AccessDenied")}
        with self.assertRaises(StoreRefused):
            await self.ask()
        self.fake.objects[KEY] = StoredObject(DATA, {}, None)
        del self.fake.always["head_object"]
        with self.assertRaisesRegex(StoreRefused, "AccessDenied"):
            await self.ask()

    async def test_who_stops_waiting_leaves_no_request(self) -> None:
        self.fake.full_object = "refused"
        await self.put()
        # The first HEAD, that of the first part, those of the others; the GET.
        for answered, knows_parts in ((0, True), (1, True), (2, True), (2, False)):
            with self.subTest(answered=answered, knows_parts=knows_parts):
                await self.cancel_after(answered, knows_parts)

    async def cancel_after(self, answered: int, knows_parts: bool) -> None:
        """Ask, and stop waiting when S3 has answered so many requests and is silent after that."""
        self.fake.requests.clear()
        self.fake.knows_parts = knows_parts

        def hush(operation: str) -> None:
            if len(self.fake.requests) == answered:
                self.fake.always = dict.fromkeys(("head_object", "get_object"), Silence(after=None))

        hush("")
        self.fake.seen = hush
        asking = self.asking()
        await self.advance_until(lambda: len(self.fake.requests) > answered, step=0)
        asking.cancel()
        await self.assertFailure(asking, CancelledError)
        await self.advance_until(lambda: self.fake.waiting == 0, step=0)
        self.fake.always = {}

    async def test_who_stops_waiting_closes_what_is_being_read(self) -> None:
        self.fake.objects[KEY] = StoredObject(DATA, {}, None)
        opened: list[Endless] = []

        async def open_whole(blob: Blob) -> IBlobDownload:
            opened.append(Endless())
            return opened[-1]

        whole = WholeCrcs(self.s3.client, reactor, open_whole)
        asking = whole.of(KEY, len(DATA))
        await self.advance_until(lambda: bool(opened), step=0)
        asking.cancel()
        await self.assertFailure(asking, CancelledError)
        self.assertEqual(opened[0].closed, 1)
        self.assertTrue(opened[0].reading.called)

    async def test_so_many_blobs_are_read_at_once(self) -> None:
        opened: list[Endless] = []

        async def open_whole(blob: Blob) -> IBlobDownload:
            opened.append(Endless())
            return opened[-1]

        whole = WholeCrcs(self.s3.client, reactor, open_whole)
        keys = [f"{number}" for number in range(READS_AT_ONCE + 2)]
        for key in keys:
            self.fake.objects[key] = StoredObject(b"", {}, None)
        asking = [whole.of(key, 0) for key in keys]
        await self.advance_until(
            lambda: len(self.fake.requests) == len(keys) and not self.fake.waiting, step=0
        )
        await self.advance_until(lambda: len(opened) == READS_AT_ONCE, step=0)
        opened[0].reading.callback(b"")
        await self.advance_until(lambda: len(opened) == READS_AT_ONCE + 1, step=0)
        for each in asking:
            each.cancel()
            each.addErrback(lambda failure: failure.trap(CancelledError))


@implementer(IBlobDownload)
class Endless:
    """A download whose bytes do not come."""

    crc32c: int | None = None

    def __init__(self) -> None:
        self.closed = 0
        self.reading: Deferred[bytes] = Deferred()

    def read(self) -> Deferred[bytes]:
        return self.reading

    def close(self) -> None:
        self.closed += 1


class ToldTests(SynchronousTestCase):
    def test_what_is_surely_that_of_the_whole_is_believed(self) -> None:
        plain, composite = encode_crc(CRC), composite_crc([CRC])
        single, parts = '"5b70f615b3b2ba1a2afc77683191d753"', '"5b70f615b3b2ba1a2afc77683191d753-3"'
        for checksum, kind, etag, wanted in (
            (plain, "FULL_OBJECT", single, CRC),
            (plain, "FULL_OBJECT", parts, CRC),
            (plain, "", single, CRC),
            (plain, "", parts, None),
            (plain, "COMPOSITE", single, None),
            (composite, "COMPOSITE", parts, None),
            (composite, "", single, None),
            ("", "", single, None),
        ):
            told = {"x-amz-checksum-crc32c": checksum, "x-amz-checksum-type": kind, "etag": etag}
            headers = {name: value for name, value in told.items() if value}
            self.assertEqual(told_crc(headers), wanted, headers)

    def test_what_is_no_crc32c_is_none(self) -> None:
        for text in ("", "AAAAAA", "AAAAAAA=", "AAAAAA==-2", "\u00e9AAAAA==", b64encode(bytes(5)).decode()):
            self.assertIsNone(decode_crc(text), text)
        self.assertEqual(decode_crc(encode_crc(0x01020304)), 0x01020304)

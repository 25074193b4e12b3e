"""Credentials that change while requests are under way: what is asked of S3 works all the same."""

from __future__ import annotations

import os
from pathlib import Path

from botocore.credentials import ReadOnlyCredentials
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lfsproxy.errors import StoreRefused, StoreUnavailable
from lfsproxy.s3.credentials import PAUSE, RENEWAL_PAUSE, ChainCredentials
from tests.s3.faults import Refuse
from tests.s3.helpers import PART, reactor
from tests.s3.uploads import UploadTestCase
from tests.store_contract import write_all


class FileTests(UploadTestCase):
    """A profile's file, as botocore reads it."""

    timeout = 30

    def setUp(self) -> None:
        super().setUp()
        self.file = Path(self.mktemp())
        alone = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        files = {"AWS_SHARED_CREDENTIALS_FILE": str(self.file), "AWS_CONFIG_FILE": os.devnull}
        self.patch(os, "environ", {**alone, **files, "AWS_EC2_METADATA_DISABLED": "true"})
        self.chain = ChainCredentials(reactor, 15, clock=self.clock)
        self.use_store(credentials=self.chain)
        self.rotate("first")

    def rotate(self, key: str) -> None:
        """The file has other credentials from now on, and S3 takes no others."""
        text = f"[default]\naws_access_key_id={key}\naws_secret_access_key=secret\naws_session_token=t\n"
        new = self.file.with_suffix(".new")
        new.write_text(text)
        new.replace(self.file)
        self.fake.accepted = {key}

    async def test_an_upload_goes_on_when_the_file_changes_between_its_parts(self) -> None:
        upload = self.begin()
        await write_all(upload, b"x" * 3 * PART)
        await self.fake.came("upload_part")
        self.rotate("second")
        await write_all(upload, b"x" * 3 * PART)
        await upload.seal()
        self.rotate("third")
        self.clock.advance(RENEWAL_PAUSE)
        await upload.commit({})
        self.assert_stored(6 * PART)
        keys = [request.access_key for request in self.fake.requests]
        self.assertEqual(list(dict.fromkeys(keys)), ["first", "second", "third"])

    async def test_a_request_without_an_answers_body_finds_them_too(self) -> None:
        await self.put(1)
        self.rotate("second")
        self.assertEqual(await self.s3.source.size_of("k"), 1)

    async def test_a_read_finds_them_too(self) -> None:
        await self.put(5)
        self.rotate("second")
        download = await self.s3.source.open("k", 5, 0, 5)
        self.assertEqual(await download.read(), b"xxxxx")
        download.close()

    async def test_a_change_is_noticed_before_s3_refuses_the_old_ones(self) -> None:
        await self.put(1)
        self.rotate("second")
        self.fake.accepted = {"first", "second"}
        self.clock.advance(PAUSE)
        await self.s3.blobs.check()
        while self.chain.refreshing:
            waiter: Deferred[None] = Deferred()
            reactor.callLater(0, waiter.callback, None)
            await waiter
        await self.s3.blobs.check()
        self.assertEqual([request.access_key for request in self.fake.requests[-2:]], ["first", "second"])

    async def test_the_same_again_are_refused_in_s3s_words(self) -> None:
        await self.put(1)
        self.fake.accepted = set()
        with self.assertRaisesRegex(StoreRefused, "ExpiredToken.*AWS_SESSION_TOKEN"):
            await self.s3.client.delete_object("k")
        self.assertEqual(self.fake.operations(), ["put_object", "delete_object"])


class Sequence:
    """Gives one after the other: credentials, or an error that is raised."""

    def __init__(self, *given: str | Exception) -> None:
        self._given = list(given)
        self.current_key = ""

    async def current(self) -> ReadOnlyCredentials:
        if not self.current_key:
            await self.renewed(ReadOnlyCredentials("", "", None))
        return ReadOnlyCredentials(self.current_key, "secret", None)

    async def renewed(self, refused: ReadOnlyCredentials) -> bool:
        given = self._given.pop(0)
        if isinstance(given, Exception):
            raise given
        self.current_key = given
        return given != refused.access_key


class Waiting:
    """Has none, and takes as long as a request may to say so."""

    def __init__(self, clock: Clock) -> None:
        self.asked = 0
        self._clock = clock

    async def current(self) -> ReadOnlyCredentials:
        self.asked += 1
        self._clock.advance(15)
        raise StoreUnavailable("nobody answers")

    async def renewed(self, refused: ReadOnlyCredentials) -> bool:
        return False


class RequestTests(UploadTestCase):
    async def test_a_request_is_repeated_once_with_others(self) -> None:
        self.fake.accepted = {"third"}
        self.use_store(credentials=Sequence("first", "second"))
        with self.assertRaisesRegex(StoreRefused, "ExpiredToken"):
            await self.put(1)
        self.assertEqual([request.access_key for request in self.fake.requests], ["first", "second"])
        self.assertEqual(self.metrics.of("s3_retry"), [("put_object",)])

    async def test_what_is_refused_for_lack_of_rights_is_not_repeated(self) -> None:
        self.use_store(credentials=Sequence("first"))
        self.fake.fault("put_object", Refuse(403, "AccessDenied"))
        with self.assertRaisesRegex(StoreRefused, "AccessDenied"):
            await self.put(1)

    async def test_without_credentials_just_now_a_request_is_tried_again(self) -> None:
        trouble = StoreUnavailable("the token service is down")
        self.use_store(credentials=Sequence(trouble, trouble, "first"))
        await self.put(1)
        self.assert_stored(1)

    async def test_but_no_longer_than_it_may_be(self) -> None:
        trouble = StoreUnavailable("the token service is down")
        self.use_store(credentials=Sequence(*[trouble] * 9), random=self.five_seconds_later)
        with self.assertRaisesRegex(StoreUnavailable, r"the token service is down \(put object kafscale/k\)"):
            await self.put(1)
        self.assertEqual(self.fake.requests, [])

    async def test_time_that_was_spent_in_waiting_for_them_counts(self) -> None:
        waits = Waiting(self.clock)
        self.use_store(credentials=waits)
        with self.assertRaisesRegex(StoreUnavailable, "nobody answers"):
            await self.put(1)
        self.assertEqual(waits.asked, 1)

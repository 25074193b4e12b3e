"""Blobs read from S3: back-pressure, taking up what broke off, and never bytes of another object."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone

from lfsproxy.errors import BlobMissing, BlobTruncated, StoreRefused, StoreUnavailable
from lfsproxy.interfaces import IBlobDownload
from lfsproxy.s3.stream import BodyBroken, BodyStream
from tests.s3.bucket import StoredObject
from tests.s3.faults import CutBody, Refuse
from tests.s3.helpers import FakeS3TestCase

BLOB = bytes(range(256)) * 2000
KEY = "lfs/default/t/0/0-x.bin"


async def rest_of(download: IBlobDownload) -> bytes:
    data = b""
    while piece := await download.read():
        data += piece
    return data


class DownloadTests(FakeS3TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.fake.objects[KEY] = StoredObject(BLOB, {}, None)
        self.source = self.s3.source

    async def open(self, first: int = 0, count: int = len(BLOB), size: int = len(BLOB)) -> IBlobDownload:
        return await self.source.open(KEY, size, first, count)

    async def test_the_whole_and_a_range(self) -> None:
        self.assertEqual(await rest_of(await self.open()), BLOB)
        self.assertEqual(await rest_of(await self.open(1000, 5)), BLOB[1000:1005])
        self.assertEqual(self.fake.operations(), ["get_object", "get_object"])
        self.assertEqual(self.fake.connected, 1)

    async def test_a_blob_of_another_length_or_none(self) -> None:
        await self.assertFailure(Deferred.fromCoroutine(self.open(size=len(BLOB) + 1)), BlobTruncated)
        await self.assertFailure(Deferred.fromCoroutine(self.open(5, 5, size=len(BLOB) + 1)), BlobTruncated)
        del self.fake.objects[KEY]
        await self.assertFailure(Deferred.fromCoroutine(self.open()), BlobMissing)
        self.assertIsNone(await self.source.size_of(KEY))

    async def test_a_range_behind_the_end_of_a_short_blob(self) -> None:
        download = self.open(len(BLOB), 5, size=len(BLOB) + 5)
        await self.assertFailure(Deferred.fromCoroutine(download), BlobTruncated)

    async def test_trouble_before_the_first_byte_is_retried(self) -> None:
        self.fake.fault("get_object", Refuse(503, "SlowDown"))
        self.assertEqual(await rest_of(await self.open()), BLOB)

    async def test_a_connection_that_breaks_is_taken_up_at_its_byte(self) -> None:
        self.fake.fault("get_object", CutBody(100_000), CutBody(200_000))
        reading = Deferred.fromCoroutine(rest_of(await self.open()))
        await self.advance_until(lambda: reading.called)
        self.assertEqual(await reading, BLOB)
        again = [request.headers for request in self.fake.requests[1:]]
        self.assertEqual([one["range"] for one in again], ["bytes=100000-", "bytes=300000-"])
        self.assertTrue(all(one["if-match"] for one in again))
        self.assertEqual(len(self.metrics.of("s3_retry")), 2)

    async def test_one_with_a_weak_etag_is_taken_up_without_it(self) -> None:
        self.fake.objects[KEY] = StoredObject(BLOB, {}, None, weak=True)
        self.fake.fault("get_object", CutBody(100_000))
        reading = Deferred.fromCoroutine(rest_of(await self.open()))
        await self.advance_until(lambda: reading.called)
        self.assertEqual(await reading, BLOB)

    async def test_a_slow_reader_does_not_use_up_the_time_to_take_it_up(self) -> None:
        self.fake.fault("get_object", CutBody(100_000))
        download = await self.open()
        first = await download.read()
        self.clock.advance(3600)
        reading = Deferred.fromCoroutine(rest_of(download))
        await self.advance_until(lambda: reading.called)
        self.assertEqual(first + await reading, BLOB)

    async def test_another_object_in_its_place_is_not_mixed_in(self) -> None:
        self.fake.fault("get_object", CutBody(100_000))
        download = await self.open()
        self.fake.objects[KEY] = StoredObject(BLOB[::-1], {}, None)
        reading = Deferred.fromCoroutine(rest_of(download))
        await self.advance_until(lambda: reading.called)
        await self.assertFailure(reading, StoreUnavailable)

    async def test_a_store_that_always_breaks_off_is_given_up_in_time(self) -> None:
        self.fake.always["get_object"] = CutBody(0)
        reading = Deferred.fromCoroutine(rest_of(await self.open()))
        await self.advance_until(lambda: reading.called)
        await self.assertFailure(reading, StoreUnavailable)
        self.assertLess(self.clock.seconds(), 60)

    async def test_the_whole_is_not_taken_for_a_part(self) -> None:
        self.fake.knows_ranges = False
        await self.assertFailure(Deferred.fromCoroutine(self.open(1000, 5)), StoreRefused)
        self.fake.fault("get_object", CutBody(100_000))
        reading = Deferred.fromCoroutine(rest_of(await self.open()))
        await self.advance_until(lambda: reading.called)
        await self.assertFailure(reading, StoreRefused)

    async def test_close_lets_go_of_the_connection(self) -> None:
        download = await self.open()
        download.close()
        download.close()
        await self.fake.gone()


class StreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.stream = BodyStream(self.clock, 10)
        self.transport = StringTransport()
        transport: Any = self.transport
        self.stream.makeConnection(transport)

    def test_a_body_that_is_closed_before_its_end_is_cut(self) -> None:
        self.stream.dataReceived(b"one")
        self.stream.close()
        self.assertTrue(self.transport.disconnected)

    def test_a_body_that_is_closed_at_its_end_is_not_cut(self) -> None:
        self.stream.connectionLost(Failure(ResponseDone()))
        self.stream.close()
        self.assertFalse(self.transport.disconnected)

    def test_nothing_more_is_read_while_nobody_reads(self) -> None:
        self.stream.dataReceived(b"one")
        self.assertEqual(self.transport.producerState, "paused")
        # The connection resumes it when it hands the body over.
        self.transport.resumeProducing()
        self.stream.dataReceived(b"two")
        self.assertEqual(self.transport.producerState, "paused")
        self.assertEqual(self.successResultOf(self.stream.read()), b"onetwo")
        self.assertEqual(self.transport.producerState, "paused")
        self.stream.read()
        self.assertEqual(self.transport.producerState, "producing")

    def test_nothing_more_is_read_while_its_reader_is_at_work(self) -> None:
        reading = self.stream.read()
        self.stream.dataReceived(b"one")
        self.assertEqual(self.successResultOf(reading), b"one")
        self.assertEqual(self.transport.producerState, "paused")

    def test_a_reader_that_keeps_up_never_pauses(self) -> None:
        got: list[bytes] = []

        def take(data: bytes) -> None:
            got.append(data)
            self.stream.read().addCallback(take)

        self.stream.read().addCallback(take)
        paused = []
        self.patch(self.transport, "pauseProducing", lambda: paused.append(True))
        for piece in (b"one", b"two"):
            self.stream.dataReceived(piece)
        self.assertEqual((got, paused), ([b"one", b"two"], []))

    def test_the_end_comes_after_what_was_not_read_yet(self) -> None:
        self.stream.dataReceived(b"one")
        self.stream.connectionLost(Failure(ResponseDone()))
        self.assertEqual(self.successResultOf(self.stream.read()), b"one")
        self.assertEqual(self.successResultOf(self.stream.read()), b"")

    def test_silence_breaks_it_only_while_one_reads(self) -> None:
        self.clock.advance(100)
        reading = self.stream.read()
        self.clock.advance(9)
        self.stream.dataReceived(b"one")
        self.assertEqual(self.successResultOf(reading), b"one")
        reading = self.stream.read()
        self.clock.advance(10)
        self.failureResultOf(reading, BodyBroken)
        self.failureResultOf(self.stream.read(), BodyBroken)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_end_too_early_is_told(self) -> None:
        reading = self.stream.read()
        self.stream.connectionLost(Failure(ConnectionError("reset")))
        self.failureResultOf(reading, BodyBroken)

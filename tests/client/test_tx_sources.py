"""tx.BlobReader by treq: what every source that asks over HTTP has to do, by real connections."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from lfsproxy.client import (
    PresignedSource,
    ProxySource,
    RecordCoordinates,
    Resolution,
    static_credentials,
    tx,
)
from lfsproxy.envelope import Envelope
from lfsproxy.errors import (
    BlobMissing,
    ChecksumMismatch,
    EnvelopeNotAllowed,
    StoreRefused,
    StoreUnavailable,
    TooLarge,
)
from tests.client.doubles import envelope_of
from tests.client.test_sources import DATA, PLACE, PROBLEM, VALUE, start_store


class SourceTestCase(TestCase):
    """A reader of one kind of source."""

    timeout = 60
    tie = "If-Match"
    gone: Any = (404, b"<Error><Code>NoSuchKey</Code></Error>", "application/xml")
    denied: Any = (403, b"<Error><Code>AccessDenied</Code></Error>", "application/xml")

    def setUp(self) -> None:
        self.server = start_store(self)
        self.told: list[Resolution] = []

    def options(self) -> dict[str, Any]:
        raise NotImplementedError

    def reader(self, **arguments: Any) -> tx.BlobReader:
        given = {"pause": 0, "on_resolve": self.told.append, **self.options(), **arguments}
        made = tx.BlobReader(**given)
        self.addCleanup(made.close)
        return made

    def results(self) -> list[str]:
        return [one.result for one in self.told]


class Contract:
    """Mixed into a SourceTestCase."""

    async def test_a_blob_whole(self: Any) -> None:
        self.assertEqual(await self.reader().fetch(VALUE, record=PLACE), DATA)
        self.assertEqual([(one.result, one.size, one.tries) for one in self.told], [("ok", len(DATA), 1)])

    async def test_a_blob_in_pieces(self: Any) -> None:
        pieces: list[bytes] = []
        async with self.reader().open(VALUE, record=PLACE) as blob:
            while piece := await blob.read(100_000):
                pieces.append(piece)
        self.assertEqual(b"".join(pieces), DATA)
        self.assertEqual([len(piece) for piece in pieces], [100_000] * 5 + [12_000])

    async def test_a_lost_connection_goes_on_where_it_stopped(self: Any) -> None:
        self.server.faults = [1000]
        self.assertEqual(await self.reader().fetch(VALUE, record=PLACE), DATA)
        headers = {name.lower(): value for name, value in self.server.headers[1].items()}
        self.assertEqual((headers["range"], headers[self.tie.lower()]), ("bytes=1000-", '"one"'))
        self.assertEqual([one.tries for one in self.told], [2])

    async def test_another_object_is_not_read_on_from(self: Any) -> None:
        self.server.faults, self.server.next_etag = [1000], '"two"'
        error = await self.assertFailure(self.reader().fetch(VALUE, record=PLACE), StoreUnavailable)
        self.assertIn("cannot be read on after 1000 bytes", str(error))

    async def test_what_is_gone_and_what_is_refused(self: Any) -> None:
        self.server.faults = [self.gone, self.denied]
        await self.assertFailure(self.reader().fetch(VALUE, record=PLACE), BlobMissing)
        error = await self.assertFailure(self.reader().fetch(VALUE, record=PLACE), StoreRefused)
        self.assertIn("403 ", str(error))
        self.assertEqual(self.results(), ["blob-missing", "store-refused"])

    async def test_a_missing_blob_is_skipped_or_stays_an_envelope(self: Any) -> None:
        self.server.faults = [self.gone] * 4
        skipping, keeping = self.reader(on_missing="skip"), self.reader(on_missing="envelope")
        found = [await each.resolve(VALUE, record=PLACE) for each in (skipping, keeping)]
        self.assertEqual([(one.value, one.missing) for one in found], [(None, True), (VALUE, True)])
        async with skipping.open(VALUE, record=PLACE) as blob:
            self.assertEqual((blob.stream, blob.missing), (None, True))
        async with keeping.open(VALUE, record=PLACE) as blob:
            self.assertEqual((await blob.read(-1), blob.missing), (VALUE, True))

    async def test_what_may_pass_is_tried_again(self: Any) -> None:
        self.server.faults = [(503, b"", "text/plain"), (500, b"", "text/plain")]
        self.assertEqual(await self.reader().fetch(VALUE, record=PLACE), DATA)
        self.assertEqual(len(self.server.paths), 3)

    async def test_other_bytes(self: Any) -> None:
        self.server.data = DATA[:-1] + b"x"
        await self.assertFailure(self.reader().fetch(VALUE, record=PLACE), ChecksumMismatch)
        async with self.reader().open(VALUE, record=PLACE) as blob:
            await blob.read(1000)
            for _ in range(2):
                await self.assertFailure(blob.read(-1), ChecksumMismatch)

    async def test_what_is_not_allowed_is_not_asked_for(self: Any) -> None:
        away = self.reader(prefixes=["other/"], buckets=["kafscale"])
        await self.assertFailure(away.fetch(VALUE, record=PLACE), EnvelopeNotAllowed)
        small = self.reader(max_size=len(DATA) - 1)
        await self.assertFailure(small.open(VALUE, record=PLACE), TooLarge)
        self.assertEqual(self.server.paths, [])
        self.assertEqual(self.results(), ["envelope-not-allowed", "too-large"])

    async def test_nobody_there(self: Any) -> None:
        reader = self.reader(tries=2)
        self.server.shutdown()
        self.server.server_close()
        error = await self.assertFailure(reader.fetch(VALUE, record=PLACE), StoreUnavailable)
        self.assertIn("refused", str(error))

    async def test_a_poll(self: Any) -> None:
        records = [Record(PLACE, value) for value in (VALUE, b"ordinary", VALUE)]
        self.server.faults = []
        read = [each.value async for each in tx.resolve_records(self.reader(), records)]
        self.assertEqual(read, [DATA, b"ordinary", DATA])

    async def test_a_blob_closes_without_await(self: Any) -> None:
        blob = await self.reader().open(VALUE, record=PLACE)
        await blob.read(1000)
        self.assertIsInstance(blob.close(), Deferred)
        self.assertEqual(self.results(), ["closed"])
        empty = await self.reader().open(None)
        self.assertIsNone(await empty.close())


class Record:
    def __init__(self, place: RecordCoordinates, value: bytes) -> None:
        self.topic, self.partition, self.offset = place.topic, place.partition, place.offset
        self.value = value


class S3Tests(Contract, SourceTestCase):
    def options(self) -> dict[str, Any]:
        return {
            "bucket": "kafscale",
            "endpoint": self.server.url,
            "path_style": True,
            "credentials": static_credentials("key", "secret"),
        }

    async def test_it_is_signed(self) -> None:
        await self.reader().fetch(VALUE)
        headers = self.server.headers[0]
        self.assertIn("AWS4-HMAC-SHA256 Credential=key/", headers["Authorization"])
        self.assertEqual(self.server.paths, ["/kafscale/lfs/k"])
        self.assertEqual(headers["Accept-Encoding"], "identity")

    async def test_the_path_is_the_one_that_was_signed(self) -> None:
        value = envelope_of(DATA, s3_key="lfs//a b/.c%2F'(ü)*").to_bytes()
        self.assertEqual(await self.reader().fetch(value), DATA)
        self.assertEqual(self.server.paths, ["/kafscale/lfs//a%20b/.c%252F%27%28%C3%BC%29%2A"])

    async def test_without_credentials(self) -> None:
        class Nobody:
            def get_frozen_credentials(self) -> Any:
                raise StoreRefused("no S3 credentials")

        await self.assertFailure(self.reader(credentials=Nobody()).fetch(VALUE), StoreRefused)
        self.assertEqual(self.results(), ["store-refused"])


class PresignedTests(Contract, SourceTestCase):
    def options(self) -> dict[str, Any]:
        return {"bucket": "kafscale", "source": PresignedSource(self.presign)}

    def presign(self, envelope: Envelope, record: RecordCoordinates | None) -> str:
        return f"{self.server.url}/{envelope.s3_key};a?X-Amz-Signature=a%2Bb&x=&y='/c=d"

    async def test_the_url_stays_as_it_is(self) -> None:
        await self.reader().fetch(VALUE)
        self.assertEqual(self.server.paths, ["/lfs/k;a?X-Amz-Signature=a%2Bb&x=&y='/c=d"])

    async def test_what_it_raises_comes_out(self) -> None:
        def presign(envelope: Envelope, record: RecordCoordinates | None) -> str:
            raise LookupError("no signature")

        await self.assertFailure(self.reader(source=PresignedSource(presign)).fetch(VALUE), LookupError)
        self.assertEqual(self.results(), ["read-interrupted"])

    async def test_what_is_no_url_is_the_callers_fault(self) -> None:
        reader = self.reader(source=PresignedSource(cast(Any, lambda *_: None)))
        await self.assertFailure(reader.fetch(VALUE), TypeError)

    async def test_a_url_that_is_none(self) -> None:
        for url in ("ftp://127.0.0.1/k", "no url", "http://[::1"):
            reader = self.reader(source=PresignedSource(lambda *_, url=url: url), tries=1)
            await self.assertFailure(reader.fetch(VALUE), StoreUnavailable, ValueError)


class ProxyTests(Contract, SourceTestCase):
    tie = "If-Range"
    gone = (404, PROBLEM % b"blob-missing", "application/problem+json")
    denied = (403, PROBLEM % b"not-authorised", "application/problem+json")

    def options(self) -> dict[str, Any]:
        return {"source": ProxySource(self.server.url + "/lfs/", "key")}

    async def test_the_place_and_the_key(self) -> None:
        await self.reader().fetch(VALUE, record=PLACE)
        self.assertEqual(self.server.paths, ["/lfs/v1/topics/a%20topic%2F%C3%A9/partitions/3/records/41"])
        self.assertEqual(self.server.headers[0]["Authorization"], "Bearer key")

    async def test_no_place_is_refused_and_nothing_asked(self) -> None:
        reader = self.reader(threads=1)
        await self.assertFailure(reader.fetch(VALUE), StoreRefused)
        self.assertEqual(self.server.paths, [])

    async def test_a_thousand_that_fail_at_once(self) -> None:
        reader = self.reader(threads=1)
        blocker = reader.fetch(VALUE, record=PLACE)
        failing = [self.assertFailure(reader.fetch(VALUE), StoreRefused) for _ in range(1000)]
        self.assertEqual(await blocker, DATA)
        for each in failing:
            await each

"""The read SDK against a real S3 server: every client, large blobs, ranges, odd keys, refusals."""

from __future__ import annotations

import asyncio
import hashlib
import tracemalloc
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from lfsproxy.client import BlobReader, Resolution, aio, tx
from lfsproxy.client.reader import static_credentials
from lfsproxy.envelope import Envelope
from lfsproxy.errors import BlobMissing, BlobTruncated, ChecksumMismatch, StoreRefused, StoreUnavailable
from tests.integration.stack import Stack, in_thread, stack

MIB = 1024 * 1024


class ReaderTests(TestCase):
    """Each test puts objects of its own below lfs/reader/."""

    timeout = 120

    async def put(self, name: str, data: bytes, **fields: Any) -> tuple[Stack, bytes]:
        servers = await stack()
        key = f"lfs/reader/{name}"
        await in_thread(servers.s3_client().put_object, Bucket=servers.bucket, Key=key, Body=data)
        given = {
            "s3_bucket": servers.bucket,
            "s3_key": key,
            "content_type": "text/plain",
            "content_length": len(data),
            "checksum_algo": "sha256",
            "checksum": hashlib.sha256(data).hexdigest(),
        }
        return servers, Envelope(**{**given, **fields}).to_bytes()

    def reader(self, servers: Stack, **arguments: Any) -> BlobReader:
        credentials = static_credentials(servers.s3.access_key, servers.s3.secret_key)
        reader = BlobReader.from_environment(servers.environment, **{"credentials": credentials, **arguments})
        self.addCleanup(reader.close)
        return reader

    async def test_fetches_a_blob(self) -> None:
        servers, value = await self.put("small", b"hello")
        self.assertEqual(await in_thread(self.reader(servers).fetch, value), b"hello")

    async def test_fetches_an_empty_blob(self) -> None:
        servers, value = await self.put("empty", b"")
        self.assertEqual(await in_thread(self.reader(servers).fetch, value), b"")

    async def test_a_key_with_every_kind_of_character(self) -> None:
        servers, value = await self.put("a b+c%20d&e=f#g?h~ü☃'()!*,;:@$.bin", b"hello")
        self.assertEqual(await in_thread(self.reader(servers).fetch, value), b"hello")

    async def test_a_large_blob_streams_in_little_memory(self) -> None:
        data = bytes(range(256)) * (64 * MIB // 256)
        servers, value = await self.put("large", data)
        checksum, size = hashlib.sha256(data).hexdigest(), len(data)
        del data

        def read() -> tuple[int, str, int]:
            tracemalloc.start()
            try:
                digest, length = hashlib.sha256(), 0
                file = self.reader(servers).open(value)
                assert file is not None
                with file:
                    while chunk := file.read(256 * 1024):
                        digest.update(chunk)
                        length += len(chunk)
                return length, digest.hexdigest(), tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

        length, digest, peak = await in_thread(read)
        self.assertEqual((length, digest), (size, checksum))
        self.assertLess(peak, 8 * MIB)

    async def test_goes_on_after_a_lost_connection(self) -> None:
        data = bytes(range(256)) * (4 * MIB // 256)
        servers, value = await self.put("resumed", data)
        reader = self.reader(servers)

        def read() -> bytes:
            file: Any = reader.open(value).stream
            with file:
                start = file.read(MIB)
                source = file.raw._source
                source._answer._response._fp.fp.raw._sock.shutdown(2)
                rest = file.read()
                assert source.download.position == len(data)
            return bytes(start + rest)

        self.assertEqual(await in_thread(read), data)

    async def test_a_missing_blob(self) -> None:
        servers, value = await self.put("there", b"hello")
        gone = value.replace(b"reader/there", b"reader/gone")
        await self.assertFailure(in_thread(self.reader(servers).fetch, gone), BlobMissing)
        skipping = self.reader(servers, on_missing="skip")
        self.assertIsNone(await in_thread(skipping.fetch, gone))

    async def test_a_wrong_checksum_and_a_wrong_length(self) -> None:
        servers, value = await self.put("wrong", b"hello", checksum="0" * 64)
        await self.assertFailure(in_thread(self.reader(servers).fetch, value), ChecksumMismatch)
        servers, value = await self.put("wrong", b"hello", content_length=6)
        await self.assertFailure(in_thread(self.reader(servers).fetch, value), BlobTruncated)

    async def test_a_bucket_that_does_not_exist(self) -> None:
        servers, value = await self.put("bucket", b"hello", s3_bucket="no-such-bucket")
        reader = self.reader(servers, buckets=["no-such-bucket"], on_missing="skip")
        await self.assertFailure(in_thread(reader.fetch, value), StoreRefused)

    async def test_wrong_credentials(self) -> None:
        servers, value = await self.put("credentials", b"hello")
        reader = self.reader(servers, credentials=static_credentials("nobody", "wrong-secret"))
        await self.assertFailure(in_thread(reader.fetch, value), StoreRefused)

    async def test_a_store_that_is_away(self) -> None:
        servers, value = await self.put("away", b"hello")
        reader = self.reader(servers, endpoint="http://127.0.0.1:1", pause=0)
        await self.assertFailure(in_thread(reader.fetch, value), StoreUnavailable)

    async def test_twisted(self) -> None:
        data = b"0123456789" * MIB
        servers, value = await self.put("twisted", data)
        credentials = static_credentials(servers.s3.access_key, servers.s3.secret_key)
        reader = tx.BlobReader.from_environment(servers.environment, credentials=credentials)
        self.addCleanup(reader.close)
        self.assertEqual(await reader.fetch(value), data)
        async with await reader.open(value) as stream:
            self.assertEqual(b"".join([chunk async for chunk in stream]), data)

    async def test_twisted_goes_on_after_a_lost_connection(self) -> None:
        data = b"0123456789" * MIB
        servers, value = await self.put("cut", data)
        odd = b"lfs/reader/a b+c%20d&e=f'()*"
        await in_thread(servers.s3_client().put_object, Bucket=servers.bucket, Key=odd.decode(), Body=data)
        credentials = static_credentials(servers.s3.access_key, servers.s3.secret_key)
        told: list[Resolution] = []
        reader = tx.BlobReader.from_environment(
            servers.environment, credentials=credentials, on_resolve=told.append
        )
        self.addCleanup(reader.close)
        blob = await reader.open(value.replace(b"lfs/reader/cut", odd))
        start = await blob.read(1000)
        body: Any = blob.stream._feed.blob._source._body  # type: ignore[union-attr]  # of treq
        body.transport.stopProducing()
        self.assertEqual(start + await blob.read(-1), data)
        self.assertEqual([(one.result, one.tries) for one in told], [("ok", 2)])
        await self.assertFailure(reader.fetch(value.replace(b"reader/cut", b"reader/gone")), BlobMissing)

    def test_asyncio(self) -> Deferred[None]:
        async def read(
            environment: dict[str, str], credentials: Any, value: bytes
        ) -> tuple[bytes, bytes | None]:
            reader = aio.BlobReader.from_environment(environment, credentials=credentials)
            async with await reader.open(value) as stream:
                chunks = [chunk async for chunk in stream]
            return b"".join(chunks), await reader.fetch(value)

        async def main() -> None:
            data = b"0123456789" * MIB
            servers, value = await self.put("asyncio", data)
            credentials = static_credentials(servers.s3.access_key, servers.s3.secret_key)
            read_both = await deferToThread(
                lambda: asyncio.run(read(servers.environment, credentials, value))
            )
            self.assertEqual(read_both, (data, data))

        return Deferred.fromCoroutine(main())

"""The CRC-32C of whole blobs on real S3 servers: S3Proxy, and MinIO where there is one.

It takes some twenty seconds, half of them to start the servers.
"""

from __future__ import annotations

import os
from typing import Any
from unittest import SkipTest

import treq
from crc32c import crc32c
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from lfsproxy.budget import HeldMemory
from lfsproxy.checksums import new_checksum
from lfsproxy.devstack.s3 import find_minio
from lfsproxy.errors import StoreUnavailable
from lfsproxy.s3.crc import encode_crc
from lfsproxy.testing import MemoryMetrics
from tests.integration.minio_users import shared_minio
from tests.integration.proxy import own_proxy
from tests.integration.stack import BUCKET, Stack, in_thread, s3_client, shared_s3, stack
from tests.integration.test_s3 import PART, make_store
from tests.source_contract import KEY, SourceContract
from tests.store_contract import write_all

PIECES = [os.urandom(PART), os.urandom(PART), b"last"]
BLOB = b"".join(PIECES)
CRC = crc32c(BLOB)


class S3ProxyTests(SourceContract):
    timeout = 120
    minio: str | None = ""
    heads_of_parts = 1
    """How many parts are asked for: S3Proxy does not answer to the first one."""
    reads = 1

    def setUp(self) -> Deferred[None]:  # type: ignore[override]  # of the contract, which waits for nothing
        super().setUp()
        return Deferred.fromCoroutine(self._set_up())

    async def _set_up(self) -> None:
        server = await shared_s3(minio=self.minio)
        self.client = s3_client(server)
        self.metrics = MemoryMetrics()
        self.store = make_store(server, self.metrics, retry_timeout=2.0)
        self.source = self.store.source
        self.addCleanup(lambda: Deferred.fromCoroutine(self.store.close()))
        await in_thread(self.client.delete_object, Bucket=BUCKET, Key=KEY)

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=data)

    async def put_parts(self, **options: Any) -> None:
        """A blob of parts, as somebody else writes it."""
        begun = await in_thread(self.client.create_multipart_upload, Bucket=BUCKET, Key=KEY, **options)
        place: dict[str, Any] = {"Bucket": BUCKET, "Key": KEY, "UploadId": begun["UploadId"]}
        parts: list[Any] = []
        for number, piece in enumerate(PIECES, 1):
            told: dict[str, Any] = {"ChecksumCRC32C": encode_crc(crc32c(piece))} if options else {}
            answer = await in_thread(self.client.upload_part, **place, PartNumber=number, Body=piece, **told)
            parts.append({"PartNumber": number, "ETag": answer["ETag"], **told})
        await in_thread(self.client.complete_multipart_upload, **place, MultipartUpload={"Parts": parts})

    async def assert_asked(self, heads: int, gets: int, crc: int = CRC, size: int = len(BLOB)) -> None:
        """It is right, and took so many requests."""
        self.metrics.calls.clear()
        self.assertEqual(await self.source.crc32c(KEY, size), crc)
        asked = [arguments[0] for arguments in self.metrics.of("s3_operation")]
        self.assertEqual((asked.count("head_object"), asked.count("get_object")), (heads, gets))

    async def assert_whole_is_kept(self) -> None:
        head = await in_thread(self.client.head_object, Bucket=BUCKET, Key=KEY, ChecksumMode="ENABLED")
        self.assertEqual((head["ChecksumType"], head["ChecksumCRC32C"]), ("FULL_OBJECT", encode_crc(CRC)))

    async def test_a_blob_that_was_one_put(self) -> None:
        upload = self.store.blobs.begin(KEY, "a/b", {}, new_checksum("md5"), None, HeldMemory())
        await write_all(upload, b"small")
        await upload.seal()
        await upload.commit({})
        await self.assert_asked(1, 0, crc32c(b"small"), 5)

    async def test_a_blob_of_parts(self) -> None:
        upload = self.store.blobs.begin(KEY, "a/b", {}, new_checksum("md5"), None, HeldMemory())
        await write_all(upload, BLOB)
        await upload.seal()
        await upload.commit({})
        await self.assert_whole_is_kept()
        await self.assert_asked(1, 0)

    async def test_a_blob_of_parts_that_other_processes_stored(self) -> None:
        store = self.store.resumable
        upload_id = await store.begin_parts(KEY, "a/b", {})
        parts = [await store.put_part(KEY, upload_id, n, [piece]) for n, piece in enumerate(PIECES, 1)]
        self.assertTrue(await store.complete_parts(KEY, upload_id, parts, len(BLOB), PART))
        await self.assert_whole_is_kept()
        await self.assert_asked(1, 0)

    async def test_an_older_blob_of_parts_with_a_checksum_each(self) -> None:
        await self.put_parts(ChecksumAlgorithm="CRC32C")
        await self.assert_asked(1 + self.heads_of_parts, self.reads)
        await self.assert_asked(1, 0)

    async def test_a_blob_of_parts_without_any(self) -> None:
        await self.put_parts()
        await self.assert_asked(1, 1)
        await self.assert_asked(1, 0)

    async def test_another_checksum_of_the_whole_is_refused_by_the_store(self) -> None:
        client = self.store.client
        begun = await client.create_multipart_upload(KEY, {})
        self.assertTrue(begun.whole)
        part = await client.upload_part(KEY, begun.upload_id, 1, [BLOB[:PART]], crc32c(BLOB[:PART]))
        with self.assertRaisesRegex(StoreUnavailable, "BadDigest|XAmzContentChecksumMismatch"):
            await client.complete_multipart_upload(KEY, begun.upload_id, [part], encode_crc(CRC))
        self.assertIsNone(await client.head_object(KEY))
        await client.abort_multipart_upload(KEY, begun.upload_id)


class MinioTests(S3ProxyTests):
    heads_of_parts = len(PIECES)
    reads = 0

    async def _set_up(self) -> None:
        self.minio = find_minio()
        if self.minio is None:
            raise SkipTest("there is no minio on PATH")
        await super()._set_up()


class ProxyTests(TestCase):
    timeout = 300

    async def test_an_upload_through_the_proxy_has_one_of_the_whole(self) -> None:
        server = await shared_minio()
        servers = await stack()
        topic = await servers.new_topic()
        proxy = await own_proxy(self, Stack(servers.kafka, server, BUCKET), LFS_S3_PART_SIZE=str(PART))
        answer = await treq.post(f"{proxy.http}/v1/topics/{topic}/records", BLOB, persistent=False)
        self.assertEqual(answer.code, 201)
        envelope = (await answer.json())["envelope"]
        head = await in_thread(
            s3_client(server).head_object, Bucket=BUCKET, Key=envelope["s3_key"], ChecksumMode="ENABLED"
        )
        self.assertEqual((head["ChecksumType"], head["ChecksumCRC32C"]), ("FULL_OBJECT", encode_crc(CRC)))
        self.assertRegex(head["ETag"], "-3")
        self.assertNotIn("keeps no CRC-32C", proxy.log)


del SourceContract

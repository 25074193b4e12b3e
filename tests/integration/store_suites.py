"""The contracts of stores on a real S3 server; test_stores.py says on which ones."""

from __future__ import annotations

import os

from twisted.internet import reactor as _reactor
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from lfsproxy.devstack import S3Server
from lfsproxy.s3.signing import S3Location
from lfsproxy.testing import MemoryMetrics
from tests.integration.stack import BUCKET, in_thread, s3_client
from tests.integration.stores import shared_store
from tests.integration.test_s3 import PART, make_store
from tests.resumable_contract import ResumableStoreContract
from tests.source_contract import KEY, SourceContract
from tests.store_contract import StoreContract

reactor: ReactorBase = _reactor  # type: ignore[assignment]  # the module is the reactor

MIB = 1024 * 1024


class RealS3Contract(StoreContract):
    """The contract over plain HTTP, with the bucket in the path."""

    kind = ""
    """Of STORES."""
    chunk = 256 * 1024
    path_style = True
    timeout = 300

    def sizes(self, part: int) -> list[int]:
        return [*super().sizes(part), 64 * MIB]

    async def server(self) -> S3Server:
        return await shared_store(self.kind)

    def setUp(self) -> Deferred[None]:  # type: ignore[override]  # of the contract, which waits for nothing
        super().setUp()
        return Deferred.fromCoroutine(self._set_up())

    async def _set_up(self) -> None:
        self.s3_server = await self.server()
        self.client = s3_client(self.s3_server)
        self.metrics = MemoryMetrics()
        location = S3Location(BUCKET, self.s3_server.region, self.s3_server.endpoint, self.path_style)
        s3 = make_store(self.s3_server, self.metrics, location=location)
        self.store = s3.blobs
        self.addCleanup(lambda: Deferred.fromCoroutine(s3.close()))

    async def read(self, key: str) -> bytes | None:
        try:
            answer = await in_thread(self.client.get_object, Bucket=BUCKET, Key=key)
        except self.client.exceptions.NoSuchKey:
            return None
        return await in_thread(answer["Body"].read)

    async def describe(self, key: str) -> tuple[str, dict[str, str]]:
        answer = await in_thread(self.client.head_object, Bucket=BUCKET, Key=key)
        return answer["ContentType"], answer["Metadata"]

    async def unfinished(self) -> int:
        answer = await in_thread(self.client.list_multipart_uploads, Bucket=BUCKET)
        return sum(upload["Key"].startswith(self.key) for upload in answer.get("Uploads", []))

    async def test_an_upload_that_is_stopped_in_the_middle_leaves_nothing(self) -> None:
        upload = self.begin()
        for _ in range(4):
            upload.write(os.urandom(PART))
        await deferLater(reactor, 0)
        await upload.abort()
        self.assertEqual(0, await self.unfinished())
        self.assertIsNone(await self.read(self.key))
        self.assertEqual([], self.metrics.of("orphan"))

    async def test_no_request_was_tried_twice(self) -> None:
        await self.put(os.urandom(3 * PART))
        self.assertEqual([], self.metrics.of("s3_retry"))


class RealResumableStoreContract(ResumableStoreContract):
    kind = ""
    timeout = 120
    part = PART

    async def server(self) -> S3Server:
        return await shared_store(self.kind)

    def setUp(self) -> Deferred[None]:  # type: ignore[override]  # of the contract, which waits for nothing
        super().setUp()
        return Deferred.fromCoroutine(self._set_up())

    async def _set_up(self) -> None:
        server = await self.server()
        self.client = s3_client(server)
        s3 = make_store(server, MemoryMetrics())
        self.store = s3.resumable
        self.addCleanup(lambda: Deferred.fromCoroutine(s3.close()))
        self.addCleanup(self.empty)

    async def empty(self) -> None:
        for one in await self.store.list_objects(self.prefix):
            await self.store.delete_object(one.key)

    async def unfinished(self, key: str) -> int:
        listed = await in_thread(self.client.list_multipart_uploads, Bucket=BUCKET, Prefix=key)
        return sum(one["Key"] == key for one in listed.get("Uploads", []))


class RealSourceContract(SourceContract):
    kind = ""
    timeout = 120

    def setUp(self) -> Deferred[None]:  # type: ignore[override]  # of the contract, which waits for nothing
        super().setUp()
        return Deferred.fromCoroutine(self._set_up())

    async def _set_up(self) -> None:
        server = await shared_store(self.kind)
        self.client = s3_client(server)
        store = make_store(server, MemoryMetrics())
        self.source = store.source
        self.addCleanup(lambda: Deferred.fromCoroutine(store.close()))
        await in_thread(self.client.delete_object, Bucket=BUCKET, Key=KEY)

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=data)

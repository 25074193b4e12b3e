"""The S3 store against a real S3 server: both styles of address, with and without TLS, and an outage."""

from __future__ import annotations

import os
import time
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from lfsproxy.budget import HeldMemory, MemoryBudget
from lfsproxy.checksums import new_checksum
from lfsproxy.devstack import S3Server
from lfsproxy.errors import StoreRefused, StoreUnavailable
from lfsproxy.net.tls import ClientTls
from lfsproxy.s3.credentials import StaticCredentials
from lfsproxy.s3.signing import S3Location
from lfsproxy.s3.store import S3Store
from lfsproxy.testing import MemoryMetrics
from tests.integration.stack import BUCKET, in_thread, own_s3, s3_client, shared_s3, stack
from tests.store_contract import StoreContract, write_all

reactor: ReactorBase = _reactor  # type: ignore[assignment]  # the module is the reactor

MIB = 1024 * 1024
PART = 5 * MIB


def make_store(server: S3Server, metrics: MemoryMetrics, **changes: Any) -> S3Store:
    arguments: dict[str, Any] = {
        "location": S3Location(BUCKET, server.region, server.endpoint, path_style=True),
        "credentials": StaticCredentials(server.access_key, server.secret_key),
        "metrics": metrics,
        "part_size": PART,
        "concurrency": 4,
        "retry_timeout": 15.0,
        "upload_memory": 128 * MIB,
        "checksums": True,
        "tls": ClientTls("LFS_S3", str(server.certificate.certificate) if server.certificate else ""),
    }
    return S3Store(reactor, **{**arguments, **changes})


class RealS3Contract(StoreContract):
    """The contract over plain HTTP, with the bucket in the path."""

    chunk = 256 * 1024
    path_style = True
    timeout = 300

    def sizes(self, part: int) -> list[int]:
        return [*super().sizes(part), 64 * MIB]

    async def server(self) -> S3Server:
        return (await stack()).s3

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


class RealS3ContractWithTlsAndTheBucketInTheHost(RealS3Contract):
    path_style = False

    def sizes(self, part: int) -> list[int]:
        # S3Proxy's TLS is slow on a Java tuned to start fast.
        return [0, 1, part + 1]

    async def server(self) -> S3Server:
        return await shared_s3(https=True)


class RefusalTests(TestCase):
    timeout = 300

    async def assert_refused(self, said: str, **changes: Any) -> None:
        server = (await stack()).s3
        store = make_store(server, MemoryMetrics(), **changes)
        self.addCleanup(lambda: Deferred.fromCoroutine(store.close()))
        with self.assertRaises(StoreRefused):
            await store.blobs.check()
        for size in (1, PART, 3 * PART):
            upload = store.blobs.begin("k", "a/b", {}, new_checksum("md5"), None, HeldMemory())
            with self.assertRaisesRegex(StoreRefused, said):
                await write_all(upload, b"x" * size)
                await upload.seal()
                await upload.commit({})
            await upload.abort()

    async def test_wrong_credentials_are_a_refusal(self) -> None:
        server = (await stack()).s3
        await self.assert_refused(
            "403 SignatureDoesNotMatch", credentials=StaticCredentials(server.access_key, "wrong")
        )

    async def test_a_missing_bucket_is_a_refusal(self) -> None:
        server = (await stack()).s3
        location = S3Location("no-such-bucket", server.region, server.endpoint, path_style=True)
        await self.assert_refused("404 NoSuchBucket", location=location)

    async def test_a_certificate_that_is_not_trusted_is_not_talked_to(self) -> None:
        server = await shared_s3(https=True)
        store = make_store(server, MemoryMetrics(), tls=ClientTls("LFS_S3", ""), retry_timeout=1.0)
        self.addCleanup(lambda: Deferred.fromCoroutine(store.close()))
        with self.assertRaisesRegex(StoreUnavailable, "certificate"):
            await store.blobs.check()


class OutageTests(TestCase):
    timeout = 300

    async def test_an_outage_fails_the_upload_in_time_and_leaves_nothing_behind_when_it_is_over(self) -> None:
        server = await own_s3(self)
        metrics = MemoryMetrics()
        store = make_store(server, metrics, retry_timeout=3.0)
        self.addCleanup(lambda: Deferred.fromCoroutine(store.close()))
        lease = await MemoryBudget(reactor, 128 * MIB, PART, 30).acquire(PART)
        upload = store.blobs.begin("k", "a/b", {}, new_checksum("md5"), None, lease)
        await write_all(upload, b"x" * 4 * PART)
        while ("upload_part", "ok") not in [arguments[:2] for arguments in metrics.of("s3_operation")]:
            await deferLater(reactor, 0)
        await in_thread(server.kill)
        started = time.monotonic()
        with self.assertRaises(StoreUnavailable):
            await write_all(upload, b"x" * 8 * PART)
        self.assertLess(time.monotonic() - started, 5)
        await upload.abort()
        await in_thread(server.start)
        client = s3_client(server)
        while (await in_thread(client.list_multipart_uploads, Bucket=BUCKET)).get("Uploads"):
            await deferLater(reactor, 0.1)
        self.assertEqual([], metrics.of("orphan"))

    async def test_requests_go_on_after_a_restart_of_the_server(self) -> None:
        server = await own_s3(self)
        metrics = MemoryMetrics()
        store = make_store(server, metrics)
        self.addCleanup(lambda: Deferred.fromCoroutine(store.close()))
        await store.blobs.check()
        await in_thread(server.restart)
        await store.blobs.check()
        self.assertEqual([], metrics.of("s3_retry"))


del StoreContract

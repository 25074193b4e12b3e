"""The S3 store against a real S3 server that refuses, and against one that is away for a while."""

from __future__ import annotations

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
from tests.store_contract import write_all

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

"""What settings make, without any door: the store, the publisher and the log."""

from __future__ import annotations

from typing import Any, cast
from uuid import uuid4

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from lfsproxy.backends import Backends, make_backends, make_store
from lfsproxy.broker.no_publisher import NoLog, NoPublisher
from lfsproxy.envelope import object_key
from lfsproxy.interfaces import (
    IBlobSource,
    IBlobStore,
    IEnvelopePublisher,
    IObjectIndex,
    IRecordLog,
    IResumableStore,
    IStore,
)
from lfsproxy.s3.credentials import StaticCredentials
from lfsproxy.settings import Settings, load_settings
from lfsproxy.testing import MemoryMetrics, MemoryPublisher
from lfsproxy.testing.downloads import MemoryLog
from lfsproxy.testing.store import MemoryStore
from tests.s3.bucket import OF_NEW_OBJECTS
from tests.s3.helpers import FakeS3TestCase

reactor = cast(Any, _reactor)


def settings(**environment: str) -> Settings:
    return load_settings(environment, {}).settings


class MakeTests(FakeS3TestCase):
    def store(self, **environment: str) -> IStore:
        """A store in front of the fake S3, as the settings make it."""
        endpoint = f"http://127.0.0.1:{self.port}"
        made = make_store(
            reactor,
            settings(LFS_S3_ENDPOINT=endpoint, **environment),
            {},
            self.metrics,
            StaticCredentials("key", "secret"),
        )
        self.addCleanup(lambda: Deferred.fromCoroutine(made.close()))
        return made

    async def test_a_store_can_do_everything_that_the_interface_names(self) -> None:
        store = self.store()
        self.assertTrue(IStore.providedBy(store))
        for interface, capability in (
            (IBlobStore, store.blobs),
            (IBlobSource, store.source),
            (IResumableStore, store.resumable),
            (IObjectIndex, store.index),
        ):
            self.assertTrue(cast(Any, interface).providedBy(capability))
            self.assertEqual(cast(Any, capability).bucket, "kafscale")

    async def test_without_a_checksum_no_request_names_one(self) -> None:
        for value, named in (("crc32c", True), ("none", False)):
            store = self.store(LFS_S3_CHECKSUM=value)
            assert store.resumable is not None
            await store.resumable.put_blob(f"lfs/{value}", "text/plain", {}, [b"data"])
            headers = self.fake.requests[-1].headers
            self.assertEqual("x-amz-checksum-crc32c" in headers, named)

    async def test_new_objects_are_as_the_settings_say(self) -> None:
        store = self.store(
            LFS_S3_SSE="aws:kms",
            LFS_S3_SSE_KMS_KEY_ID="alias/blobs",
            LFS_S3_SSE_BUCKET_KEY="true",
            LFS_S3_STORAGE_CLASS="STANDARD_IA",
            LFS_S3_TAGS="topic={topic}",
        )
        assert store.resumable is not None
        await store.resumable.put_blob(
            object_key("default", "clips", 0, 1, uuid4()), "text/plain", {}, [b"data"]
        )
        headers = self.fake.requests[-1].headers
        self.assertEqual(
            [headers[name] for name in sorted(OF_NEW_OBJECTS)],
            ["aws:kms", "alias/blobs", "true", "STANDARD_IA", "topic=clips"],
        )

    async def test_parts_are_as_the_settings_say(self) -> None:
        self.assertEqual(self.store(LFS_S3_PART_SIZE="5MiB").blobs.part_size, 5 * 2**20)


class BackendsTests(TestCase):
    def make(self, **environment: str) -> Backends:
        made = make_backends(reactor, settings(**environment), {}, MemoryMetrics())
        self.addCleanup(lambda: Deferred.fromCoroutine(made.close()))
        return made

    def test_nothing_is_asked_before_it_is_used(self) -> None:
        made = self.make()
        self.assertTrue(IEnvelopePublisher.providedBy(made.publisher))
        self.assertTrue(IRecordLog.providedBy(made.log))

    def test_a_proxy_without_an_identity_has_neither_publisher_nor_log(self) -> None:
        made = self.make(LFS_KAFKA_SECURITY_PROTOCOL="SASL_PLAINTEXT")
        self.assertIsInstance(made.publisher, NoPublisher)
        self.assertIsInstance(made.log, NoLog)

    async def test_all_are_ended_in_order_though_one_fails(self) -> None:
        ended: list[str] = []

        async def broken() -> None:
            ended.append("broken")
            raise OSError("it does not end")

        async def whole() -> None:
            ended.append("whole")

        store = MemoryStore(reactor)
        publisher = MemoryPublisher()
        backends = Backends(store, publisher, MemoryLog(publisher), [broken, whole, store.close])
        await self.assertFailure(Deferred.fromCoroutine(backends.close()), OSError)
        self.assertEqual((ended, store.closed), (["broken", "whole"], True))

"""The S3 store of resumable uploads keeps to the contract on a real S3 server."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from lfsproxy.testing import MemoryMetrics
from tests.integration.stack import BUCKET, in_thread, s3_client, stack
from tests.integration.test_s3 import make_store
from tests.resumable_contract import ResumableStoreContract

MIB = 1024 * 1024


class RealResumableStoreContract(ResumableStoreContract):
    timeout = 120
    part = 5 * MIB

    def setUp(self) -> Deferred[None]:  # type: ignore[override]  # of the contract, which waits for nothing
        super().setUp()
        return Deferred.fromCoroutine(self._set_up())

    async def _set_up(self) -> None:
        server = (await stack()).s3
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


del ResumableStoreContract

"""The S3 store's index keeps to the contract on real S3 servers: S3Proxy, and MinIO where there is one."""

from __future__ import annotations

from unittest import SkipTest

from twisted.internet.defer import Deferred

from lfsproxy.devstack.s3 import find_minio
from lfsproxy.s3.index import S3Index
from lfsproxy.testing import MemoryMetrics
from tests.index_contract import PAGE, IndexContract
from tests.integration.stack import shared_s3
from tests.integration.test_s3 import make_store


class S3ProxyIndexContract(IndexContract):
    """S3Proxy writes control characters into its XML as they are: no reader can take that."""

    timeout = 120
    minio: str | None = ""
    upload_page: int | None = None
    odd_names = tuple(name for name in IndexContract.odd_names if "\x07" not in name)

    def setUp(self) -> Deferred[None]:  # type: ignore[override]  # of the contract, which waits for nothing
        super().setUp()
        return Deferred.fromCoroutine(self._set_up())

    async def _set_up(self) -> None:
        self.store = s3 = make_store(await shared_s3(minio=self.minio), MemoryMetrics())
        self.index = S3Index(s3.client, PAGE, self.upload_page)
        self.addCleanup(lambda: Deferred.fromCoroutine(s3.close()))


class MinioIndexContract(S3ProxyIndexContract):
    """MinIO lists the unfinished uploads to one key, or all of them, never those below a prefix."""

    upload_page = PAGE
    odd_names = IndexContract.odd_names
    tells_what_ended = False

    async def _set_up(self) -> None:
        self.minio = find_minio()
        if self.minio is None:
            raise SkipTest("there is no minio on PATH")
        await super()._set_up()


del IndexContract

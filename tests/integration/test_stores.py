"""S3Proxy, MinIO and the Versity S3 Gateway keep to the contracts of stores, sources and resumable uploads.

That of indexes is kept to by S3Proxy and MinIO in test_index.py. What each can do besides is in the table of
docs/operate/stores.md.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from lfsproxy.devstack import S3Server
from lfsproxy.errors import StoreRefused
from lfsproxy.s3.index import S3Index
from lfsproxy.testing import MemoryMetrics
from tests.docs.blocks import ROOT
from tests.index_contract import PAGE
from tests.integration.stack import shared_s3
from tests.integration.store_probes import probed, table
from tests.integration.store_suites import RealResumableStoreContract, RealS3Contract, RealSourceContract
from tests.integration.stores import STORES, shared_store
from tests.integration.test_index import S3ProxyIndexContract
from tests.integration.test_s3 import make_store


class S3ProxyUploads(RealS3Contract):
    kind = "S3Proxy"


class S3ProxyDownloads(RealSourceContract):
    kind = "S3Proxy"


class S3ProxyResumableUploads(RealResumableStoreContract):
    kind = "S3Proxy"


class MinioUploads(RealS3Contract):
    kind = "MinIO"


class MinioDownloads(RealSourceContract):
    kind = "MinIO"


class MinioResumableUploads(RealResumableStoreContract):
    kind = "MinIO"


class VersityUploads(RealS3Contract):
    kind = "Versity S3 Gateway"


class VersityDownloads(RealSourceContract):
    kind = "Versity S3 Gateway"


class VersityResumableUploads(RealResumableStoreContract):
    kind = "Versity S3 Gateway"


class VersityIndex(S3ProxyIndexContract):
    """It writes control characters as U+FFFD, and does not go on with a list of uploads that was cut."""

    async def _set_up(self) -> None:
        self.store = s3 = make_store(await shared_store("Versity S3 Gateway"), MemoryMetrics())
        self.client = s3.client
        self.index = S3Index(s3.client, PAGE, self.upload_page)
        self.addCleanup(lambda: Deferred.fromCoroutine(s3.close()))

    async def test_a_list_of_uploads_that_is_cut_is_refused_and_not_taken_for_whole(self) -> None:
        keys = [f"{self.prefix}{number}" for number in range(PAGE + 1)]
        ids = await self.begin(*keys)
        self.index = S3Index(self.client, PAGE, PAGE)
        with self.assertRaisesRegex(StoreRefused, "400 InvalidArgument: Invalid uploadId marker"):
            await self.uploads(self.prefix)
        for key, upload_id in zip(keys, ids, strict=True):
            await self.index.abort(key, upload_id)


class PageTests(TestCase):
    timeout = 120

    async def test_the_page_tells_of_each_store_what_it_does(self) -> None:
        page = (ROOT / "docs" / "operate" / "stores.md").read_text(encoding="utf-8")
        columns = {kind: await probed(kind) for kind in STORES}
        self.assertIn(f"\n\n{table(columns)}\n\n", page)


class TlsAndTheBucketInTheHost(RealS3Contract):
    path_style = False

    def sizes(self, part: int) -> list[int]:
        # S3Proxy's TLS is slow on a Java tuned to start fast.
        return [0, 1, part + 1]

    async def server(self) -> S3Server:
        return await shared_s3(https=True)


del RealResumableStoreContract, RealS3Contract, RealSourceContract, S3ProxyIndexContract

"""A store with a certificate of a private authority, as the Python reader meets it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from lfsproxy.client import BlobReader, tx
from lfsproxy.client.reader import static_credentials
from lfsproxy.errors import StoreUnavailable
from tests.certificates import Authority
from tests.client.doubles import envelope_of
from tests.integration.wrong_servers import WrongServer

DATA = b"the blob"


class TrustTests(TestCase):
    timeout = 30
    reason = ": unable to get local issuer certificate"

    def setUp(self) -> None:
        self.authority = Authority(Path(self.mktemp()), "office")
        self.server = WrongServer(200, DATA, {"ETag": '"one"'}, self.authority.issue("localhost"))
        self.addCleanup(deferToThread, self.server.close)
        self.value = envelope_of(DATA).to_bytes()
        self.url = f"https://localhost:{self.server.port}"

    def reader(self, **variables: str) -> BlobReader:
        environment = {"LFS_S3_ENDPOINT": self.url, "LFS_S3_PATH_STYLE": "true", **variables}
        keys = static_credentials("key", "secret")
        return BlobReader.from_environment(environment, credentials=keys, pause=0)

    async def fetch(self, reader: BlobReader) -> Any:
        return await deferToThread(reader.fetch, self.value)

    async def test_our_own_setting_and_that_of_aws_name_the_authority(self) -> None:
        ours = str(self.authority.file)
        self.assertEqual(await self.fetch(self.reader(AWS_CA_BUNDLE=ours)), DATA)
        self.assertEqual(await self.fetch(self.reader(LFS_S3_CA=ours, AWS_CA_BUNDLE="/nowhere")), DATA)

    async def test_without_it_the_way_out_is_told(self) -> None:
        error = await self.assertFailure(ensureDeferred(self.fetch(self.reader())), StoreUnavailable)
        self.assertEqual(
            str(error),
            f"the blob kafscale/lfs/k cannot be read from {self.url} (LFS_S3_ENDPOINT): certificate verify "
            f"failed{self.reason}; LFS_S3_CA or AWS_CA_BUNDLE names the file of "
            "authorities to trust",
        )


class TwistedTrustTests(TrustTests):
    """The same of the reader for Twisted, which uses OpenSSL in another way."""

    reason = ""

    def reader(self, **variables: str) -> Any:
        environment = {"LFS_S3_ENDPOINT": self.url, "LFS_S3_PATH_STYLE": "true", **variables}
        keys = static_credentials("key", "secret")
        reader = tx.BlobReader.from_environment(environment, credentials=keys, pause=0)
        self.addCleanup(reader.close)
        return reader

    async def fetch(self, reader: Any) -> Any:
        return await reader.fetch(self.value)

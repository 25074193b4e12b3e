"""How a store reaches its server: names below localhost."""

from __future__ import annotations

from lfsproxy.s3.signing import S3Location
from tests.s3.bucket import BUCKET
from tests.s3.helpers import FakeS3TestCase


class ConnectionTests(FakeS3TestCase):
    async def test_a_bucket_below_localhost_is_on_this_machine(self) -> None:
        self.use_store(location=S3Location(BUCKET, endpoint=f"http://localhost:{self.port}"))
        await self.s3.blobs.check()
        self.assertEqual(f"{BUCKET}.localhost:{self.port}", self.fake.requests[0].headers["host"])

"""How a store reaches its server: names below localhost, and whom it trusts."""

from __future__ import annotations

from pathlib import Path

from lfsproxy.devstack.certs import self_signed
from lfsproxy.s3.connection import tls_policy
from lfsproxy.s3.signing import S3Location
from tests.s3.fake_s3 import BUCKET
from tests.s3.helpers import FakeS3TestCase


class ConnectionTests(FakeS3TestCase):
    async def test_a_bucket_below_localhost_is_on_this_machine(self) -> None:
        self.use_store(location=S3Location(BUCKET, endpoint=f"http://localhost:{self.port}"))
        await self.s3.check()
        self.assertEqual(f"{BUCKET}.localhost:{self.port}", self.fake.requests[0].headers["host"])

    def test_every_certificate_of_a_bundle_is_read(self) -> None:
        folder = Path(self.mktemp())
        pems = [self_signed(folder / name).certificate.read_text() for name in ("one", "two")]
        bundle = folder / "bundle.pem"
        bundle.write_text("a comment\n" + "\nanother\n".join(pems))
        tls_policy(str(bundle))

    def test_a_bundle_without_certificates_is_an_error(self) -> None:
        for content in ("", "nonsense"):
            path = Path(self.mktemp())
            path.write_text(content)
            with self.assertRaisesRegex(OSError, "no certificate"):
                tls_policy(str(path))

    def test_a_bundle_that_does_not_exist_is_an_error(self) -> None:
        with self.assertRaises(OSError):
            tls_policy(self.mktemp())

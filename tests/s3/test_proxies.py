"""When it is said that an HTTP proxy of the environment is not used."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.s3.proxies import ignored_proxy
from lfsproxy.s3.signing import S3Location

PROXY = "http://proxy.example:3128"


class IgnoredProxyTests(SynchronousTestCase):
    def ignored(self, endpoint: str | None, **environment: str) -> str | None:
        return ignored_proxy(S3Location("kafscale", endpoint=endpoint), environment)

    def test_one_for_the_endpoint_s_scheme(self) -> None:
        self.assertEqual(self.ignored(None, HTTPS_PROXY=PROXY), "HTTPS_PROXY")
        self.assertEqual(self.ignored("http://minio:9000", http_proxy=PROXY), "http_proxy")
        self.assertEqual(self.ignored("http://minio:9000", ALL_PROXY=PROXY), "ALL_PROXY")

    def test_one_for_the_other_scheme_does_not_matter(self) -> None:
        self.assertIsNone(self.ignored("http://minio:9000", HTTPS_PROXY=PROXY))
        self.assertIsNone(self.ignored(None, HTTP_PROXY=PROXY))

    def test_none_or_an_empty_one(self) -> None:
        self.assertIsNone(self.ignored(None))
        self.assertIsNone(self.ignored(None, HTTPS_PROXY=""))

    def test_no_proxy_is_followed(self) -> None:
        for excepted in ("*", ".minio", "kafscale.minio:9000", "a, minio"):
            self.assertIsNone(self.ignored("http://minio:9000", http_proxy=PROXY, NO_PROXY=excepted))
        self.assertEqual(self.ignored("http://minio:9000", http_proxy=PROXY, no_proxy="x"), "http_proxy")

    def test_this_machine_needs_none(self) -> None:
        for host in ("localhost", "127.0.0.1", "[::1]"):
            self.assertIsNone(self.ignored(f"http://{host}:9000", http_proxy=PROXY))

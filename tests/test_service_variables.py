"""The proxy put together: what each specified variable changes."""

from __future__ import annotations

import json
import os

from twisted.internet import reactor

from lfsproxy.service import LfsProxy, make_service
from lfsproxy.settings import load_settings
from tests.service import ANY_PORT, RECORDS, FakeServer, ProxyTestCase, ask, unused_port


class VariableTests(ProxyTestCase):
    """Each variable of the specification, seen by its effect."""

    def from_environment(self, **environment: str) -> LfsProxy:
        self.patch(os, "environ", {"AWS_ACCESS_KEY_ID": "an-id", "AWS_SECRET_ACCESS_KEY": "a-secret"})
        nowhere = {"LFS_KAFKA_BROKERS": f"127.0.0.1:{unused_port()}"}
        return make_service(reactor, load_settings({**ANY_PORT, **nowhere, **environment}, {}), {})

    async def s3_request(self, **environment: str) -> str:
        """The first request that S3 gets. LFS_S3_ENDPOINT is already seen in that it comes here."""
        server = FakeServer(self, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        endpoint = f"http://localhost:{server.port}"
        request = server.first_bytes()
        self.start(self.from_environment(LFS_S3_ENDPOINT=endpoint, **environment))
        return (await request).decode().replace(f":{server.port}", "")

    async def test_s3_endpoint_and_defaults(self) -> None:
        request = await self.s3_request()
        self.assertNotRegex(request, r"^[A-Z]+ /kafscale[ /]")
        self.assertIn("Host: kafscale.localhost\r\n", request)
        self.assertIn("/us-east-1/s3/aws4_request", request)

    async def test_s3_bucket(self) -> None:
        self.assertIn("Host: other-bucket.localhost\r\n", await self.s3_request(LFS_S3_BUCKET="other-bucket"))

    async def test_s3_path_style(self) -> None:
        request = await self.s3_request(LFS_S3_PATH_STYLE="true")
        self.assertRegex(request, r"^[A-Z]+ /kafscale[ /]")
        self.assertIn("Host: localhost\r\n", request)

    async def test_s3_region(self) -> None:
        self.assertIn("/eu-west-1/s3/aws4_request", await self.s3_request(LFS_S3_REGION="eu-west-1"))

    async def test_kafka_brokers(self) -> None:
        server = FakeServer(self)
        request = server.first_bytes()
        self.start(self.proxy(LFS_KAFKA_BROKERS=f"127.0.0.1:{server.port}"))
        self.assertIn(b"lfsproxy", await request)

    async def test_http_addr(self) -> None:
        port = unused_port()
        self.start(self.proxy(LFS_HTTP_ADDR=f"127.0.0.1:{port}"))
        self.assertEqual((await ask(port, "GET", "/healthz")).status, 200)

    async def test_metrics_addr(self) -> None:
        port = unused_port()
        self.start(self.proxy(LFS_METRICS_ADDR=f"127.0.0.1:{port}"))
        answer = await ask(port, "GET", "/metrics")
        self.assertIn(b"lfsproxy_upload_memory_limit_bytes 1.34217728e+08\n", answer.body)

    async def test_checksum_algo(self) -> None:
        for algorithm, checksum in (
            ("sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            ("md5", "900150983cd24fb0d6963f7d28e17f72"),
            ("crc32", "352441c2"),
        ):
            proxy = self.start(self.proxy(LFS_CHECKSUM_ALGO=algorithm))
            answer = await ask(proxy.http_port, "POST", RECORDS, b"abc")
            self.assertEqual(answer.status, 201, answer.body)
            envelope = json.loads(answer.body)["envelope"]
            self.assertEqual((envelope["checksum_algo"], envelope["checksum"]), (algorithm, checksum))

    async def test_max_upload_size(self) -> None:
        proxy = self.start(self.proxy(LFS_MAX_UPLOAD_SIZE="3"))
        self.assertEqual((await ask(proxy.http_port, "POST", RECORDS, b"abc")).status, 201)
        refused = await ask(proxy.http_port, "POST", RECORDS, b"abcd")
        self.assertEqual(refused.status, 413)
        self.assertIn(b"LFS_MAX_UPLOAD_SIZE", refused.body)
        self.assertEqual(len(self.publisher.records), 1)

    async def test_cors_origins(self) -> None:
        page = "https://a.example"
        anybody = self.start(self.proxy())
        answer = await ask(anybody.http_port, "GET", "/healthz", Origin=page)
        self.assertEqual(answer.headers["access-control-allow-origin"], "*")
        listed = self.start(self.proxy(LFS_CORS_ORIGINS=f"{page},https://b.example"))
        answer = await ask(listed.http_port, "GET", "/healthz", Origin=page)
        self.assertEqual(answer.headers["access-control-allow-origin"], page)
        answer = await ask(listed.http_port, "GET", "/healthz", Origin="https://c.example")
        self.assertNotIn("access-control-allow-origin", answer.headers)

    async def test_namespace_is_in_the_key(self) -> None:
        proxy = self.start(self.proxy(LFS_NAMESPACE="team"))
        await ask(proxy.http_port, "POST", RECORDS, b"abc")
        [key] = self.store.blobs
        self.assertTrue(key.startswith("lfs/team/demo-topic/0/0-"), key)

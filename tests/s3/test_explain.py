"""What is said when S3 is not what the settings say: the whole sentence, from a server that is so."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any, cast

from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory

from lfsproxy.errors import LfsError, StoreRefused
from lfsproxy.net.tls import ClientTls, ServerTls
from lfsproxy.s3.signing import S3Location
from tests.certificates import Authority
from tests.s3.bucket import BUCKET
from tests.s3.faults import Refuse
from tests.s3.helpers import FakeS3TestCase, reactor

WHERE = "(LFS_S3_ENDPOINT)"


class Fixed(Protocol):
    """Answers whatever comes with the same bytes, and closes."""

    def dataReceived(self, data: bytes) -> None:
        transport = cast(Any, self.transport)
        transport.write(cast(Any, self.factory).answer(data))
        transport.loseConnection()


def serves(answer: Callable[[bytes], bytes]) -> Factory[Any]:
    """A server of such answers."""
    factory: Factory[Any] = Factory.forProtocol(Fixed)
    factory.noisy = False
    cast(Any, factory).answer = answer
    return factory


def http(status: int, body: bytes, **headers: str) -> Callable[[bytes], bytes]:
    """An HTTP answer, without its body to HEAD."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    head = f"HTTP/1.1 {status} X\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode()
    return lambda request: head if request.startswith(b"HEAD") else head + body


def error(code: str, message: str = "no", more: str = "") -> bytes:
    """S3's own error."""
    return f"<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>".encode()


class ExplainTestCase(FakeS3TestCase):
    timeout = 20

    def listen(self, factory: Factory[Any]) -> int:
        port = cast(Any, reactor).listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return cast(int, port.getHost().port)

    async def said(self, endpoint: str, tls: ClientTls | None = None, **changes: Any) -> str:
        """What the store's check says."""
        location = S3Location(BUCKET, endpoint=endpoint, path_style=True)
        trust = tls or ClientTls("LFS_S3", str(self.stranger()))
        arguments = {"location": location, "random": self.five_seconds_later, "tls": trust, **changes}
        await self.s3.close()
        self.use_store(**arguments)
        try:
            await self.s3.blobs.check()
        except LfsError as failure:
            return str(failure)
        raise AssertionError("the check succeeded")

    def stranger(self) -> Path:
        """An authority that signs nothing here."""
        return Authority(Path(self.mktemp()), "stranger").file


class NoAnswerTests(ExplainTestCase):
    async def test_nobody_listens(self) -> None:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{one.getsockname()[1]}"
        self.assertEqual(
            await self.said(url),
            f"{url} {WHERE} cannot be reached: connection refused, nothing listens at that port "
            f"(head bucket {BUCKET})",
        )

    async def test_an_unknown_host(self) -> None:
        self.assertEqual(
            await self.said("http://nobody.invalid"),
            f"http://nobody.invalid {WHERE} cannot be reached: the host nobody.invalid is not known "
            f"(head bucket {BUCKET})",
        )

    async def test_an_unknown_host_with_the_bucket_in_it(self) -> None:
        location = S3Location(BUCKET, endpoint="http://nobody.invalid")
        self.assertEqual(
            await self.said("", location=location),
            f"http://nobody.invalid {WHERE} cannot be reached: the host {BUCKET}.nobody.invalid is not "
            f"known; LFS_S3_PATH_STYLE=true asks for the bucket in the path instead (head bucket {BUCKET})",
        )

    async def test_https_to_a_plain_port(self) -> None:
        url = f"https://127.0.0.1:{self.listen(serves(http(400, b'what?')))}"
        self.assertEqual(
            await self.said(url),
            f"{url} {WHERE} does not speak TLS at that port; if it is plain http, set "
            f"LFS_S3_ENDPOINT=http{url[5:]} (head bucket {BUCKET})",
        )

    async def test_something_that_is_no_web_server(self) -> None:
        url = f"http://127.0.0.1:{self.listen(serves(lambda _: b'220 mail.example ESMTP' + bytes([13, 10])))}"
        self.assertEqual(
            await self.said(url),
            f"{url} {WHERE} does not answer in HTTP: something else listens at that port "
            f"(head bucket {BUCKET})",
        )

    async def test_a_port_that_only_closes(self) -> None:
        url = f"http://127.0.0.1:{self.listen(serves(lambda _: b''))}"
        self.assertEqual(
            await self.said(url),
            f"{url} {WHERE} closed the connection without an answer; if it is https, set "
            f"LFS_S3_ENDPOINT=https{url[4:]} (head bucket {BUCKET})",
        )


class TlsTests(ExplainTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.authority = Authority(Path(self.mktemp()), "the-office")

    def serve(self, *names: str) -> int:
        own = self.authority.issue(*names)
        tls = ServerTls("TEST", str(own.certificate), str(own.key), "")
        return self.listen(cast(Any, TLSMemoryBIOFactory(tls, False, self.fake, reactor)))

    @property
    def trusted(self) -> ClientTls:
        return ClientTls("LFS_S3", str(self.authority.file))

    async def test_a_private_authority_that_is_named_is_trusted(self) -> None:
        location = S3Location(
            BUCKET, endpoint=f"https://localhost:{self.serve('localhost')}", path_style=True
        )
        await self.s3.close()
        self.use_store(location=location, tls=self.trusted)
        await self.s3.blobs.check()

    async def test_a_private_authority(self) -> None:
        url = f"https://localhost:{self.serve('localhost')}"
        self.assertEqual(
            await self.said(url),
            f"{url} {WHERE} is not trusted: its certificate is signed by an authority that is not trusted "
            "(CN=the-office): put that authority's certificate into the PEM file that LFS_S3_CA names "
            f"(head bucket {BUCKET})",
        )

    async def test_another_name(self) -> None:
        url = f"https://localhost:{self.serve('s3.example', '10.0.0.1')}"
        self.assertEqual(
            await self.said(url, self.trusted),
            f"{url} {WHERE} is not trusted: its certificate is for s3.example, 10.0.0.1, not for localhost "
            f"(head bucket {BUCKET})",
        )

    async def test_a_certificate_without_the_bucket_s_host(self) -> None:
        url = f"https://localhost:{self.serve('localhost')}"
        self.assertEqual(
            await self.said(url, self.trusted, location=S3Location(BUCKET, endpoint=url)),
            f"{url} {WHERE} is not trusted: its certificate is for localhost, not for {BUCKET}.localhost; "
            f"LFS_S3_PATH_STYLE=true asks for the bucket in the path instead (head bucket {BUCKET})",
        )

    async def test_http_to_a_tls_port(self) -> None:
        url = f"http://localhost:{self.serve('localhost')}"
        said = await self.said(url)
        self.assertIn(f"; if it is https, set LFS_S3_ENDPOINT=https{url[4:]} (head bucket {BUCKET})", said)

    async def test_http_to_a_tls_port_that_answers_so(self) -> None:
        for words in (
            b"Client sent an HTTP request to an HTTPS server.\n",
            b"<html>The plain HTTP request was sent to HTTPS port</html>",
        ):
            url = f"http://localhost:{self.listen(serves(http(400, words)))}"
            self.assertEqual(
                await self.said(url),
                f"{url} {WHERE} is an https port that was sent http; if it is https, set "
                f"LFS_S3_ENDPOINT=https{url[4:]}",
            )


class AnswerTests(ExplainTestCase):
    async def answered(self, answer: Callable[[bytes], bytes], **changes: Any) -> str:
        """What is said to an answer, behind the endpoint."""
        url = f"http://127.0.0.1:{self.listen(serves(answer))}"
        said = await self.said(url, **changes)
        self.assertTrue(said.startswith(f"{url} {WHERE} answered "), said)
        return said.partition(" answered ")[2]

    async def test_another_web_server(self) -> None:
        for status in (404, 200, 302, 403, 405):
            answer = http(status, b"<html></html>", Content_Type="text/html; charset=utf-8", Server="nginx")
            self.assertEqual(
                await self.answered(answer),
                f"{status} (text/html, nginx), but not as an S3 server does: is another web server, or a "
                "proxy, at that address?",
            )

    async def test_no_such_bucket(self) -> None:
        self.assertEqual(
            await self.answered(http(404, error("NoSuchBucket", "The bucket is not there"))),
            f"404 NoSuchBucket: The bucket is not there; there is no bucket {BUCKET}: create it, or correct "
            "LFS_S3_BUCKET",
        )

    async def test_a_name_that_no_bucket_can_have(self) -> None:
        self.assertEqual(
            await self.answered(http(400, error("InvalidBucketName", "It is not valid."))),
            "400 InvalidBucketName: It is not valid; correct LFS_S3_BUCKET: a bucket's name has 3 to 63 "
            "lower-case letters, digits, dots and hyphens",
        )

    async def test_access_denied(self) -> None:
        self.assertEqual(
            await self.answered(http(403, error("AccessDenied", "Access Denied."))),
            "403 AccessDenied: Access Denied; let these credentials list, read, write and delete in the "
            f"bucket {BUCKET}",
        )

    async def test_a_store_without_a_kms(self) -> None:
        refusal = error("NotImplemented", "Server side encryption specified but KMS is not configured")
        said = await self.answered(http(501, refusal))
        self.assertIn("; unset LFS_S3_SSE, or give the store a KMS", said)

    async def test_wrong_keys(self) -> None:
        self.assertEqual(
            await self.answered(http(403, error("InvalidAccessKeyId", "There is no such key."))),
            "403 InvalidAccessKeyId: There is no such key; check AWS_ACCESS_KEY_ID, or whichever "
            "credentials are found",
        )
        self.assertEqual(
            await self.answered(http(403, error("SignatureDoesNotMatch", "It does not match."))),
            "403 SignatureDoesNotMatch: It does not match; check AWS_SECRET_ACCESS_KEY, and LFS_S3_REGION",
        )

    async def test_a_wrong_region(self) -> None:
        hint = "the bucket's region is eu-west-1: set LFS_S3_REGION=eu-west-1 (it is us-east-1)"
        body = error("AuthorizationHeaderMalformed", "wrong region", "<Region>eu-west-1</Region>")
        self.assertEqual(
            await self.answered(http(400, body)), f"400 AuthorizationHeaderMalformed: wrong region; {hint}"
        )
        answer = http(301, error("PermanentRedirect"), x_amz_bucket_region="eu-west-1")
        self.assertEqual(await self.answered(answer), f"301 PermanentRedirect: no; {hint}")

    async def test_clocks_that_differ(self) -> None:
        body = error("RequestTimeTooSkewed", "The difference is too large.")
        for hours, words in ((2, "120 minutes behind"), (-1, "60 minutes ahead of")):
            date = formatdate(time.time() + hours * 3600, usegmt=True)
            self.assertEqual(
                await self.answered(http(403, body, Date=date)),
                f"403 RequestTimeTooSkewed: The difference is too large; this machine's clock is {words} "
                "S3's: set the clock (NTP)",
            )

    async def test_clocks_that_differ_by_nobody_knows_how_much(self) -> None:
        body = error("RequestTimeTooSkewed", "The difference is too large.")
        for date in ("nonsense", "Thu, 01 Jan 2026 00:00:00 +99999999999999999"):
            self.assertEqual(
                await self.answered(http(403, body, Date=date)),
                "403 RequestTimeTooSkewed: The difference is too large; this machine's clock and S3's "
                "differ: set the clock (NTP)",
            )

    async def test_session_credentials_that_are_over(self) -> None:
        self.assertEqual(
            await self.answered(http(400, error("ExpiredToken", "The token is over."))),
            "400 ExpiredToken: The token is over; get new session credentials (AWS_SESSION_TOKEN)",
        )

    async def test_what_new_objects_are_made_with(self) -> None:
        for code, message, wanted in (
            ("InvalidStorageClass", "no", "check LFS_S3_STORAGE_CLASS"),
            ("InvalidTag", "no", "check LFS_S3_TAGS"),
            ("InvalidEncryptionAlgorithmError", "no", "check LFS_S3_SSE"),
            ("KMS.NotFoundException", "no", "check LFS_S3_SSE_KMS_KEY_ID"),
            ("AccessDenied", "not authorized to perform: kms:Decrypt", "use the key: kms:GenerateDataKey"),
            ("AccessDenied", "not authorized to perform: s3:PutObjectTagging", "or unset LFS_S3_TAGS"),
        ):
            status = 403 if code == "AccessDenied" else 400
            self.assertIn(wanted, await self.answered(http(status, error(code, message))))

    async def test_trouble_that_lasts_has_no_counter_in_it(self) -> None:
        answer = http(503, error("SlowDown", "Please reduce your request rate."))
        self.assertEqual(
            await self.answered(answer),
            f"503 (head bucket {BUCKET})",
        )

    def test_aws_is_named_where_there_is_no_endpoint(self) -> None:
        self.assertEqual(
            S3Location(BUCKET, "eu-west-1").named,
            "https://s3.eu-west-1.amazonaws.com (AWS, as LFS_S3_ENDPOINT is not set)",
        )


class UploadTests(FakeS3TestCase):
    async def test_the_key_is_told(self) -> None:
        self.fake.fault("delete_object", Refuse(403, "AccessDenied"))
        with self.assertRaisesRegex(
            StoreRefused,
            r"^http://127.0.0.1:\d+ \(LFS_S3_ENDPOINT\) answered 403 AccessDenied: told to say "
            r"AccessDenied; let these .* in the bucket kafscale \(s3:DeleteObject\) "
            r"\(delete object kafscale/a/key\)$",
        ):
            await self.s3.blobs.delete("a/key")

    async def test_a_web_server_that_takes_any_put_is_no_store(self) -> None:
        port = cast(Any, reactor).listenTCP(0, serves(http(200, b"thanks")), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        url = f"http://127.0.0.1:{port.getHost().port}"
        await self.s3.close()
        self.use_store(location=S3Location(BUCKET, endpoint=url, path_style=True))
        with self.assertRaisesRegex(StoreRefused, f"^{url} .* answered 200, but not as an S3 server does"):
            await self.s3.client.put_object("key", {}, [b"data"], None)
        with self.assertRaisesRegex(StoreRefused, f"^{url} .* answered 200, but not as an S3 server does"):
            await self.s3.client.create_multipart_upload("key", {})

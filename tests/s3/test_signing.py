"""Where requests go and how they are signed."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import itertools
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, ReadOnlyCredentials
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.s3 import signing
from lfsproxy.s3.signing import S3Location, presign_get, sign

EXAMPLE = ReadOnlyCredentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None)
"""The credentials of the examples in Amazon's documentation."""


class LocationTests(SynchronousTestCase):
    def assert_url(self, expected: str, location: S3Location) -> None:
        self.assertEqual(expected, location.url("lfs/a b.bin"))

    def test_path_style_has_the_bucket_in_the_path(self) -> None:
        self.assert_url(
            "http://localhost:9000/kafscale/lfs/a%20b.bin",
            S3Location("kafscale", endpoint="http://localhost:9000", path_style=True),
        )

    def test_virtual_host_style_has_the_bucket_in_the_host(self) -> None:
        self.assert_url(
            "http://kafscale.localhost:9000/lfs/a%20b.bin",
            S3Location("kafscale", endpoint="http://localhost:9000"),
        )

    def test_aws_is_the_default_endpoint(self) -> None:
        self.assert_url(
            "https://kafscale.s3.eu-central-1.amazonaws.com/lfs/a%20b.bin",
            S3Location("kafscale", region="eu-central-1"),
        )
        self.assert_url(
            "https://s3.cn-north-1.amazonaws.com.cn/kafscale/lfs/a%20b.bin",
            S3Location("kafscale", region="cn-north-1", path_style=True),
        )

    def test_an_address_has_no_room_for_a_bucket(self) -> None:
        for host in ("127.0.0.1", "[::1]"):
            self.assert_url(
                f"http://{host}:9000/kafscale/lfs/a%20b.bin",
                S3Location("kafscale", endpoint=f"http://{host}:9000"),
            )

    def test_a_bucket_that_is_no_host_name_stays_in_the_path(self) -> None:
        for bucket in ("Kafscale", "kaf_scale", "a..b"):
            self.assert_url(
                f"http://localhost/{bucket}/lfs/a%20b.bin", S3Location(bucket, endpoint="http://localhost")
            )

    def test_a_dotted_bucket_is_in_the_host_without_tls_only(self) -> None:
        self.assert_url("http://a.b.localhost/lfs/a%20b.bin", S3Location("a.b", endpoint="http://localhost"))
        self.assert_url(
            "https://localhost/a.b/lfs/a%20b.bin", S3Location("a.b", endpoint="https://localhost")
        )

    def test_the_buckets_own_url(self) -> None:
        endpoint = "http://localhost:9000"
        self.assertEqual(
            "http://localhost:9000/b-b", S3Location("b-b", endpoint=endpoint, path_style=True).url()
        )
        self.assertEqual("http://b-b.localhost:9000/", S3Location("b-b", endpoint=endpoint).url())

    def test_keys_and_queries_are_percent_encoded(self) -> None:
        location = S3Location("b-b", endpoint="http://localhost", path_style=True)
        self.assertEqual(
            "http://localhost/b-b/%C3%BC%3F%23%2B%3B~._-/?a=&uploadId=x%2By%2F%3D",
            location.url("ü?#+;~._-/", {"uploadId": "x+y/=", "a": ""}),
        )


class SigningTests(SynchronousTestCase):
    def setUp(self) -> None:
        now = datetime.datetime(2013, 5, 24, tzinfo=datetime.UTC)
        for module in (auth, signing):
            self.patch(module, "get_current_datetime", lambda: now)

    def test_a_presigned_url_is_that_of_amazons_example(self) -> None:
        # "Authenticating Requests: Using Query Parameters" in the Amazon S3 API reference.
        location = S3Location("examplebucket", endpoint="https://s3.amazonaws.com")
        url = presign_get(location, EXAMPLE, "test.txt", 86400)
        self.assertEqual(
            ["aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"],
            parse_qs(urlsplit(url).query)["X-Amz-Signature"],
        )

    def test_a_presigned_url_may_override_response_headers(self) -> None:
        location = S3Location("examplebucket", endpoint="https://s3.amazonaws.com")
        url = presign_get(location, EXAMPLE, "test.txt", 60, {"response-content-type": "image/png"})
        self.assertEqual(["image/png"], parse_qs(urlsplit(url).query)["response-content-type"])

    def test_the_payload_is_unsigned_over_plain_http_too(self) -> None:
        for scheme in ("http", "https"):
            location = S3Location("kafscale", endpoint=f"{scheme}://localhost:9000", path_style=True)
            signed = sign(location, EXAMPLE, "PUT", "k", headers={"x-amz-checksum-crc32c": "AAAAAA=="})
            self.assertEqual("UNSIGNED-PAYLOAD", signed.headers["X-Amz-Content-SHA256"])

    def test_the_signature_is_that_of_the_canonical_request(self) -> None:
        location = S3Location("kafscale", endpoint="http://localhost:9000", path_style=True)
        signed = sign(
            location,
            EXAMPLE,
            "PUT",
            "lfs/a b.bin",
            {"uploadId": "x+/=", "partNumber": "2"},
            {"content-type": "image/png"},
        )
        canonical = (
            "PUT\n/kafscale/lfs/a%20b.bin\npartNumber=2&uploadId=x%2B%2F%3D\n"
            "content-type:image/png\nhost:localhost:9000\n"
            "x-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:20130524T000000Z\n\n"
            "content-type;host;x-amz-content-sha256;x-amz-date\nUNSIGNED-PAYLOAD"
        )
        scope = "20130524/us-east-1/s3/aws4_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        key = b"AWS4" + (EXAMPLE.secret_key or "").encode()
        for message in [*scope.split("/"), f"AWS4-HMAC-SHA256\n20130524T000000Z\n{scope}\n{digest}"]:
            key = hmac.digest(key, message.encode(), "sha256")
        self.assertTrue(signed.headers["Authorization"].endswith(f"Signature={key.hex()}"))

    def test_the_signature_is_that_of_botocore(self) -> None:
        class Unsigned(auth.S3SigV4Auth):
            def payload(self, request: AWSRequest) -> str:
                return "UNSIGNED-PAYLOAD"

        for endpoint, token, query, headers in itertools.product(
            ("http://LocalHost:9000", "http://10.0.0.1:80", "https://[::1]:443", "https://s3:8443", None),
            (None, "the-token"),
            ({}, {"uploads": ""}, {"uploadId": "x+y/=~ü", "partNumber": "2"}),
            ({}, {"Range": "bytes=0-", "x-amz-meta-a": "  two   spaces  ", "if-match": '"e"'}),
        ):
            location = S3Location("b-b", "eu-central-1", endpoint)
            credentials = EXAMPLE._replace(token=token)
            signed = sign(location, credentials, "GET", "a b/ü/../x//y", query, headers)
            theirs = AWSRequest("GET", signed.url, headers={**headers})
            whole = Credentials(credentials.access_key or "", credentials.secret_key or "", token)
            Unsigned(whole, "s3", "eu-central-1").add_auth(theirs)
            self.assertEqual(dict(signed.headers), dict(theirs.headers.items()))

    def test_the_key_of_a_day_is_made_once(self) -> None:
        made: list[str] = []
        key_of_day = signing._key_of_day
        key_of_day.cache_clear()
        for day in (24, 24, 24, 25):
            now = datetime.datetime(2013, 5, day, tzinfo=datetime.UTC)
            self.patch(signing, "get_current_datetime", lambda now=now: now)
            signed = sign(S3Location("kafscale"), EXAMPLE, "GET", "k")
            made.append(signed.headers["Authorization"].partition("/")[2][:8])
        self.assertEqual(made, ["20130524", "20130524", "20130524", "20130525"])
        self.assertEqual(key_of_day.cache_info().misses, 2)

    def test_a_session_token_is_sent(self) -> None:
        credentials = EXAMPLE._replace(token="the-token")
        signed = sign(S3Location("kafscale"), credentials, "GET", "k")
        self.assertEqual("the-token", signed.headers["X-Amz-Security-Token"])

    def test_importing_it_loads_no_twisted(self) -> None:
        code = "import sys, lfsproxy.s3.signing; sys.exit(any(m.startswith('twisted') for m in sys.modules))"
        self.assertEqual(0, subprocess.run([sys.executable, "-c", code], check=False).returncode)

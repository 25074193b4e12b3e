"""Where a bucket is, and how a request to it is signed. Uses botocore only, no Twisted: readers use it too.

Payloads are never hashed for the signature: it says UNSIGNED-PAYLOAD, and the x-amz-checksum-* headers
guard the bytes. See "Authenticating Requests (AWS Signature Version 4)" in the Amazon S3 API reference.

Requests are signed here, and URLs by botocore. Its signature of a request takes 80 us, of which a request for
a small blob has a good part: it makes the key of the day anew each time, and reads the URL that we have just
put together. A test compares both.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

import attrs
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.compat import get_current_datetime
from botocore.credentials import Credentials, ReadOnlyCredentials

from lfsproxy.defaults import DEFAULT_REGION

_HOST_LABELS = re.compile(r"[a-z0-9]([a-z0-9.-]{1,61})[a-z0-9]")


@attrs.frozen
class S3Location:
    """A bucket and how it is reached. ``endpoint`` is a URL such as http://localhost:9000, None is AWS.

    Without ``path_style`` the bucket's name goes into the host, except where it cannot: an endpoint that is
    an IP address, a name that is no host name, or one with dots over https, which no certificate matches.
    """

    bucket: str
    region: str = DEFAULT_REGION
    endpoint: str | None = None
    path_style: bool = False

    @property
    def named(self) -> str:
        """The endpoint for people, and the setting that it comes from."""
        if self.endpoint:
            return f"{self.endpoint} (LFS_S3_ENDPOINT)"
        return f"https://s3.{self.region}.{_aws_suffix(self.region)} (AWS, as LFS_S3_ENDPOINT is not set)"

    def url(self, key: str = "", query: Mapping[str, str] | None = None) -> str:
        """The URL of an object, or of the bucket without ``key``. Percent-encodes both arguments."""
        base = urlsplit(self.endpoint or f"https://s3.{self.region}.{_aws_suffix(self.region)}")
        path = "/" + quote(key, safe="/-_.~")
        host = base.netloc
        if self.path_style or not _fits_host(self.bucket, base.scheme, base.hostname or ""):
            path = f"/{quote(self.bucket, safe='-_.~')}" + (path if key else "")
        else:
            host = f"{self.bucket}.{host}"
        return f"{base.scheme}://{host}{path}" + (f"?{_encode(query)}" if query else "")


@attrs.frozen
class SignedRequest:
    """A request ready to be sent. The Host header is left to the HTTP client: the URL's host and port."""

    method: str
    url: str
    headers: Mapping[str, str]


def sign(
    location: S3Location,
    credentials: ReadOnlyCredentials,
    method: str,
    key: str = "",
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> SignedRequest:
    """Sign one request. The signature holds for about 15 minutes: sign again for every retry."""
    url = location.url(key, query)
    scheme, _, place = url.partition("://")
    place, _, asked = place.partition("?")
    host, _, path = place.partition("/")
    now = get_current_datetime().strftime(auth.SIGV4_TIMESTAMP)
    sent = {**(headers or {}), "X-Amz-Date": now, "X-Amz-Content-SHA256": auth.UNSIGNED_PAYLOAD}
    if credentials.token:
        sent["X-Amz-Security-Token"] = credentials.token
    signed = {name.lower(): " ".join(value.split()) for name, value in sent.items()}
    signed["host"] = host_header(scheme, host)
    names = sorted(signed)
    lines = "".join([f"{name}:{signed[name]}\n" for name in names])
    listed = ";".join(names)
    canonical = f"{method}\n/{path}\n{asked}\n{lines}\n{listed}\n{auth.UNSIGNED_PAYLOAD}"
    scope = f"{now[:8]}/{location.region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = _hmac(_key_of_day(credentials.secret_key or "", scope), text).hex()
    sent["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={listed}, Signature={signature}"
    )
    return SignedRequest(method, url, sent)


@lru_cache(maxsize=8)
def _key_of_day(secret: str, scope: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def host_header(scheme: str, place: str) -> str:
    """The Host header, as HTTP clients send it and as it is signed, for the place that a URL names."""
    return place.rpartition("@")[2].lower().removesuffix(":443" if scheme == "https" else ":80")


def presign_get(
    location: S3Location,
    credentials: ReadOnlyCredentials,
    key: str,
    expires: int,
    query: Mapping[str, str] | None = None,
) -> str:
    """A URL that lets anyone GET ``key`` for ``expires`` seconds (at most 604800).

    ``query`` may override response headers (response-content-type and its like, see GetObject).
    """
    request = AWSRequest("GET", location.url(key, query))
    auth.S3SigV4QueryAuth(_signer(credentials), "s3", location.region, expires=expires).add_auth(request)
    return str(request.url)


def _signer(credentials: ReadOnlyCredentials) -> Credentials:
    return Credentials(credentials.access_key or "", credentials.secret_key or "", credentials.token)


def _encode(query: Mapping[str, str]) -> str:
    return "&".join(f"{quote(name, safe='-_.~')}={quote(query[name], safe='-_.~')}" for name in sorted(query))


def _aws_suffix(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def _fits_host(bucket: str, scheme: str, host: str) -> bool:
    if not _HOST_LABELS.fullmatch(bucket) or ".." in bucket or (scheme == "https" and "." in bucket):
        return False
    try:
        ip_address(host)
    except ValueError:
        return True
    return False

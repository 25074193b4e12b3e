"""What S3's trouble is, in a sentence: the endpoint with its setting, the cause, and the way out if known.

Two kinds: no answer (a connection that failed), and an answer that is an error, be it S3's or another
server's. Error codes: "Error responses" in the Amazon S3 API reference.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import attrs
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError
from twisted.web._newclient import ParseError

from lfsproxy.net.connecting import why_unreached
from lfsproxy.net.tls_errors import UntrustedServer, is_tls_error
from lfsproxy.s3.answers import Answer
from lfsproxy.s3.signing import S3Location
from lfsproxy.words import error_text, is_notation

_NO_TLS = ("wrong version number", "packet length too long", "record layer failure", "unknown protocol")
_PLAIN_HTTP = re.compile(
    rb"HTTP request (to an|was sent to) HTTPS|speaking plain HTTP to an SSL", re.IGNORECASE
)
_TLS_ALERT = b"\x15\x03"
SSE = "x-amz-server-side-encryption"
"""The header field of how an object is encrypted."""
_SETTINGS = {
    "InvalidEncryptionAlgorithmError": "LFS_S3_SSE",
    "InvalidStorageClass": "LFS_S3_STORAGE_CLASS",
    "InvalidTag": "LFS_S3_TAGS",
}
"""Code of a refusal to the setting that it is about."""
_ACTIONS = {
    "abort_multipart_upload": "s3:AbortMultipartUpload",
    "complete_multipart_upload": "s3:PutObject",
    "create_multipart_upload": "s3:PutObject",
    "delete_object": "s3:DeleteObject",
    "get_object": "s3:GetObject",
    "head_object": "s3:GetObject, and s3:ListBucket for one that is not there",
    "list_multipart_uploads": "s3:ListBucketMultipartUploads",
    "list_objects": "s3:ListBucket",
    "put_object": "s3:PutObject",
    "upload_part": "s3:PutObject",
}
"""Which action a policy has to allow for an operation ("Actions, resources, and condition keys for Amazon S3"
in AWS's Service Authorization Reference)."""
_MOST_SKEW = 60.0
"""Seconds by which two clocks that are right may differ: a request is under way meanwhile."""


@attrs.frozen
class Explained:
    """What is wrong and, where it is known, what to do about it; ``str()`` is both in one sentence."""

    what: str
    way_out: str = ""

    def __str__(self) -> str:
        return f"{self.what}; {self.way_out}" if self.way_out else self.what


def no_answer(location: S3Location, causes: Sequence[BaseException], known: bool) -> Explained:
    """Why there was no answer. ``known``: the server has answered before, so that its port is right."""
    for cause in causes:
        said = _known_cause(location, cause)
        if said is not None:
            return Explained(f"{location.named} {said.what}", said.way_out)
    if not known and any(isinstance(cause, ConnectionClosed) for cause in causes):
        return Explained(f"{location.named} closed the connection without an answer", _other_scheme(location))
    why = "; ".join(dict.fromkeys(error_text(cause) for cause in causes))
    return Explained(f"{location.named} gave no answer: {why}")


def silent(location: S3Location) -> Explained:
    """No byte has moved for too long."""
    return Explained(
        f"{location.named} does not answer in time: the server hangs, or something drops its packets"
    )


def refused(location: S3Location, answer: Answer, operation: str = "") -> Explained:
    """What an error answer says, and what to do about it. ``operation`` is what was asked for, if any."""
    if answer.status == 400 and _PLAIN_HTTP.search(answer.body):
        return Explained(f"{location.named} is an https port that was sent http", _other_scheme(location))
    if not speaks_s3(answer) and not answer.is_retriable:
        return Explained(not_s3(location, answer))
    words = (answer.code, answer.message.rstrip("."))
    said = ": ".join(part for part in words if part and not is_notation(part))
    status = f"{answer.status} {said}".rstrip()
    return Explained(f"{location.named} answered {status}", _way_out(location, answer, operation))


def not_s3(location: S3Location, answer: Answer) -> str:
    """An answer that is no S3 server's."""
    what = [answer.headers.get("content-type", "").partition(";")[0], answer.headers.get("server", "")]
    shown = ", ".join(part for part in what if part and part.isprintable())
    status = f"{answer.status} ({shown})" if shown else str(answer.status)
    return (
        f"{location.named} answered {status}, "
        "but not as an S3 server does: is another web server, or a proxy, at that address?"
    )


def not_kept(location: S3Location, answer: Answer, sse: str) -> Explained | None:
    """Why a success of a PUT does not say that its bytes are kept, encrypted as ``sse`` says; None where it
    does."""
    if not answer.headers.get("etag"):
        # Any web server may say 200 to a PUT; only a store gives an ETag.
        return Explained(not_s3(location, answer))
    told = answer.headers.get(SSE, "nothing")
    if sse and told != sse:
        return Explained(
            f"{location.named} takes LFS_S3_SSE={sse}, and has not encrypted so (it tells of {told})",
            "unset LFS_S3_SSE, or use a store that does",
        )
    return None


def speaks_s3(answer: Answer) -> bool:
    """Whether an answer shows that an S3 server gave it: a header of its own, or XML of its kind."""
    own = any(name.startswith("x-amz-") for name in answer.headers)
    return own or bool(answer.code) or b"ListBucketResult" in answer.body


def _base(location: S3Location) -> str:
    url = urlsplit(location.url())
    host = url.netloc.removeprefix(f"{location.bucket}.") if not location.path_style else url.netloc
    return f"{url.scheme}://{host}"


def _host(location: S3Location) -> str:
    return urlsplit(location.url()).hostname or ""


def _known_cause(location: S3Location, cause: BaseException) -> Explained | None:
    if isinstance(cause, UntrustedServer):
        return Explained(f"is not trusted: {cause}", _by_path(location) if " is for " in str(cause) else "")
    if is_tls_error(cause) and any(text in error_text(cause) for text in _NO_TLS):
        return Explained("does not speak TLS at that port", _other_scheme(location))
    if is_tls_error(cause):
        return Explained(f"cannot be used with TLS: {error_text(cause)}")
    if isinstance(cause, ParseError) and any(
        _TLS_ALERT in each for each in cause.args if isinstance(each, bytes)
    ):
        return Explained("is an https port that was sent http", _other_scheme(location))
    if isinstance(cause, ParseError):
        return Explained("does not answer in HTTP: something else listens at that port")
    if isinstance(cause, DNSLookupError):
        return Explained(f"cannot be reached: the host {_host(location)} is not known", _by_path(location))
    if isinstance(cause, ConnectError):
        return Explained(f"cannot be reached: {why_unreached(cause)}")
    return None


def _other_scheme(location: S3Location) -> str:
    """The way out where http and https were mixed up."""
    url = _base(location)
    if url.startswith("https:"):
        return f"if it is plain http, set LFS_S3_ENDPOINT=http{url.removeprefix('https')}"
    return f"if it is https, set LFS_S3_ENDPOINT=https{url.removeprefix('http')}"


def _by_path(location: S3Location) -> str:
    """The way out where the bucket in the host name is what nobody knows."""
    if not _host(location).startswith(f"{location.bucket}."):
        return ""
    return "LFS_S3_PATH_STYLE=true asks for the bucket in the path instead"


def _way_out(location: S3Location, answer: Answer, operation: str) -> str:
    code = answer.code
    region = answer.region
    if region and region != location.region:
        return f"the bucket's region is {region}: set LFS_S3_REGION={region} (it is {location.region})"
    if code == "RequestTimeTooSkewed":
        return f"{_skew(answer)}set the clock (NTP)"
    if code == "InvalidBucketName":
        return (
            "correct LFS_S3_BUCKET: a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens"
        )
    if code == "NoSuchBucket" or (answer.status == 404 and not code):
        return f"there is no bucket {location.bucket}: create it, or correct LFS_S3_BUCKET"
    if code == "InvalidAccessKeyId":
        return "check AWS_ACCESS_KEY_ID, or whichever credentials are found"
    if code == "SignatureDoesNotMatch":
        return "check AWS_SECRET_ACCESS_KEY, and LFS_S3_REGION"
    if code in {"ExpiredToken", "InvalidToken", "TokenRefreshRequired"}:
        return "get new session credentials (AWS_SESSION_TOKEN)"
    if code in _SETTINGS or code.startswith("KMS."):
        return f"check {_SETTINGS.get(code, 'LFS_S3_SSE_KMS_KEY_ID')}"
    if code == "NotImplemented" and "encryption" in answer.message:
        return "unset LFS_S3_SSE, or give the store a KMS"
    if code == "AccessDenied" and "kms:" in answer.message:
        return "let these credentials use the key: kms:GenerateDataKey and kms:Decrypt"
    if code == "AccessDenied" and "PutObjectTagging" in answer.message:
        return "let these credentials tag objects (s3:PutObjectTagging), or unset LFS_S3_TAGS"
    if code == "AccessDenied" or answer.status == 403:
        needed = f" ({_ACTIONS[operation]})" if operation in _ACTIONS else ""
        return f"let these credentials list, read, write and delete in the bucket {location.bucket}{needed}"
    return ""


def _skew(answer: Answer) -> str:
    try:
        theirs = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except (ValueError, OverflowError):
        return "this machine's clock and S3's differ: "
    ahead = time.time() - theirs
    if abs(ahead) < _MOST_SKEW:
        return "this machine's clock and S3's differ: "
    minutes = f"{abs(ahead) / 60:.0f} minutes {'ahead of' if ahead > 0 else 'behind'}"
    return f"this machine's clock is {minutes} S3's: "

"""Where blobs are read from: S3, S3 by the caller's own client, presigned URLs, or the proxy.

    BlobReader("kafscale", source=ClientSource(boto3.client("s3")))
    BlobReader("kafscale", source=PresignedSource(lambda envelope, record: url_of(envelope.s3_key)))
    BlobReader(source=ProxySource("https://lfs.example.com", api_key="..."))

A source only knows where and how one GET is sent. The reader tries again, reads on, and verifies.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import quote, urlsplit

import attrs
import urllib3
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from lfsproxy.client.places import checked_api
from lfsproxy.client.results import RecordCoordinates
from lfsproxy.envelope import Envelope
from lfsproxy.errors import StoreRefused
from lfsproxy.s3.signing import S3Location, sign
from lfsproxy.words import error_text

ERROR_BYTES = 16 * 1024


class TryAgain(Exception):
    """A GET has failed in a way that may pass: the reader tries again. ``str`` says why."""


@attrs.frozen
class BlobRequest:
    """One GET that a reader wants to be sent, for the bytes from ``first`` on.

    ``etag`` is that of the object which the bytes before were read from: the answer has to be of the same.
    ``record`` is None where the reader's caller named none. ``http`` has the reader's timeouts and
    certificates, and connections that a cancelled read lets go of at once.
    """

    envelope: Envelope
    record: RecordCoordinates | None
    first: int
    etag: str | None
    http: urllib3.PoolManager


class BlobAnswer(Protocol):
    """What a GET was answered. Reading raises urllib3's HTTPError, OSError or TryAgain where it broke off."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` next bytes; none at the end."""

    def refusal(self) -> str:
        """The code of an answer that is no success: S3's, or the last part of a problem's type. Else ""."""

    def close(self) -> None:
        """Let go of the connection."""


class BlobSource(Protocol):
    """Sends the GET for a blob. ``name`` says for people where it goes.

    ``by_record``: the record's place decides what is read, and not what the envelope says.
    """

    @property
    def name(self) -> str: ...

    @property
    def by_record(self) -> bool: ...

    def get(self, request: BlobRequest) -> BlobAnswer:
        """Raises an LfsError where another try is no use; HTTPError, OSError or TryAgain where it may be."""


@attrs.frozen
class Question:
    """A GET over HTTP, ready to be sent. ``url`` may be signed: nothing of it is to be changed."""

    url: str
    headers: Mapping[str, str]


class HTTPSource:
    """Mixed into the sources that ask over HTTP. ``blocks``: whether ``question`` may have to wait."""

    blocks = True

    def question(self, request: BlobRequest) -> Question:
        """What is asked. Raises as ``BlobSource.get`` does."""
        raise NotImplementedError

    def get(self, request: BlobRequest) -> BlobAnswer:
        """See ``BlobSource.get``."""
        return _sent(request.http, self.question(request))

    @property
    def sends_question(self) -> bool:
        """Whether ``get`` does just that: a class of the caller's may have one of its own."""
        return type(self).get is HTTPSource.get


class Credentials(Protocol):
    """What botocore's credentials are asked for before every request."""

    def get_frozen_credentials(self) -> ReadOnlyCredentials: ...


@attrs.frozen
class S3Source(HTTPSource):
    """Signs each GET itself. ``location`` names endpoint and region; its bucket is replaced."""

    location: S3Location
    credentials: Callable[[], Credentials]
    by_record = False

    @property
    def name(self) -> str:
        return self.location.named

    def question(self, request: BlobRequest) -> Question:
        location = attrs.evolve(self.location, bucket=request.envelope.s3_bucket)
        try:
            frozen = self.credentials().get_frozen_credentials()
        except (BotoCoreError, ClientError) as error:
            raise StoreRefused(f"no S3 credentials can be had: {error_text(error)}") from error
        headers = _headers(request, "If-Match")
        signed = sign(location, frozen, "GET", request.envelope.s3_key, headers=headers)
        return Question(signed.url, signed.headers)


@attrs.frozen
class ClientSource:
    """Reads by a boto3 or botocore client for S3, with its settings, credentials and retries.

    A cancelled read ends at the client's next bytes, or by its ``read_timeout``: its sockets are its own.
    """

    client: Any
    by_record = False

    @property
    def name(self) -> str:
        return f"{self.client.meta.endpoint_url} (of the S3 client)"

    def get(self, request: BlobRequest) -> BlobAnswer:
        tied = {"IfMatch": request.etag} if request.etag else {}
        ranged = {"Range": f"bytes={request.first}-"} if request.first else {}
        place = {"Bucket": request.envelope.s3_bucket, "Key": request.envelope.s3_key}
        try:
            return _ClientAnswer(self.client.get_object(**place, **tied, **ranged))
        except ClientError as error:
            return _ClientRefusal(error)
        except (ConnectionError, HTTPClientError) as error:
            raise TryAgain(error_text(error)) from error
        except BotoCoreError as error:
            raise StoreRefused(f"the S3 client cannot ask: {error_text(error)}") from error


@attrs.frozen
class PresignedSource(HTTPSource):
    """Reads by the URL that ``presign`` gives for an envelope. It is asked before each GET.

    What ``presign`` raises is raised as it is; TypeError where it gives no str.
    """

    presign: Callable[[Envelope, RecordCoordinates | None], str]
    by_record = False
    name = "a presigned URL"

    def question(self, request: BlobRequest) -> Question:
        # Callers are not all type-checked, and None would be taken for trouble of the store.
        url: object = self.presign(request.envelope, request.record)
        if not isinstance(url, str):
            raise TypeError(
                f"presign gave {type(url).__name__} for {request.envelope.s3_key}, not a URL as str"
            )
        return Question(url, _headers(request, "If-Match"))


class ProxySource(HTTPSource):
    """Reads by the proxy's download route, for where there are no S3 credentials.

    ``url`` is that of the proxy's HTTP API, ``api_key`` is sent as a bearer token. The proxy finds a blob by
    its record: ``resolve``, ``fetch`` and ``open`` need ``record`` with topic, partition and offset.
    """

    by_record = True
    blocks = False

    def __init__(self, url: str, api_key: str | None = None) -> None:
        self.url = checked_api("url", url)
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}

    @property
    def name(self) -> str:
        return f"the proxy at {self.url}"

    def question(self, request: BlobRequest) -> Question:
        place = request.record
        if place is None or place.partition is None or place.offset is None:
            raise StoreRefused(
                "the proxy finds a blob by its record: give RecordCoordinates(topic, partition, offset)"
            )
        topic = quote(place.topic, safe="")
        path = f"/v1/topics/{topic}/partitions/{place.partition}/records/{place.offset}"
        # The proxy knows If-Range: of another blob it answers 200, which is not read on.
        return Question(self.url + path, {**_headers(request, "If-Range"), **self._headers})


class _HTTPAnswer:
    def __init__(self, response: BaseHTTPResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    def read(self, size: int, /) -> bytes:
        # What has come: a read that waits for all of it would lose it where the connection is reset.
        return self._response.read1(size)

    def refusal(self) -> str:
        return code_of(self._response.read(ERROR_BYTES), self.headers.get("Content-Type", ""))

    def close(self) -> None:
        """The connection is reused when the response was read to its end."""
        if self._response.length_remaining:
            self._response.close()
        else:
            self._response.release_conn()


class _ClientAnswer:
    def __init__(self, answer: Mapping[str, Any]) -> None:
        self._body = answer["Body"]
        told = answer["ResponseMetadata"]
        self.status: int = told["HTTPStatusCode"]
        self.headers: Mapping[str, str] = urllib3.HTTPHeaderDict(told["HTTPHeaders"])

    def read(self, size: int, /) -> bytes:
        try:
            data: bytes = self._body.read(size)
        except BotoCoreError as error:
            raise TryAgain(error_text(error)) from error
        return data

    def refusal(self) -> str:
        return ""

    def close(self) -> None:
        self._body.close()


class _ClientRefusal:
    headers: Mapping[str, str] = {}

    def __init__(self, error: ClientError) -> None:
        answer: Any = error.response
        self.status: int = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        self._code = str(answer.get("Error", {}).get("Code", ""))

    def read(self, size: int, /) -> bytes:
        return b""

    def refusal(self) -> str:
        return self._code

    def close(self) -> None:
        """Nothing is held."""


def code_of(body: bytes, content_type: str) -> str:
    """The code of an answer that is no success, of which ``body`` has the first ERROR_BYTES. Else ""."""
    text = body.decode("utf-8", "replace")
    code = text.partition("<Code>")[2].partition("</Code>")[0]
    if code or "application/problem+json" not in content_type:
        return code
    try:
        problem = json.loads(text)
    except ValueError:
        return ""
    return str(problem.get("type", "")).rpartition("/")[2] if isinstance(problem, dict) else ""


def _headers(request: BlobRequest, tie: str) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity"}
    if request.first:
        headers["Range"] = f"bytes={request.first}-"
    if request.etag:
        headers[tie] = request.etag
    return headers


def _sent(http: urllib3.PoolManager, question: Question) -> BlobAnswer:
    parts = urlsplit(question.url)
    # Straight to the host's pool: the manager would resolve "." and ".." in the path, which was signed.
    pool = http.connection_from_host(parts.hostname, parts.port, parts.scheme)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    return _HTTPAnswer(
        pool.urlopen(
            "GET",
            target,
            headers=dict(question.headers),
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )
    )


RETRIED_ERRORS = (HTTPError, OSError, TryAgain)
"""What a source or an answer raises where another try may help."""
